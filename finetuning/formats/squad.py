"""Questions about passages in the format of SQuAD v1.1: an answer is a span of its context."""

import logging
from collections.abc import Iterable, Sequence
from itertools import count, zip_longest
from pathlib import Path
from typing import Any

from distillation.config.errors import UserError
from distillation.runs.files import write_json
from finetuning.formats import table
from finetuning.formats.locate import OwnFiles, Source, find, from_hub, local_folder, read_text
from finetuning.formats.values import Wrong, collect, json_lines, parse, text, value

logger = logging.getLogger(__name__)

HUB = "kuznetsoffandrey/sberquad"
# Training and test file, by the first pair of which one is there: SQuAD's names, SberQuAD's, and those of flat rows.
FILES = (
    {"train": "train-v1.1.json", "test": "dev-v1.1.json"},
    {"train": "train_v1.0.json", "test": "dev_v1.0.json"},
    {"train": "train.jsonl", "test": "validation.jsonl"},
)


def read(source: Source) -> dict[str, list[dict]]:
    """The splits "train" and "test", the part for development, as answers of the test part proper are hidden. Rows as
    `rows` has them. source: a folder with one pair of FILES, a Hub id such as HUB, or files of one's own.
    Raises UserError for a missing file, and for what is wrong in one.
    """
    if isinstance(source, OwnFiles):
        return {part: read_file(Path(path)) for part, path in source._asdict().items() if path}
    folder = local_folder(source, "sberquad", HUB, *FILES[0].values())
    if folder is None:
        sources = from_hub(source, {"train": "train", "test": "validation"})
        return {part: rows(*source) for part, source in sources.items()}
    files = next((names for names in FILES if any(folder.glob(f"{names['train']}*"))), FILES[0])
    return {part: read_file(path) for part, path in find(folder, files).items()}


def read_file(path: Path) -> list[dict]:
    """The questions of a file, as `rows` has them.

    A `.json` file holds articles or a list of flat rows, a `.jsonl` or `.parquet` file flat rows.
    Raises UserError for a file of another kind, for JSON that is damaged, and as `rows`, by line or id.
    """
    from distillation.text.files import format_of  # its libraries take a while

    if (form := format_of(path)) == ".jsonl":
        return rows(str(path), json_lines(path))
    if form == ".parquet":
        return rows(str(path), table.rows(path, {}))
    if ".json" not in path.name.lower():
        raise UserError(f"{path}: name a file of questions that ends in .json, .jsonl, or .parquet")
    content = parse(path, read_text(path))
    try:
        articles = [] if isinstance(content, list) else value(content, "data", list)
        nested = [
            {**question, "context": paragraph.get("context")}
            for article in articles
            for paragraph in value(article, "paragraphs", list)
            for question in value(paragraph, "qas", list)
        ]
        raws = [(f"{path}: question {raw.get('id')}", raw) for raw in nested or content]
    except (Wrong, TypeError, AttributeError) as error:  # the last two: a question that is no object
        remedy = "make the file SQuAD v1.1 or a list of rows with id, context, question, answers"
        raise UserError(f"{path} has not the layout of SQuAD ({error}); {remedy}") from None
    return rows(str(path), raws)


def rows(name: str, raws: Iterable[tuple[str, Any]]) -> list[dict]:
    """Rows of `id`, `context`, `question`, `answers`, of which each has `text` and `start`, from flat rows.

    A context is left as it is, since `start` counts its characters. A question without a right answer has no answers.
    An answer that does not stand at its start is taken at the nearest place of its text, one without a start at the
    first. One that its context does not hold is left out, and its question too if it has no other. The log says how
    often. A row without an id has its number, from 1.
    Raises UserError for a question that lacks a key, has a value of the wrong type, or repeats an id, by its place;
    and if no question is left.
    """
    moved, absent, lost, numbers = 0, 0, {}, count(1)

    def make(raw: Any) -> list[dict]:
        nonlocal moved, absent
        number, context, answers = next(numbers), value(raw, "context", str), _answers(raw)
        key = str(number if raw.get("id") is None else value(raw, "id", str | int))
        claimed = [(surface, start) for surface, start in answers if surface in context]
        absent += len(answers) - len(claimed)
        if answers and not claimed:
            lost[key] = f"question {key}: the context does not hold the answer {answers[0][0]!r}"
        pairs = dict.fromkeys((surface, _nearest(context, surface, start or 0)) for surface, start in claimed)
        moved += sum(start is not None and (surface, start) not in pairs for surface, start in claimed)
        answers = [{"text": surface, "start": start} for surface, start in pairs]
        return [{"id": key, "context": context, "question": text(raw, "question"), "answers": answers}]

    found = [row for row in collect(name, raws, make) if row["id"] not in lost]
    if not found:
        raise UserError(f"{name}: {next(iter(lost.values()))}; mend the answers")
    if absent:
        message = "%s: %d answers are left out, which their contexts do not hold, and %d questions with them"
        logger.warning(message, name, absent, len(lost))
    if moved:
        logger.warning("%s: %d answers do not stand at their start; took the nearest place of their text", name, moved)
    return found


def write(folder: Path, rows: Sequence[dict], predictions: Sequence[str]) -> Path:
    """Write `test_predictions.json`, which the official script scores: an object of answer texts by question id."""
    path = folder / "test_predictions.json"
    write_json(path, {row["id"]: answer for row, answer in zip(rows, predictions, strict=True)})
    return path


def _answers(raw: dict) -> list[tuple[str, int | None]]:
    """Texts without the white space around them, and starts; without blank texts, which mean that there is no answer.
    Articles have a list of pairs, flat rows a pair of lists; texts alone have no start."""
    answers = value(raw, "answers", list | dict | str)
    if isinstance(answers, str):
        answers = [answers]
    if isinstance(answers, dict):
        pairs = zip_longest(value(answers, "text", list), value(answers, "answer_start", list))
        answers = [{"text": surface, "answer_start": start} for surface, start in pairs]
    found = [
        (one, None) if isinstance(one, str) else (value(one, "text", str), value(one, "answer_start", int))
        for one in answers
    ]
    return [
        (one.strip(), None if start is None else start + len(one) - len(one.lstrip()))
        for one, start in found
        if one.strip()
    ]


def _nearest(context: str, text: str, start: int) -> int:
    """The place of a text in its context that is nearest to `start`; of two at one distance, the first."""
    start = max(start, 0)
    places = (context.rfind(text, 0, start + len(text)), context.find(text, start))
    return min((place for place in places if place >= 0), key=lambda place: abs(place - start))

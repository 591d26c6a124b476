"""Questions about passages in the format of SQuAD v1.1, as SberQuAD has it: an answer is a span of its context."""

import json
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from distillation.config.errors import UserError
from finetuning.formats.jsonl import json_lines, parse
from finetuning.formats.locate import find_either, load_from_hub, local_folder, read_text

logger = logging.getLogger(__name__)

HUB = "kuznetsoffandrey/sberquad"
COLUMNS = ("id", "context", "question", "answers")
# Training and test file, by the first pair of which one is there: SQuAD's names, SberQuAD's, and those of flat rows.
FILES = (
    ("train-v1.1.json", "dev-v1.1.json"),
    ("train_v1.0.json", "dev_v1.0.json"),
    ("train.jsonl", "validation.jsonl"),
)


class _Wrong(Exception):
    """What is wrong with one question; whoever knows where it stands makes it a UserError."""


def read(data_dir: str) -> dict[str, list[dict]]:
    """The splits "train" and "test", rows of `id`, `context`, `question`, `answers`; an answer has `text` and `start`.

    data_dir: a folder with one pair of FILES, or a Hub id such as HUB. "test" is the part for development: answers of
        the test part proper are hidden. A `.json` file holds articles or a list of flat rows, a `.jsonl` file a flat
        row in each line; a flat row has COLUMNS.

    A context is left as it is, since `start` counts its characters. A question without a right answer has no answers.
    An answer that does not stand at its start is taken at the nearest place of its text; one line of the log says how
    often.

    Raises UserError for a missing file, for JSON that is damaged, and for a question that lacks a key, has a value
    of the wrong type, repeats an id, or has an answer that its context does not hold, by line and id.
    """
    folder = local_folder(data_dir, "sberquad", HUB, *FILES[0])
    if folder is None:
        splits = load_from_hub(data_dir, COLUMNS, ("train", "validation"))
        train, test = (_from_hub(f"{data_dir} ({split})", rows) for split, rows in splits.items())
    else:
        train, test = map(_from_file, find_either(folder, *FILES))
    return {"train": train, "test": test}


def write(folder: Path, rows: Sequence[dict], predictions: Sequence[str]) -> Path:
    """Write `test_predictions.json`, which the official script scores: an object of answer texts by question id."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "test_predictions.json"
    answers = {row["id"]: text for row, text in zip(rows, predictions, strict=True)}
    path.write_text(json.dumps(answers, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return path


def _from_hub(name: str, rows: Iterable[dict]) -> list[dict]:
    return _rows(name, ((f"{name}, row {number}", row) for number, row in enumerate(rows)))


def _from_file(path: Path) -> list[dict]:
    text = read_text(path)
    if path.name.removesuffix(".gz").endswith(".jsonl"):
        return _rows(str(path), json_lines(path, text))

    def place_of_id(key: str, repeated: bool) -> str | None:
        """Parsed JSON has no lines: that of an id, or of its second use, is looked up in the text."""
        forms = {re.escape(form) for form in (key, json.dumps(key), json.dumps(key, ensure_ascii=False))}
        found = list(re.finditer(rf'"id"\s*:\s*(?:{"|".join(forms)})\s*[,}}]', text))
        return f"{path}:{text.count(chr(10), 0, found[min(repeated, len(found) - 1)].start()) + 1}" if found else None

    return _rows(str(path), _questions(path, parse(path, text)), place_of_id)


def _questions(path: Path, content: Any) -> Iterator[tuple[str, Any]]:
    """The place of each question, as a path of keys, and the question as a flat row."""
    if isinstance(content, list):
        yield from ((f"{path}: [{number}]", row) for number, row in enumerate(content))
        return
    for article_at, article in _members(f"{path}: ", content, "data"):
        for paragraph_at, paragraph in _members(f"{article_at}.", article, "paragraphs"):
            for question_at, question in _members(f"{paragraph_at}.", paragraph, "qas"):
                context = {key: paragraph[key] for key in ("context",) if key in paragraph}
                yield question_at, {**question, **context} if isinstance(question, dict) else question


def _members(place: str, holder: Any, key: str) -> Iterator[tuple[str, Any]]:
    """The members of a list under a key, each with its place."""
    if not isinstance(holder, dict) or not isinstance(holder.get(key), list):
        wanted = f"SQuAD v1.1 or a list of rows with {', '.join(COLUMNS)}"
        raise UserError(f"{place}{key} is missing or no list; make the file {wanted}")
    yield from ((f"{place}{key}[{number}]", member) for number, member in enumerate(holder[key]))


def _rows(
    name: str,
    raws: Iterable[tuple[str, Any]],
    place_of_id: Callable[[str, bool], str | None] = lambda key, repeated: None,
) -> list[dict]:
    """Rows of one split, from flat rows with their places.

    place_of_id: a better place, by an id and whether its second use is meant; None where there is none.
    """
    rows, seen, moved = [], set(), 0
    for place, raw in raws:
        key = ""
        try:
            key = _id(raw)
            if key in seen:
                raise _Wrong("the id stands on an earlier question, too; delete one of them")
            row, moves = _row(key, raw)
        except _Wrong as wrong:
            place = place_of_id(key, key in seen) or place
            raise UserError(f"{place}: question {key}: {wrong}" if key else f"{place}: {wrong}") from None
        seen.add(key)
        rows.append(row)
        moved += moves
    if not rows:
        raise UserError(f"{name}:1: no questions; a whole file has some, so fetch it again")
    if moved:
        logger.warning("%s: %d answers do not stand at their start; took the nearest place of their text", name, moved)
    return rows


def _id(raw: Any) -> str:
    if not isinstance(raw, dict):
        raise _Wrong(f"{type(raw).__name__} and no question; make it an object with {', '.join(COLUMNS)}")
    key = str(_value(raw, "id", str | int))
    if not key.strip():
        raise _Wrong("the id is blank; give every question its own")
    return key


def _row(key: str, raw: dict) -> tuple[dict, int]:
    """A row, and how many of its answers had to be moved."""
    context, question = _value(raw, "context", str), _value(raw, "question", str).strip()
    answers, moved = [], 0
    for text, start in [] if raw.get("is_impossible") is True else _answers(raw):
        if not text.strip():
            continue  # how some sets say that there is no answer
        start += len(text) - len(text.lstrip())
        text = text.strip()
        place = _nearest(context, text, start)
        moved += place != start
        answer = {"text": text, "start": place}
        if answer not in answers:
            answers.append(answer)
    return {"id": key, "context": context, "question": question, "answers": answers}, moved


def _answers(raw: dict) -> list[tuple[str, int]]:
    """Texts and starts of the answers, which are a list of pairs in articles and a pair of lists in flat rows."""
    answers = _value(raw, "answers", list | dict)
    if isinstance(answers, dict):
        texts, starts = _value(answers, "text", list), _value(answers, "answer_start", list)
        if len(texts) != len(starts):
            raise _Wrong(f"{len(texts)} texts of answers and {len(starts)} starts; give every text its start")
        answers = [{"text": text, "answer_start": start} for text, start in zip(texts, starts, strict=True)]
    if not all(isinstance(answer, dict) for answer in answers):
        raise _Wrong("an answer is no object; it must have `text` and `answer_start`")
    return [(_value(answer, "text", str), _value(answer, "answer_start", int)) for answer in answers]


def _nearest(context: str, text: str, start: int) -> int:
    """The place of a text in its context that is nearest to `start`; of two at one distance, the first."""
    start = max(start, 0)
    found = [context.rfind(text, 0, start + len(text)), context.find(text, start)]
    places = [place for place in found if place >= 0]
    if not places:
        raise _Wrong(f"the context does not hold the answer {text!r}; mend the answer or delete the question")
    return min(places, key=lambda place: abs(place - start))


def _value(holder: dict, key: str, kind: Any) -> Any:
    if key not in holder:
        raise _Wrong(f"no `{key}`; fill it in or delete the question")
    value = holder[key]
    if not isinstance(value, kind) or isinstance(value, bool):
        wanted = kind.__name__ if isinstance(kind, type) else str(kind).replace(" | ", " or ")
        raise _Wrong(f"`{key}` is {type(value).__name__} and not {wanted}; mend the question")
    return value

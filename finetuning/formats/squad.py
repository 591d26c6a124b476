"""Questions about passages in the format of SQuAD v1.1: an answer is a span of its context."""

import logging
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from distillation.config.errors import UserError
from distillation.runs.files import write_json
from finetuning.formats.jsonl import json_lines, parse
from finetuning.formats.locate import read_text
from finetuning.formats.values import Wrong, collect, value

logger = logging.getLogger(__name__)

COLUMNS = ("id", "context", "question", "answers")


def read(path: Path) -> list[dict]:
    """The questions of a file, as `rows` has them.

    A `.json` file holds articles or a list of flat rows, a `.jsonl` file a flat row in each line, with COLUMNS.
    Raises UserError for JSON that is damaged, and as `rows`, by line or id.
    """
    if path.name.removesuffix(".gz").endswith(".jsonl"):
        return rows(str(path), json_lines(path))
    content = parse(path, read_text(path))
    questions = content if isinstance(content, list) else _questions(path, content)
    ids = [one.get("id") if isinstance(one, dict) else number for number, one in enumerate(questions, start=1)]
    return rows(str(path), ((f"{path}: question {key}", one) for key, one in zip(ids, questions, strict=True)))


def rows(name: str, raws: Iterable[tuple[str, Any]]) -> list[dict]:
    """Rows of `id`, `context`, `question`, `answers`, of which each has `text` and `start`, from flat rows.

    A context is left as it is, since `start` counts its characters. A question without a right answer has no answers.
    An answer that does not stand at its start is taken at the nearest place of its text; one line of the log says how
    often.
    Raises UserError for a question that lacks a key, has a value of the wrong type, repeats an id, or has an answer
    that its context does not hold, by its place.
    """
    moved = 0

    def make(raw: Any) -> list[dict]:
        nonlocal moved
        key, context = str(value(raw, "id", str | int)), value(raw, "context", str)
        answers = []
        for text, start in [] if raw.get("is_impossible") is True else _answers(raw):
            bare = text.strip()
            if not bare:
                continue  # how some sets say that there is no answer
            start += len(text) - len(text.lstrip())
            place = _nearest(context, bare, start)
            moved += place != start
            answer = {"text": bare, "start": place}
            if answer not in answers:
                answers.append(answer)
        return [{"id": key, "context": context, "question": value(raw, "question", str).strip(), "answers": answers}]

    found = collect(name, raws, make)
    if moved:
        logger.warning("%s: %d answers do not stand at their start; took the nearest place of their text", name, moved)
    return found


def write(folder: Path, rows: Sequence[dict], predictions: Sequence[str]) -> Path:
    """Write `test_predictions.json`, which the official script scores: an object of answer texts by question id."""
    path = folder / "test_predictions.json"
    write_json(path, {row["id"]: text for row, text in zip(rows, predictions, strict=True)})
    return path


def _questions(path: Path, content: Any) -> list[dict]:
    """The questions of all articles as flat rows."""
    try:
        return [
            {**question, "context": paragraph.get("context")}
            for article in value(content, "data", list)
            for paragraph in value(article, "paragraphs", list)
            for question in value(paragraph, "qas", list)
        ]
    except (Wrong, TypeError) as error:  # the latter: a question that is no object
        remedy = f"make the file SQuAD v1.1 or a list of rows with {', '.join(COLUMNS)}"
        raise UserError(f"{path} has not the layout of SQuAD ({error}); {remedy}") from None


def _answers(raw: dict) -> list[tuple[str, int]]:
    """Texts and starts of the answers, which are a list of pairs in articles and a pair of lists in flat rows."""
    answers = value(raw, "answers", list | dict)
    if isinstance(answers, dict):
        pairs = zip_longest(value(answers, "text", list), value(answers, "answer_start", list))
        answers = [{"text": text, "answer_start": start} for text, start in pairs]
    return [(value(answer, "text", str), value(answer, "answer_start", int)) for answer in answers]


def _nearest(context: str, text: str, start: int) -> int:
    """The place of a text in its context that is nearest to `start`; of two at one distance, the first."""
    start = max(start, 0)
    places = [place for place in (context.rfind(text, 0, start + len(text)), context.find(text, start)) if place >= 0]
    if not places:
        raise Wrong(f"the context does not hold the answer {text!r}; mend the answer or delete the question")
    return min(places, key=lambda place: abs(place - start))

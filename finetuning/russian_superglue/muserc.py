"""MuSeRC: several answers to a question about a passage, of which any number is right; a row is an answer."""

import re
from collections.abc import Mapping
from typing import Any

from finetuning.russian_superglue.tasks import LABELS
from finetuning.russian_superglue.values import Wrong, label, number, text, value

# Years stand in brackets, too, so that a number of a sentence has two digits at most.
NUMBER = re.compile(r"[^\S\n]*\(\d{1,2}\)[^\S\n]*")
QUOTED = re.compile(r'"\s*\(\d{1,2}\)')


def flat(raw: Any) -> list[dict]:
    """A row of the Hub for each answer of a passage of a file, which nests questions and answers.

    Raises Wrong for an absent key, a passage without questions, and a question without answers.
    """
    passage = value(raw, "passage", dict)
    found = []
    for question in _members(passage, "questions"):
        for answer in _members(question, "answers"):
            idx = {"paragraph": number(raw), "question": number(question), "answer": number(answer)}
            texts = {"question": text(question, "question"), "answer": text(answer, "text")}
            found.append({"idx": idx, "paragraph": value(passage, "text", str), **texts, "label": answer.get("label")})
    return found


def _members(holder: Any, key: str) -> list:
    members = value(holder, key, list)
    if not members:
        raise Wrong(f"`{key}` is empty; fill it in or delete the row")
    return members


def muserc(raw: Mapping[str, Any], labelled: bool) -> dict:
    """`id`, `idx` of passage, question, and answer, the question as `text`, `answer`, the passage as `text_2`, and the
    name of the label.

    Raises Wrong for an absent key and an unknown label.
    """
    ids = value(raw, "idx", dict)
    idx = [number(ids, key) for key in ("paragraph", "question", "answer")]
    place = label(raw, LABELS["muserc"], labelled, ("false", "true"))
    return {
        "id": "-".join(map(str, idx)),
        "idx": idx,
        "text": text(raw, "question"),
        "answer": text(raw, "answer"),
        "text_2": passage(value(raw, "paragraph", str)),
        "label": None if place is None else LABELS["muserc"][place],
    }


def passage(numbered: str) -> str:
    """A passage without the numbers of its sentences, and without the quotation marks that some stand in."""
    bare = numbered.strip()
    if QUOTED.match(bare):
        bare = bare[1:].removesuffix('"')
    return re.sub(r" ?\n ?", "\n", NUMBER.sub(" ", bare)).strip()

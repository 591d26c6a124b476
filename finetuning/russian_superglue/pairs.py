"""Rows of pairs of texts: entailment, yes-no questions about a passage, and two choices for a premise."""

from collections.abc import Mapping
from typing import Any

from finetuning.russian_superglue.tasks import LABELS
from finetuning.russian_superglue.values import Wrong, label, number, text

# The keys of the two texts.
KEYS = {
    "lidirus": ("sentence1", "sentence2"),
    "terra": ("premise", "hypothesis"),
    "rcb": ("premise", "hypothesis"),
    "danetqa": ("question", "passage"),
}
QUESTIONS = ("cause", "effect")


def pair(task: str, raw: Mapping[str, Any], labelled: bool) -> dict:
    """`id`, `idx`, `text`, `text_2`, and the name of the label; what else the row has is left out.

    task: one of KEYS.

    Raises Wrong for an absent key and an unknown label.
    """
    idx = number(raw)
    first, second = KEYS[task]
    place = label(raw, LABELS[task], labelled)
    return {
        "id": str(idx),
        "idx": idx,
        "text": text(raw, first),
        "text_2": text(raw, second),
        "label": None if place is None else LABELS[task][place],
    }


def parus(raw: Mapping[str, Any], labelled: bool) -> dict:
    """`id`, `idx`, `text`, `question`, one of QUESTIONS, two `choices`, and the number of the right one as `label`.

    Raises Wrong for an absent key, another question, and an unknown label.
    """
    idx, question = number(raw), text(raw, "question")
    if question not in QUESTIONS:
        raise Wrong(f"question {question!r} is none of {', '.join(QUESTIONS)}; mend the row")
    return {
        "id": str(idx),
        "idx": idx,
        "text": text(raw, "premise"),
        "question": question,
        "choices": [text(raw, "choice1"), text(raw, "choice2")],
        "label": label(raw, LABELS["parus"], labelled, ("choice1", "choice2")),
    }

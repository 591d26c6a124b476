"""The nine tasks: what they are called, their labels, and what a model is trained on. Imports nothing heavy."""

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from finetuning.tasks.base import Task

# By the name in code, which is that of the configuration on the Hub: the official name, which folders and files have.
NAMES = {
    "lidirus": "LiDiRus",
    "rcb": "RCB",
    "parus": "PARus",
    "muserc": "MuSeRC",
    "terra": "TERRa",
    "russe": "RUSSE",
    "rwsd": "RWSD",
    "danetqa": "DaNetQA",
    "rucos": "RuCoS",
}
ENTAILMENT = ("entailment", "not_entailment")
NO_YES = ("false", "true")
# In the order of their numbers on the Hub. Of PARus, rows and submissions have the number; RuCoS chooses an entity.
LABELS = {
    "lidirus": ENTAILMENT,
    "rcb": ("entailment", "contradiction", "neutral"),
    "parus": ("0", "1"),
    "muserc": ("0", "1"),
    "terra": ENTAILMENT,
    "russe": NO_YES,
    "rwsd": NO_YES,
    "danetqa": NO_YES,
    "rucos": (),
}
QUERY = {"cause": "Что было причиной?", "effect": "Что случилось в результате?"}  # PARus
PLACEHOLDER = "@placeholder"  # the gap in a query of RuCoS


def make_task(name: str) -> "Task":
    """A task by its name in lower case."""
    from finetuning.russian_superglue import metrics, readers, submission

    kind, options = _kind(name)
    return kind(
        name=name,
        read=functools.partial(readers.read, name),
        write=functools.partial(submission.write_task, name),
        metric=metrics.metric(name),
        primary_metric=metrics.METRICS[name][0],
        split="validation",  # the labels of the test part are kept secret
        **options,
    )


def _kind(name: str) -> tuple[type["Task"], dict[str, Any]]:
    """The kind of a task, and what it has to know besides."""
    from finetuning.russian_superglue.muserc import ROC_AUC, AnswerToQuestion
    from finetuning.tasks.classification import TextClassification
    from finetuning.tasks.marked_words import MarkedWords
    from finetuning.tasks.multiple_choice import MultipleChoice

    labels = {"labels": LABELS[name]}
    about_a_passage = {"truncate_second_only": True}  # the passage is what may be cut
    if name == "muserc":
        return AnswerToQuestion, labels | about_a_passage | {"selection_metric": ROC_AUC}
    if name in ("russe", "rwsd"):
        # What is asked about is two words. Marks around them need no head of their own, as pooled spans would, so
        # that any sequence classifier of any architecture will do.
        return MarkedWords, labels
    if name == "parus":
        # Two sentences compete, and which is likelier is asked: one score each, and a softmax over both.
        return MultipleChoice, {
            "pairs": premise_and_choices,
            "answer": lambda row, choice: str(choice),
            "right": lambda row: str(row["label"]),
        }
    if name == "rucos":
        # The candidates are the entities of the passage, as many as there are: the query with each in its gap.
        return MultipleChoice, about_a_passage | {
            "pairs": filled_queries,
            "answer": lambda row, choice: row["choices"][choice],
            "right": lambda row: row["answers"],
        }
    return TextClassification, labels | (about_a_passage if name == "danetqa" else {})


def premise_and_choices(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    """PARus: the premise with the question in words, and each choice."""
    return [(f"{row['text']} {QUERY[row['question']]}", choice) for choice in row["choices"]]


def filled_queries(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    """RuCoS: the query with each entity in its gap, and the passage, which is what is cut."""
    return [(row["query"].replace(PLACEHOLDER, choice), row["text"]) for choice in row["choices"]]

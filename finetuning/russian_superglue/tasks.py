"""The nine tasks: what they are called, their labels, and what a model is trained on. Imports nothing heavy."""

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from finetuning.tasks.base import Task

ENTAILMENT, NO_YES = ("entailment", "not_entailment"), ("false", "true")
# The name in code and on the Hub; the official name, of folders and files; the labels by their numbers on the Hub (of
# RuCoS entities are chosen); the official figures, of which the leaderboard takes the mean.
TASKS = (
    ("rcb", "RCB", ("entailment", "contradiction", "neutral"), ("f1_macro", "accuracy")),
    ("parus", "PARus", ("0", "1"), ("accuracy",)),
    ("muserc", "MuSeRC", ("0", "1"), ("f1a", "exact_match")),
    ("terra", "TERRa", ENTAILMENT, ("accuracy",)),
    ("russe", "RUSSE", NO_YES, ("accuracy",)),
    ("rwsd", "RWSD", NO_YES, ("accuracy",)),
    ("danetqa", "DaNetQA", NO_YES, ("accuracy",)),
    ("rucos", "RuCoS", (), ("f1", "exact_match")),
    ("lidirus", "LiDiRus", ENTAILMENT, ("matthews_correlation",)),  # after TERRa, whose model answers it
)
NAMES = {task: name for task, name, _, _ in TASKS}
LABELS = {task: labels for task, _, labels, _ in TASKS}
METRICS = {task: figures for task, _, _, figures in TASKS}
QUERY = {"cause": "Что было причиной?", "effect": "Что случилось в результате?"}  # PARus
PLACEHOLDER = "@placeholder"  # the gap in a query of RuCoS


def make_task(name: str) -> "Task":
    """A task by its name in lower case."""
    from finetuning.metrics import LabelScores
    from finetuning.russian_superglue import muserc, readers, rucos, submission
    from finetuning.tasks.classification import TextClassification
    from finetuning.tasks.marked_words import MarkedWords
    from finetuning.tasks.multiple_choice import MultipleChoice

    kind, options = TextClassification, {"labels": LABELS[name]}
    if name in ("danetqa", "muserc", "rucos"):
        options["truncate_second_only"] = True  # the passage is what may be cut
    if name == "muserc":
        kind = muserc.AnswerToQuestion
        options |= {"metric": muserc.JudgementScores(), "selection_metric": muserc.ROC_AUC}
    elif name in ("russe", "rwsd"):
        # The question is about two words. Marks around them need no head of their own, as pooled spans would: any
        # sequence classifier of any architecture will do.
        kind = MarkedWords
    elif name == "parus":
        # Two sentences compete, and the likelier one is the answer: one score each, and a softmax over both.
        kind, options = MultipleChoice, {"pairs": premise_and_choices}
        options |= {"answer": lambda row, choice: str(choice), "right": lambda row: str(row["label"])}
    elif name == "rucos":
        # The entities of the passage compete, however many there are: the query with each in its gap.
        kind = MultipleChoice
        options |= {"metric": rucos.QueryScores(), "pairs": filled_queries}
        options |= {"answer": lambda row, choice: row["choices"][choice], "right": lambda row: row["answers"]}
    return kind(
        name=name,
        read=functools.partial(readers.read, name),
        write=functools.partial(submission.write_task, name),
        primary_metric=METRICS[name][0],
        split="validation",  # the labels of the test part are kept secret
        **{"metric": LabelScores(LABELS[name], *METRICS[name])} | options,
    )


def premise_and_choices(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    """PARus: the premise with the question in words, and each choice."""
    return [(f"{row['text']} {QUERY[row['question']]}", choice) for choice in row["choices"]]


def filled_queries(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    """RuCoS: the query with each entity in its gap, and the passage, which is what is cut."""
    return [(row["query"].replace(PLACEHOLDER, choice), row["text"]) for choice in row["choices"]]

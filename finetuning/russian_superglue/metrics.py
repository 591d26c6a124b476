"""The official metrics of the nine tasks, and the overall score."""

import collections
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import datasets
import numpy as np
from sklearn.metrics import f1_score

from finetuning.metrics import LabelScores, Metric, normalised, word_f1
from finetuning.russian_superglue.tasks import LABELS

# The official figures of each task; the leaderboard takes the mean of two.
METRICS = {
    "lidirus": ("matthews_correlation",),
    "rcb": ("f1_macro", "accuracy"),
    "parus": ("accuracy",),
    "muserc": ("f1a", "exact_match"),
    "terra": ("accuracy",),
    "russe": ("accuracy",),
    "rwsd": ("accuracy",),
    "danetqa": ("accuracy",),
    "rucos": ("f1", "exact_match"),
}


class AnswerChoiceScores(Metric):
    """Of MuSeRC: F1 of the right answers over all of them, and the share of questions with every answer as it should.

    Predictions and labels are "0" and "1"; `question` says whose answer it is.
    """

    FEATURES = {
        "predictions": datasets.Value("string"),
        "references": {"question": datasets.Value("string"), "label": datasets.Value("string")},
    }
    names = ("f1a", "exact_match")

    def _compute(self, predictions: Sequence[str], references: Iterable[Mapping[str, str]]) -> dict[str, float]:
        predictions, references = list(predictions), list(references)
        labels = [reference["label"] for reference in references]
        f1 = f1_score(labels, predictions, labels=["1"], average="micro", zero_division=0)
        exact: dict[str, bool] = collections.defaultdict(lambda: True)
        for prediction, reference in zip(predictions, references, strict=True):
            exact[reference["question"]] &= prediction == reference["label"]
        return {"f1a": float(f1), "exact_match": float(np.mean(list(exact.values())))}


class EntityAnswerScores(Metric):
    """Of RuCoS: F1 of the words of an entity, and exact match, from 0 to 1, the best over the right answers.

    Letters are compared in lower case and without punctuation. A query without a right answer counts 0.
    """

    FEATURES = {
        "predictions": datasets.Value("string"),
        "references": datasets.Sequence(datasets.Value("string")),
    }
    names = ("f1", "exact_match")

    def _compute(self, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
        pairs = list(zip(predictions, references, strict=True))
        shared = [max((word_f1(answer, text) for text in right), default=0.0) for answer, right in pairs]
        exact = [any(normalised(answer) == normalised(text) for text in right) for answer, right in pairs]
        return {"f1": float(np.mean(shared)), "exact_match": float(np.mean(exact))}


def metric(task: str) -> Metric:
    """The metric that gives the figures of METRICS."""
    if task == "muserc":
        return AnswerChoiceScores()
    return EntityAnswerScores() if task == "rucos" else LabelScores(LABELS[task], *METRICS[task])


def references(task: str, rows: Sequence[Mapping[str, Any]]) -> list:
    """The right answers of labelled rows as the metric of the task wants them."""
    if task == "muserc":
        return [{"question": "-".join(map(str, row["idx"][:2])), "label": row["label"]} for row in rows]
    return [row["answers"] if task == "rucos" else str(row["label"]) for row in rows]


def score(task: str, rows: Sequence[Mapping[str, Any]], predictions: Sequence[Any]) -> dict[str, float]:
    """The figures of METRICS of labelled rows.

    predictions: labels; of PARus the number of the choice, of RuCoS the text of an entity.
    """
    # Not `compute`, which would write every repetition of a thousand to a table first.
    figures = metric(task)._compute(predictions=[str(one) for one in predictions], references=references(task, rows))
    return {name: figures[name] for name in METRICS[task]}


def overall(scores: Mapping[str, Mapping[str, float]]) -> float:
    """The mean over tasks, of the mean of each task's METRICS; scores: the figures of each task by name."""
    means = [statistics.fmean(figures[name] for name in METRICS[task]) for task, figures in scores.items()]
    return statistics.fmean(means)

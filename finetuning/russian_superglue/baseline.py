"""Answers without a model: the commonest label, and any."""

import collections
import random
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from finetuning.russian_superglue.metrics import METRICS, score
from finetuning.russian_superglue.tasks import LABELS

Rows = Sequence[Mapping[str, Any]]


def baseline(task: str, rows_train: Rows, rows: Rows) -> list[Any]:
    """The commonest label of the training rows for each row, of two that are as common the first; of RuCoS the first
    entity.

    rows_train: of LiDiRus, which has none, those of TERRa.
    """
    if task == "rucos":
        return [row["choices"][0] for row in rows]
    counts = collections.Counter(row["label"] for row in rows_train)
    return [max(_labels(task), key=lambda label: counts[label])] * len(rows)


def majority_score(task: str, rows_train: Rows, rows: Rows) -> dict[str, float]:
    """The figures of `baseline` on labelled rows."""
    return score(task, rows, baseline(task, rows_train, rows))


def random_score(task: str, rows: Rows, repetitions: int = 100, seed: int = 0) -> dict[str, float]:
    """The mean figures of that many draws of even chances, on labelled rows."""
    draw = random.Random(seed)
    drawn = []
    for _ in range(repetitions):
        if task == "rucos":
            answers = [draw.choice(row["choices"]) for row in rows]
        else:
            answers = draw.choices(_labels(task), k=len(rows))
        drawn.append(score(task, rows, answers))
    return {name: statistics.fmean(figures[name] for figures in drawn) for name in METRICS[task]}


def _labels(task: str) -> list[Any]:
    """The labels as rows have them."""
    return [0, 1] if task == "parus" else list(LABELS[task])

"""How far a difference between two fine-tuned models is one of chance: a bootstrap over test examples and seeds.

A score is a function of sums over examples, so that a resample is a product with a matrix of counts. Both models are
scored on the same resampled examples (paired: Efron and Tibshirani 1993, chapter 13; Koehn 2004 for scores of a whole
test set); the seeds of each are resampled too, so that what another seed would do counts as chance.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from finetuning.metrics import normalised, word_f1
from finetuning.tasks import bio_spans as spans

RESAMPLES = 2000
SEED = 0
METRICS = ("accuracy", "f1", "f1_weighted", "f1_macro", "exact_match")  # what `scorer` knows

Predictions = Sequence[dict[str, Any]]  # of a test part, as `finetuning` saves them
Score = Callable[[np.ndarray], np.ndarray]  # sums (..., k) -> scores (...)


def difference(
    first: Sequence[np.ndarray], second: Sequence[np.ndarray], score: Score, resamples: int = RESAMPLES
) -> dict[str, float]:
    """The mean score over seeds of each model (`first`, `second`), their `difference`, and the ends of its 95 %
    interval, `low` and `high`. Of few seeds the interval is too narrow: resamples of n have (n - 1) / n of their
    variance.

    first, second: for each seed the statistics (examples, k) of the same examples.
    """
    both = np.stack(first), np.stack(second)
    count = both[0].shape[1]
    generator = np.random.default_rng(SEED)
    weights = np.empty((resamples, count))  # how often an example is drawn
    seeds = [np.empty((resamples, len(of_model)), dtype=int) for of_model in both]
    for index in range(resamples):
        weights[index] = np.bincount(generator.integers(count, size=count), minlength=count)
        for drawn in seeds:
            drawn[index] = generator.integers(drawn.shape[1], size=drawn.shape[1])
    observed = [float(score(of_model.sum(1)).mean()) for of_model in both]
    resampled = []
    for of_model, drawn in zip(both, seeds, strict=True):
        of_all_seeds = score(np.tensordot(weights, of_model, (1, 1)))  # (resamples, seeds)
        resampled.append(np.take_along_axis(of_all_seeds, drawn, axis=1).mean(1))
    low, high = np.quantile(resampled[0] - resampled[1], [0.025, 0.975])
    ends = {"low": float(low), "high": float(high)}
    return {"first": observed[0], "second": observed[1], "difference": observed[0] - observed[1], **ends}


def statistics_of(metric: str, predictions: Predictions) -> np.ndarray:
    """What a score is made of, for each example: (examples, k), to be summed and given to `scorer(metric, ...)`."""
    if metric == "accuracy":
        return np.array([[one["prediction"] == one["reference"], 1] for one in predictions], dtype=float)
    if isinstance(predictions[0]["prediction"], list):
        return np.array([_entities(one) for one in predictions], dtype=float)
    if isinstance(predictions[0]["reference"], list):
        score = word_f1 if metric == "f1" else lambda answer, right: normalised(answer) == normalised(right)
        best = [max(score(p["prediction"], right) for right in p["reference"] or [""]) for p in predictions]
        return np.array([[value, 1] for value in best], dtype=float)
    labels = _labels(predictions)
    cells = [labels.index(p["reference"]) * len(labels) + labels.index(p["prediction"]) for p in predictions]
    return np.eye(len(labels) ** 2)[cells]  # of the matrix of confusion


def _labels(predictions: Predictions) -> list[str]:
    """Those of a classification, in the order of its scores."""
    return list(predictions[0]["scores"])


def _entities(one: dict[str, Any]) -> tuple[int, int, int]:
    """Of a sentence: entities found rightly, found, and there."""
    found, there = set(spans.decode(one["prediction"])), set(spans.decode(one["reference"]))
    return len(found & there), len(found), len(there)


def scorer(metric: str, predictions: Predictions) -> Score:
    """The benchmark's metric, one of METRICS, of sums of `statistics_of`; a share of 1.

    predictions: of any model, for the kind of task.
    """
    if isinstance(predictions[0]["prediction"], list):
        return lambda sums: _ratio(2 * sums[..., 0], sums[..., 1] + sums[..., 2])
    if metric == "accuracy" or isinstance(predictions[0]["reference"], list):
        return lambda sums: sums[..., 0] / sums[..., 1]
    size = len(_labels(predictions))

    def f1_of_labels(sums: np.ndarray) -> np.ndarray:
        table = sums.reshape(*sums.shape[:-1], size, size)  # reference, prediction
        right, there, found = np.diagonal(table, axis1=-2, axis2=-1), table.sum(-1), table.sum(-2)
        f1 = _ratio(2 * right, there + found)
        if metric == "f1_weighted":
            return (f1 * there).sum(-1) / there.sum(-1)
        return f1.mean(-1) if metric == "f1_macro" else f1[..., -1]

    return f1_of_labels


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)

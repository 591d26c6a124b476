"""How far chance moves a score, and a difference between two fine-tuned models. A bootstrap over test examples, and of
a difference over seeds.

A score is a function of sums over examples, so that a resample is a product with a matrix of counts. Both models of a
difference are scored on the same resampled examples (paired: Efron and Tibshirani 1993, chapter 13; Koehn 2004 for
scores of a whole test set). The seeds of each are resampled too, because the effect of another seed counts as chance.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from finetuning.deployed.model import tag_spans
from finetuning.metrics import best_score, exact_match, word_f1

RESAMPLES, CHUNK = 10_000, 500
ENDS = 0.025, 0.975  # of an interval of 95 %
SEED = 0

Scores = Callable[[np.ndarray], dict[str, np.ndarray]]  # sums (..., k) -> by metric the scores (...), shares of 1


def intervals(metrics: Iterable[str], predictions: Sequence[dict[str, Any]], one: float = 1) -> dict[str, list[float]]:
    """The ends of the 95 % interval of each metric that is made of sums over examples: another test part of as many
    examples would have given another score. Where all are right, or all wrong, it is too narrow. one: the best score.
    """
    statistics, scores = statistics_of(predictions)
    kinds, counts = np.unique(statistics, axis=0, return_counts=True)  # equal examples are drawn together
    draw = np.random.default_rng(SEED).multinomial
    drawn = scores(draw(len(statistics), counts / len(statistics), size=RESAMPLES // 10) @ kinds)
    return {metric: np.quantile(one * drawn[metric], ENDS).tolist() for metric in metrics if metric in drawn}


def difference(
    first: Sequence[np.ndarray], second: Sequence[np.ndarray], score: Callable[[np.ndarray], np.ndarray]
) -> dict[str, float]:
    """The mean score over seeds of each model (`first`, `second`), their `difference`, and the ends of its 95 %
    interval, `low` and `high`. With few seeds the interval is too narrow: resamples of n seeds have (n - 1) / n of the
    variance.

    first, second: for each seed the statistics (examples, k) of the same examples; score: of sums of these.
    """
    both = np.stack(first), np.stack(second)
    count = both[0].shape[1]
    generator = np.random.default_rng(SEED)
    observed = [float(score(of_model.sum(1)).mean()) for of_model in both]
    differences = []
    for _ in range(RESAMPLES // CHUNK):  # all at once would take gigabytes for a large test set
        weights = np.empty((CHUNK, count))  # how often each example is drawn
        for row in weights:
            row[:] = np.bincount(generator.integers(count, size=count), minlength=count)
        resampled = []
        for of_model in both:
            of_all_seeds = score(np.tensordot(weights, of_model, (1, 1)))  # (resamples, seeds)
            drawn = generator.integers(len(of_model), size=of_all_seeds.shape)
            resampled.append(np.take_along_axis(of_all_seeds, drawn, axis=1).mean(1))
        differences.append(resampled[0] - resampled[1])
    low, high = map(float, np.quantile(differences, ENDS))
    ends = {"difference": observed[0] - observed[1], "low": low, "high": high}
    return {"first": observed[0], "second": observed[1], **ends}


def statistics_of(predictions: Sequence[dict[str, Any]]) -> tuple[np.ndarray, Scores]:
    """The statistics (examples, k) that scores are made of, and the scores as functions of their sums over examples.
    MuSeRC has none: it scores the answers to a question together. predictions: of a test part, as `finetuning` saves
    them."""
    first, pairs = predictions[0], [(one["prediction"], one["reference"]) for one in predictions]
    if isinstance(first["reference"], dict):
        return np.ones((len(pairs), 1)), lambda sums: {}
    if "entities" in first:  # found correctly, found, and in the reference
        entities = [(set(tag_spans(guess)), set(tag_spans(right))) for guess, right in pairs]
        return np.array([[len(a & b), len(a), len(b)] for a, b in entities], dtype=float), _of_entities
    if isinstance(first["prediction"], str) and isinstance(first["reference"], list):  # right answers to a question
        best = [[best_score(score, *pair) for score in (word_f1, exact_match)] for pair in pairs]
        return np.array([[*of_pair, 1] for of_pair in best]), _of_answers
    labels = [*first["scores"]] if isinstance(first.get("scores"), dict) else []  # choices have no names
    hits = [[guess == right, 1] for guess, right in pairs]
    sides = [[[one] if isinstance(one, str) else one for one in side] for side in zip(*pairs, strict=True)]
    found, there = (np.array([[name in one for name in labels] for one in side], dtype=float) for side in sides)
    return np.hstack([hits, found * there, there, found]), _of_labels


def _of_entities(sums: np.ndarray) -> dict[str, np.ndarray]:
    return {"f1": _ratio(2 * sums[..., 0], sums[..., 1] + sums[..., 2])}


def _of_answers(sums: np.ndarray) -> dict[str, np.ndarray]:
    return {"f1": sums[..., 0] / sums[..., 2], "exact_match": sums[..., 1] / sums[..., 2]}


def _of_labels(sums: np.ndarray) -> dict[str, np.ndarray]:
    """Of several labels the correlation is that of Gorodkin (2004)."""
    accuracy = {"accuracy": sums[..., 0] / sums[..., 1]}
    right, there, found = np.split(sums[..., 2:], 3, axis=-1)  # each has a column a label
    if not right.shape[-1]:
        return accuracy
    f1, total = _ratio(2 * right, there + found), there.sum(-1)
    spread = (total**2 - (there**2).sum(-1)) * (total**2 - (found**2).sum(-1))
    return accuracy | {
        "f1": f1[..., -1],
        "f1_weighted": _ratio((f1 * there).sum(-1), total),
        "f1_macro": _ratio(f1.sum(-1), (there + found > 0).sum(-1)),  # of labels that are right or predicted
        "f1_micro": _ratio(2 * right.sum(-1), (there + found).sum(-1)),
        "matthews_correlation": _ratio(total * right.sum(-1) - (there * found).sum(-1), np.sqrt(spread.clip(0))),
    }


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)

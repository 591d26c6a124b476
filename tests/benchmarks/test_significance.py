"""The bootstrap: its scores are the benchmarks' own, its intervals those of theory."""

import numpy as np
import pytest

from benchmarks.reporting.significance import difference, statistics_of
from finetuning.metrics import AnswerScores, EntityScores, LabelScores

LABELS = ["neutral", "positive", "negative", "speech"]
TAGS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
WORDS = ["Москва", "в", "1812 году", "Наполеон", ""]


def classified(count=200, right=0.6):
    """Predictions of which a share is right."""
    draw = np.random.default_rng(7)
    truth = draw.choice(LABELS, size=count, p=np.arange(1, 5) / 10)
    guesses = np.where(draw.random(count) < right, truth, draw.choice(LABELS, size=count))
    scores = dict.fromkeys(LABELS)
    return [{"prediction": g, "reference": t, "scores": scores} for g, t in zip(guesses, truth, strict=True)]


def tagged():
    draw = np.random.default_rng(2)
    return [
        {"prediction": draw.choice(TAGS, size=size).tolist(), "reference": draw.choice(TAGS, size=size).tolist()}
        for size in draw.integers(1, 9, size=60)
    ]


def answered():
    """The last is right, for there is no answer."""
    draw = np.random.default_rng(3)
    answers = [
        {"prediction": " ".join(draw.choice(WORDS, size=2)), "reference": draw.choice(WORDS[:4], size=right).tolist()}
        for right in [2] * 50 + [0] * 5
    ]
    return [*answers, {"prediction": "", "reference": []}]


EVERYTHING = classified()
OF_LABELS = LabelScores(LABELS, "accuracy", "f1_weighted", "f1_macro", "f1")
WITHOUT_ONE = [one for one in EVERYTHING if LABELS[1] not in (one["prediction"], one["reference"])]


@pytest.mark.parametrize(
    ("metric", "name", "predictions"),
    [
        *(
            (OF_LABELS, name, predictions)
            for name in ("accuracy", "f1_weighted", "f1_macro", "f1")
            for predictions in (EVERYTHING, EVERYTHING[:3] * 2, WITHOUT_ONE)
        ),
        (EntityScores(["PER", "LOC"]), "f1", tagged()),
        (AnswerScores(), "f1", answered()),
        (AnswerScores(), "exact_match", answered()),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_scores_are_the_benchmarks_own(metric, name, predictions):
    """On all, and on a resample in which a label is missing altogether."""
    sums, score = statistics_of(name, predictions)
    columns = {f"{column}s": [one[column] for one in predictions] for column in ("prediction", "reference")}
    right = metric.compute(**columns)[name] / (100 if isinstance(metric, AnswerScores) else 1)
    assert score(sums.sum(0)) == pytest.approx(right, abs=1e-11) and right > 0


def statistics_of_hits(hits):
    """Of right and wrong answers, for `accuracy`."""
    return statistics_of("accuracy", [{"prediction": "ab"[h], "reference": "b"} for h in hits])


def test_the_interval_of_an_accuracy_is_that_of_theory():
    """Of one seed each, the difference of two accuracies on the same examples has the variance var(a - b) / n: less
    than that of two test sets, which an unpaired bootstrap would give."""
    draw = np.random.default_rng(4)
    second = (draw.random(900) < 0.6).astype(int)
    first = np.where(draw.random(900) < 0.1, 1 - second, second)
    (a, score), (b, _) = statistics_of_hits(first), statistics_of_hits(second)
    found = difference([a], [b], score)
    assert found["difference"] == pytest.approx(np.mean(first - second))
    half = 1.96 * np.std(first - second) / np.sqrt(900)
    assert found["high"] - found["low"] == pytest.approx(2 * half, rel=0.08)


def test_seeds_that_differ_widen_the_interval():
    """A model that is better with one seed and worse with another is not known to be better. One that is the same does
    not differ at all."""
    (same, score), (good, _), (bad, _) = map(
        statistics_of_hits, ([1, 0] * 200, [1, 1, 1, 0] * 100, [0, 0, 0, 1] * 100)
    )
    assert difference([good] * 3, [same] * 3, score)["low"] > 0
    unsteady = difference([good, good, bad], [same] * 3, score)
    assert unsteady["low"] < 0 < unsteady["high"]
    alike = difference([same], [same], score)
    assert (alike["difference"], alike["low"], alike["high"]) == (0, 0, 0)

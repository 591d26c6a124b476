"""The bootstrap: its scores are the benchmarks' own, its intervals those of theory."""

import numpy as np
import pytest

from benchmarks.reporting.significance import difference, scorer, statistics_of
from finetuning.metrics import AnswerScores, EntityScores, LabelScores

LABELS = ["neutral", "positive", "negative", "speech"]
TAGS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
WORDS = ["Москва", "в", "1812 году", "Наполеон", ""]


def classified(seed, count=200, labels=LABELS, right=0.6):
    """Predictions of which a share is right."""
    draw = np.random.default_rng(seed)
    truth = np.random.default_rng(7).choice(labels, size=count, p=np.arange(1, len(labels) + 1) / 10)
    guesses = np.where(draw.random(count) < right, truth, draw.choice(labels, size=count))
    scores = dict.fromkeys(labels, 0.0)
    return [{"prediction": g, "reference": t, "scores": scores} for g, t in zip(guesses, truth, strict=True)]


def of_metric(metric, predictions):
    return metric.compute(
        predictions=[one["prediction"] for one in predictions], references=[one["reference"] for one in predictions]
    )


@pytest.mark.parametrize("name", ["accuracy", "f1_weighted", "f1_macro", "f1"])
def test_scores_of_labels_are_the_benchmarks_own(name):
    """On all, and on a resample in which a label is missing altogether."""
    metric = LabelScores(LABELS, "accuracy", "f1_weighted", "f1_macro", "f1")
    everything = classified(1)
    without = [one for one in everything if LABELS[1] not in (one["prediction"], one["reference"])]
    for predictions in (everything, everything[:3] * 2, without):
        found = scorer(name, everything)(statistics_of(name, predictions).sum(0))
        assert found == pytest.approx(of_metric(metric, predictions)[name], abs=1e-12)


def test_scores_of_entities_are_the_benchmarks_own():
    draw = np.random.default_rng(2)
    tagged = [
        {"prediction": draw.choice(TAGS, size=size).tolist(), "reference": draw.choice(TAGS, size=size).tolist()}
        for size in draw.integers(1, 9, size=60)
    ]
    found = scorer("f1", tagged)(statistics_of("f1", tagged).sum(0))
    assert found == pytest.approx(of_metric(EntityScores(["PER", "LOC"]), tagged)["f1"], abs=1e-12) and found > 0


@pytest.mark.parametrize("name", ["f1", "exact_match"])
def test_scores_of_answers_are_the_benchmarks_own(name):
    draw = np.random.default_rng(3)
    answers = [
        {"prediction": " ".join(draw.choice(WORDS, size=2)), "reference": draw.choice(WORDS[:4], size=right).tolist()}
        for right in [2] * 50 + [0] * 5
    ]
    answers[-1]["prediction"] = ""  # right, for there is no answer
    found = scorer(name, answers)(statistics_of(name, answers).sum(0))
    assert 100 * found == pytest.approx(of_metric(AnswerScores(), answers)[name], abs=1e-9) and found > 0


def statistics_of_hits(hits):
    """Of right and wrong answers, for `accuracy`."""
    predictions = [{"prediction": "ab"[h], "reference": "b", "scores": {"a": 0, "b": 0}} for h in hits]
    return statistics_of("accuracy", predictions), scorer("accuracy", predictions)


def test_the_interval_of_an_accuracy_is_that_of_theory():
    """Of one seed each, the difference of two accuracies on the same examples has the variance var(a - b) / n: less
    than that of two test sets, which an unpaired bootstrap would give."""
    draw = np.random.default_rng(4)
    theirs = (draw.random(900) < 0.6).astype(int)
    ours = np.where(draw.random(900) < 0.1, 1 - theirs, theirs)
    (a, score), (b, _) = statistics_of_hits(ours), statistics_of_hits(theirs)
    found = difference([a], [b], score)
    assert found["difference"] == pytest.approx(np.mean(ours - theirs))
    half = 1.96 * np.std(ours - theirs) / np.sqrt(900)
    assert found["high"] - found["low"] == pytest.approx(2 * half, rel=0.08)


def test_seeds_that_differ_widen_the_interval():
    """A model that is better with one seed and worse with another is not known to be better."""
    same, score = statistics_of_hits([1, 0] * 200)
    good, bad = statistics_of_hits([1, 1, 1, 0] * 100)[0], statistics_of_hits([0, 0, 0, 1] * 100)[0]
    steady = difference([good, good, good], [same] * 3, score)
    unsteady = difference([good, good, bad], [same] * 3, score)
    assert steady["low"] > 0
    assert unsteady["low"] < 0 < unsteady["high"]


def test_a_model_does_not_differ_from_itself():
    predictions = classified(5)
    statistics = statistics_of("f1_weighted", predictions)
    found = difference([statistics], [statistics], scorer("f1_weighted", predictions))
    assert (found["difference"], found["low"], found["high"]) == (0, 0, 0)

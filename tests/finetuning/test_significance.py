"""The bootstrap: its scores are the benchmarks' own, its intervals those of theory."""

import numpy as np
import pytest
from scipy.stats import binom

from finetuning.metrics import AnswerScores, EntityScores, LabelScores, LabelSetScores
from finetuning.significance import difference, intervals, statistics_of

LABELS = ["neutral", "positive", "negative", "speech"]
TAGS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
WORDS = ["Москва", "в", "1812 году", "Наполеон", ""]
DRAW = np.random.default_rng(7)
TRUTH = DRAW.choice(LABELS, size=200, p=np.arange(1, 5) / 10)
GUESSES = np.where(DRAW.random(200) < 0.6, TRUTH, DRAW.choice(LABELS, size=200))
LABELLED = list(zip(GUESSES, TRUTH, strict=True))
TAGGED = [DRAW.choice(TAGS, size=(2, n)).tolist() for n in DRAW.integers(1, 9, size=60)]
ANSWERED = [(" ".join(DRAW.choice(WORDS, size=2)), DRAW.choice(WORDS[:4], size=2).tolist()) for _ in range(50)]
ANSWERED += [("Москва", []), ("", [])]  # the last is right, for there is no answer
OF_LABELS = LabelScores(LABELS, "accuracy", "f1_weighted", "f1_macro", "f1", "matthews_correlation")
SETS = [[[name for name in LABELS[:3] if DRAW.random() < share] for share in (0.3, 0.5)] for _ in range(60)]
OF_SETS = LabelSetScores(LABELS, "accuracy", "f1_weighted", "f1_macro", "f1_micro")
CASES = [
    *((OF_SETS, name, SETS) for name in OF_SETS.names),
    *((OF_LABELS, name, LABELLED) for name in OF_LABELS.names),
    *((OF_LABELS, name, [pair for pair in LABELLED if LABELS[1] not in pair]) for name in ("f1_weighted", "f1_macro")),
    (EntityScores(["PER", "LOC"]), "f1", TAGGED),
    *((AnswerScores(), name, ANSWERED) for name in ("f1", "exact_match")),
]


def predictions_of(pairs, key="scores"):
    return [{"prediction": a, "reference": b, key: dict.fromkeys(LABELS)} for a, b in pairs]


def answers_of(hits):
    return predictions_of([("yes" if hit else "no", "yes") for hit in hits])


def hits_of(hits):
    return statistics_of(answers_of(hits))[0]


def accuracy(sums):
    return sums[..., 0] / sums[..., 1]


@pytest.mark.parametrize(("metric", "name", "pairs"), CASES)
def test_scores_are_the_benchmarks_own(metric, name, pairs):
    sums, scores = statistics_of(predictions_of(pairs, "entities" if isinstance(metric, EntityScores) else "scores"))
    predictions, references = map(list, zip(*pairs, strict=True))
    right = metric.compute(predictions=predictions, references=references)[name]
    right /= 100 if isinstance(metric, AnswerScores) else 1
    assert scores(sums.sum(0))[name] == pytest.approx(right, abs=1e-11) and right > 0


@pytest.mark.parametrize("right", [9, 60, 450])
def test_the_interval_of_a_score_is_that_of_theory(right):
    """The number of right answers is binomial: exact intervals of shares of 900 resampled examples."""
    found = intervals(["accuracy", "loss"], answers_of([hit < right for hit in range(900)]), 100)
    assert list(found) == ["accuracy"]
    assert found["accuracy"] == pytest.approx(100 * binom.ppf([0.025, 0.975], 900, right / 900) / 900, abs=0.35)


def test_the_interval_of_entities_is_that_of_a_plain_bootstrap():
    """Sentences are drawn with what they have: an entity may be missed in one, and another invented in it."""
    metric, draw, scores = EntityScores(["PER", "LOC"]), np.random.default_rng(1), []
    for _ in range(300):
        guesses, right = map(list, zip(*(TAGGED[place] for place in draw.integers(60, size=60)), strict=True))
        scores.append(metric.compute(predictions=guesses, references=right)["f1"])
    found = intervals(["f1"], predictions_of(TAGGED, "entities"))["f1"]
    assert found == pytest.approx(np.quantile(scores, [0.025, 0.975]), abs=0.015)


def test_label_sets_have_the_same_interval_before_and_after_they_are_saved():
    """A run has tuples, and the lines of its predictions have lists."""
    run = predictions_of([tuple(map(tuple, pair)) for pair in SETS])
    assert intervals(OF_SETS.names, run) == intervals(OF_SETS.names, predictions_of(SETS))


def test_the_answers_to_a_question_are_not_drawn_apart():
    assert not intervals(["f1", "accuracy"], [{"prediction": "1", "reference": {"question": "0-1", "label": "1"}}])


def test_the_interval_of_an_accuracy_is_that_of_theory():
    """The difference of two accuracies on the same examples has the variance var(a - b) / n."""
    draw = np.random.default_rng(4)
    second = (draw.random(900) < 0.6).astype(int)
    first = np.where(draw.random(900) < 0.1, 1 - second, second)
    found = difference([hits_of(first)], [hits_of(second)], accuracy)
    assert found["difference"] == pytest.approx(np.mean(first - second))
    half = 1.96 * np.std(first - second) / np.sqrt(900)
    assert found["high"] - found["low"] == pytest.approx(2 * half, rel=0.08)


def test_seeds_that_differ_widen_the_interval():
    """A model that is better with one seed and worse with another is not known to be better."""
    same, good, bad = map(hits_of, ([1, 0] * 200, [1, 1, 1, 0] * 100, [0, 0, 0, 1] * 100))
    assert difference([good] * 3, [same] * 3, accuracy)["low"] > 0
    unsteady, alike = difference([good, good, bad], [same] * 3, accuracy), difference([same], [same], accuracy)
    assert unsteady["low"] < 0 < unsteady["high"] and alike["low"] == alike["high"] == 0

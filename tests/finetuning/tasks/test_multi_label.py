"""Several labels a text: a sigmoid each, and thresholds that the validation part chooses."""

import dataclasses

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score

from finetuning.metrics import LabelSetScores
from finetuning.tasks.base import Part
from finetuning.tasks.losses import IGNORED, label_loss
from finetuning.tasks.multi_label import MultiLabel, best_threshold

SETS = [("a", "c"), (), ("b",), ("a",)]


@pytest.fixture
def task():
    rest = dict(read=lambda source: {}, write=lambda folder, rows, predictions: folder, primary_metric="f1_macro")
    return MultiLabel(
        name="letters", labels=tuple("abc"), metric=LabelSetScores("abc", "accuracy", "f1_macro"), **rest
    )


@pytest.fixture
def rows():
    return [{"id": str(n), "text": f"текст {n}", "label": label} for n, label in enumerate(SETS)]


def test_the_loss_is_that_of_a_sigmoid_a_label(task, rows, tokenizer):
    targets = torch.tensor(task.encode(rows, tokenizer, 16).inputs["labels"])
    assert targets.tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0], [1, 0, 0]]
    logits = torch.randn(4, 3)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets.float(), reduction="sum")
    assert label_loss(task.scores(logits, None), targets).item() == pytest.approx(expected.item(), rel=1e-5)
    unknown = task.encode([rows[0] | {"label": None}], tokenizer, 16).inputs["labels"]
    assert unknown[0] == [IGNORED] * 3 and task.labels_of([rows[0] | {"label": None}]) == []


def test_what_is_predicted(task, rows):
    part, logits = Part(rows, None), np.array([[2.0, -2, 0.1], [-1, -1, -1], [-1, 1, -1], [-0.5, -1, -1]])
    said = task.decode(part, list(logits))
    assert [one["prediction"] for one in said] == [("a", "c"), (), ("b",), ()]
    other = dataclasses.replace(task, labels=tuple("cba")).decode(part, [one[::-1] for one in logits])
    assert [one["prediction"] for one in other] == [one["prediction"] for one in said], "in whatever order the labels"
    shares = 1 / (1 + np.exp(-logits[3]))
    assert said[3]["score"] == pytest.approx((1 - shares).prod()) and said[3]["scores"]["a"] == pytest.approx(
        shares[0]
    )
    assert task.score(rows, said) == pytest.approx({"f1_macro": (2 / 3 + 1 + 1) / 3, "accuracy": 0.75})
    assert task.confusions(("a", "c"), ("b", "c")) == [("a", "(none)"), ("(none)", "b"), ("c", "c")]
    fitted = task.fitted(part, list(logits))
    assert fitted.decode(part, list(logits))[3]["prediction"] == ("a",) and len(fitted.config["thresholds"]) == 3


def test_the_best_threshold():
    """None gives a better F1; a label that never holds has none to find."""
    draw = np.random.default_rng(0)
    held = draw.random(200) < 0.3
    probabilities = np.clip(0.3 * held + draw.normal(0.3, 0.2, 200), 0, 1)
    best = f1_score(held, probabilities >= best_threshold(held, probabilities))
    assert best == pytest.approx(max(f1_score(held, probabilities >= one) for one in probabilities))
    assert best_threshold(np.zeros(3), np.array([0.9, 0.1, 0.2])) == 0.5
    assert best_threshold(np.ones(2), np.array([0.6, 0.2])) == pytest.approx(0.1)

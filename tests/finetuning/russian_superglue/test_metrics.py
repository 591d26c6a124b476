"""The figures are those of the official scripts, by hand."""

import random

import pytest

from finetuning.russian_superglue.metrics import METRICS, metric, overall, references, score
from finetuning.russian_superglue.tasks import LABELS, NAMES


def test_answers_of_muserc_by_hand():
    """Found 2 of 3 right answers with 1 that is wrong: F1 2·2 / (3 + 3). Of three questions one is wholly right."""
    right = [("1-1", "1"), ("1-1", "0"), ("1-2", "1"), ("1-2", "1"), ("2-1", "0")]
    said = ["1", "0", "1", "0", "1"]
    rows = [{"question": question, "label": label} for question, label in right]
    figures = metric("muserc").compute(predictions=said, references=rows)
    assert figures == {"f1a": pytest.approx(2 / 3), "exact_match": pytest.approx(1 / 3)}


def test_questions_of_muserc_need_not_stand_together():
    rows = [{"question": question, "label": "1"} for question in "abab"]
    assert metric("muserc").compute(predictions=["1", "1", "0", "1"], references=rows)["exact_match"] == 0.5
    assert metric("muserc").compute(predictions=["0"] * 4, references=rows) == {"f1a": 0, "exact_match": 0}


def test_answers_of_rucos_by_hand():
    """The best over the right answers: the same, twice; one word of two; none of them; none at all."""
    said = ["«ЕС,", "Рим", "Юрген Клинсман", "Осло", "Осло"]
    right = [["США", "ес"], ["рим", "Осло"], ["Клинсман"], ["Рим", "Мюнхен"], []]
    figures = metric("rucos").compute(predictions=said, references=right)
    assert figures == {"f1": pytest.approx((1 + 1 + 2 / 3) / 5), "exact_match": 0.4}


@pytest.mark.parametrize("task", NAMES)
def test_a_score_is_that_of_the_metric(task):
    """`score` goes past the table that `compute` writes; both must say the same."""
    draw = random.Random(1)
    labels = LABELS[task] or ("Осло", "Рим")
    rows = [{"idx": [0, n // 3, n] if task == "muserc" else n, "label": draw.choice(labels)} for n in range(60)]
    for row in rows:
        row["answers"] = [row["label"]]
        row["label"] = int(row["label"]) if task == "parus" else row["label"]
    said = [draw.choice(labels) for _ in rows]
    full = metric(task).compute(predictions=said, references=references(task, rows))
    found = score(task, rows, [int(one) for one in said] if task == "parus" else said)
    assert list(found) == list(METRICS[task]) and all(full[name] == pytest.approx(found[name]) for name in found)
    right = [row["answers"][0] if task == "rucos" else row["label"] for row in rows]
    assert set(score(task, rows, right).values()) == {1.0}


def test_overall():
    """A task with two figures counts once: (0.5 + mean(0.2, 0.4) + mean(1, 0)) / 3."""
    scores = {
        "terra": {"accuracy": 0.5, "f1": 0.9},
        "rcb": {"f1_macro": 0.2, "accuracy": 0.4},
        "muserc": {"f1a": 1.0, "exact_match": 0.0},
    }
    assert overall(scores) == pytest.approx((0.5 + 0.3 + 0.5) / 3)
    assert overall({"lidirus": {"matthews_correlation": -0.1}}) == pytest.approx(-0.1)

"""The figures are those of the official scripts, by hand; and what they must beat: the commonest label and chance."""

import random

import pytest

from finetuning.russian_superglue.report import majority, overall, random_score, score
from finetuning.russian_superglue.tasks import LABELS, METRICS, NAMES, make_task


@pytest.mark.parametrize(
    ("task", "predictions", "references", "figures"),
    [
        # Found 2 of 3 right answers with 1 that is wrong: F1 2·2 / (3 + 3). One of three questions is all right.
        ("muserc", "10101", ["1-1 1", "1-1 0", "1-2 1", "1-2 1", "2-1 0"], (2 / 3, 1 / 3)),
        ("muserc", "1101", ["a 1", "b 1", "a 1", "b 1"], (6 / 7, 1 / 2)),  # they need not stand together
        ("muserc", "0000", ["a 1", "b 1", "a 1", "b 1"], (0, 0)),
        # The best over the right answers: the same, twice; one word of two; none of them; none at all.
        (
            "rucos",
            ["«ЕС,", "Рим", "Юрген Клинсман", "Осло", "Осло"],
            [["США", "ес"], ["рим", "Осло"], ["Клинсман"], ["Рим", "Мюнхен"], []],
            ((1 + 1 + 2 / 3) / 5, 2 / 5),
        ),
    ],
)
def test_official_figures_by_hand(task, predictions, references, figures):
    if task == "muserc":
        references = [dict(zip(("question", "label"), one.split(), strict=True)) for one in references]
    found = make_task(task).metric.compute(predictions=list(predictions), references=references)
    assert [found[name] for name in METRICS[task]] == pytest.approx(figures)


@pytest.mark.parametrize("task", NAMES)
def test_a_score_is_that_of_the_metric(task):
    """`score` goes past the table that `compute` writes; both must say the same."""
    draw = random.Random(1)
    labels = LABELS[task] or ("Осло", "Рим")
    right, said = ([draw.choice(labels) for _ in range(60)] for _ in range(2))
    rows = [
        {"idx": [0, n // 3, n], "label": int(one) if task == "parus" else one, "answers": [one]}
        for n, one in enumerate(right)
    ]
    full, found = make_task(task), score(task, rows, said)
    full = full.metric.compute(predictions=said, references=full.references(rows))
    assert found == pytest.approx({name: full[name] for name in METRICS[task]})
    assert set(score(task, rows, right).values()) == {1.0}


def test_overall():
    """A task with two figures counts once: (0.5 + mean(0.2, 0.4) + mean(1, 0)) / 3."""
    scores = {
        "terra": {"accuracy": 0.5, "f1": 0.9},
        "rcb": {"f1_macro": 0.2, "accuracy": 0.4},
        "muserc": {"f1a": 1.0, "exact_match": 0.0},
    }
    assert overall(scores) == pytest.approx((0.5 + 0.3 + 0.5) / 3)


@pytest.mark.parametrize(
    ("task", "train", "label"),
    [
        ("rcb", ["neutral", "neutral", "entailment"], "neutral"),
        ("parus", [1, 0, 1], "1"),
        ("parus", [1, 0], "0"),  # as common: the first, whatever the order of rows
    ],
)
def test_the_commonest_label(task, train, label):
    assert majority(task, [{"label": one} for one in train], [{}, {}]) == [label, label]


@pytest.mark.parametrize(
    ("task", "rows", "figures"),
    [
        ("danetqa", [{"label": label} for label in ["true", "false"] * 20], [1 / 2]),  # of n labels one n-th
        ("rcb", [{"label": "neutral"}] * 40, [None, 1 / 3]),
        (  # of three entities, one is right and one half of it
            "rucos",
            [
                {"choices": ["Осло", "Рим"], "answers": ["Осло"]},
                {"choices": ["Кит", "Пёс", "Юрген Кит"], "answers": ["Юрген Кит"]},
            ],
            [(1 / 2 + (1 + 2 / 3) / 3) / 2, (1 / 2 + 1 / 3) / 2],
        ),
    ],
)
def test_scores_of_chance(task, rows, figures):
    found = random_score(task, rows, repetitions=2000 if task == "rucos" else 100).values()
    assert all(figure in (None, pytest.approx(one, abs=0.02)) for figure, one in zip(figures, found, strict=True))

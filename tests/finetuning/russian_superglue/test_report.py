"""The figures are those of the official scripts, by hand; and what they must beat: the commonest label and chance."""

import pytest

from finetuning.russian_superglue.report import majority, random_score, score
from finetuning.russian_superglue.tasks import LABELS, METRICS, NAMES, make_task

SAID = ['"ЕС,', "Рим", "Юрген Клинсман", "Осло", "Осло"]
RIGHT = [["США", "ес"], ["рим", "Осло"], ["Клинсман"], ["Рим", "Мюнхен"], []]


@pytest.mark.parametrize(
    ("task", "predictions", "references", "figures"),
    [
        # Found 2 of 3 right answers with 1 that is wrong: F1 2·2 / (3 + 3). One of three questions is all right.
        ("muserc", "10101", ["1-1 1", "1-1 0", "1-2 1", "1-2 1", "2-1 0"], (2 / 3, 1 / 3)),
        ("muserc", "1101", ["a 1", "b 1", "a 1", "b 1"], (6 / 7, 1 / 2)),  # they need not stand together
        # The best over the right answers: the same, twice; one word of two; none of them; none at all.
        ("rucos", SAID, RIGHT, ((1 + 1 + 2 / 3) / 5, 2 / 5)),
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
    labels = LABELS[task] or ("Осло", "Рим")
    right, said = ([labels[n // step % len(labels)] for n in range(60)] for step in (1, 2))
    rows = [{"idx": [0, n // 3, n], "label": one, "answers": [one]} for n, one in enumerate(right)]
    full = make_task(task).metric.compute(predictions=said, references=make_task(task).references(rows))
    assert score(task, rows, said) == pytest.approx({name: full[name] for name in METRICS[task]})
    assert set(score(task, rows, right).values()) == {1.0}


def test_the_commonest_label():
    """Of labels that are as common it is the first, whatever the order of rows."""
    for train, label in (([1, 0, 1], "1"), ([1, 0], "0")):
        assert majority("parus", [{"label": one} for one in train], [{}, {}]) == [label, label]


def test_scores_of_chance():
    """Of n labels one n-th; of three entities, one is right and one half of it."""
    rows = [{"label": label} for label in ["true", "false"] * 20]
    assert random_score("danetqa", rows)["accuracy"] == pytest.approx(1 / 2, abs=0.01)
    entities = [{"choices": of, "answers": of[-1:]} for of in (["Рим", "Осло"], ["Кит", "Пёс", "Юрген Кит"])]
    figures = random_score("rucos", entities, repetitions=2000)
    assert figures["exact_match"] == pytest.approx((1 / 2 + 1 / 3) / 2, abs=0.02)
    assert figures["f1"] == pytest.approx((1 / 2 + (1 + 2 / 3) / 3) / 2, abs=0.02)

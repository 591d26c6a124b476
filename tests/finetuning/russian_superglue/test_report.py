"""What a score must beat: the commonest label and chance, worked by hand."""

import pytest

from finetuning.russian_superglue.report import majority, random_score


def rows(*labels):
    return [{"idx": number, "label": label} for number, label in enumerate(labels)]


ENTITIES = [
    {"idx": 0, "choices": ["Осло", "Рим"], "answers": ["Осло"]},
    {"idx": 1, "choices": ["Кит", "Пёс", "Юрген Кит"], "answers": ["Юрген Кит"]},
]


@pytest.mark.parametrize(
    ("task", "train", "label"),
    [
        ("rcb", ["neutral", "neutral", "entailment"], "neutral"),
        ("danetqa", ["true", "false", "true"], "true"),
        ("parus", [1, 0, 1], 1),
        ("parus", [1, 0], 0),  # as common: the first, whatever the order of rows
        ("muserc", ["0", "1", "0"], "0"),
    ],
)
def test_the_commonest_label(task, train, label):
    assert majority(task, rows(*train), rows(None, None)) == [label, label]


def test_scores_of_chance():
    """Of n labels one n-th; of three entities, one is right and one half of it."""
    assert random_score("danetqa", rows(*["true", "false"] * 20))["accuracy"] == pytest.approx(1 / 2, abs=0.01)
    assert random_score("rcb", rows(*["neutral"] * 40))["accuracy"] == pytest.approx(1 / 3, abs=0.01)
    figures = random_score("rucos", ENTITIES, repetitions=4000)
    assert figures["exact_match"] == pytest.approx((1 / 2 + 1 / 3) / 2, abs=0.02)
    assert figures["f1"] == pytest.approx((1 / 2 + (1 + 2 / 3) / 3) / 2, abs=0.02)

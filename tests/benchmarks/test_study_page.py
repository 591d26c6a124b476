"""The tables of a study, by hand: which seeds, which differences, which order."""

import pytest

from benchmarks.studying import page
from benchmarks.studying.pictures import pictures, points_of


def run(loss, words=0.25, parameters=100, steps=10):
    """A student's run of one seed."""
    held_out = {"loss": 4.0, "loss_per_character": loss, "masked_token_accuracy": 0.2, "masked_word_accuracy": words}
    sizes = {"parameters": parameters, "model_bytes": 4_000_000, "steps": steps, "learning_rate": 1e-3}
    shape = {"num_hidden_layers": 2, "hidden_size": 8, "vocab_size": 16}
    return held_out | sizes | shape | {"bf16": False, "max_length": 128, "per_device_train_batch_size": 64}


ABOUT = {"task": "letters", "metric": "f1", "seeds": [2, 3]}
RATES = {"0.0001": 0.1, "0.001": 0.7, "0.01": 0.5}
TUNED = {"rate": 1e-3, "validation_of_rates": RATES, "truncated": 0.125, "steps": [8, 8]}
FIGURES = {
    "machines": [{"cores": 2}, {"cores": 3}],
    "corpus": {"lines": {"train.txt": 1000}},
    "teacher": run(1.5, parameters=1700) | {"train_seconds": 7.4, "held_out": run(1.5)},
    "students": {
        "small": {"seeds": {"1": run(2.0, 0.30), "2": run(2.2, 0.28)}},
        "small-mlm": {"seeds": {"1": run(2.5, 0.20), "2": run(2.3, 0.24), "3": run(9.0)}},
        "small-mlm-compute": {"seeds": {"1": run(2.1, steps=25)}},
        "small-late": {"seeds": {"1": {"parameters": 100, "steps": 10}}},
    },
    "tables": {
        "main": {"title": "Students", "seeds": [1, 2], "students": ["small", "small-mlm", "small-late"]},
        "one": {"title": "One seed", "seeds": [1], "students": ["small", "small-mlm"], "base": "small"},
    },
    "costs": {"small-cost": 0.3, "small-cached-cost": 0.2, "small-mlm-cost": 0.1},
    "finetuned": {
        "letters": {
            "task": "letters",
            "metric": "f1",
            "split": "test",
            "examples": {"train": 1000, "test": 16},
            "best_constant": 0.345,
            "models": {"small": TUNED | {"scores": {"f1": [0.5, 0.6], "loss": [1, 1], "accuracy": [0.7, 0.7]}}},
        }
    },
    "pairs": [["small", "small-mlm"], ["small", "teacher"]],
    "comparisons": [
        {"ours": "small", "theirs": "x", "difference": 0.0123, "low": -0.001, "high": 0.02} | ABOUT,
        {"ours": "small", "theirs": "y", "difference": -0.0123, "low": -0.02, "high": -0.01} | ABOUT,
    ],
}


def rows(text):
    """The lines of a table, as lists of cells, without the head."""
    lines = [line for line in text.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line[1:-1].split("|")] for line in lines]


def test_a_table_has_the_seeds_that_it_names():
    """The mean over more seeds than those of its neighbours would hide a difference, or show one that is not there."""
    teacher, small, mlm = rows(page.held_out(FIGURES, FIGURES["tables"]["main"]))
    assert small == ["small", "10", "4.000 ± 0.000", "2.100 ± 0.141", "20.0 ± 0.0 %", "29.0 ± 1.4 %", "2"]
    assert mlm[3] == "2.400 ± 0.141" and teacher[0] == "teacher"
    assert [row[3] for row in rows(page.held_out(FIGURES, FIGURES["tables"]["one"]))] == ["1.500", "2.000", "2.500"]


def test_differences_are_of_the_seeds_that_both_have():
    assert rows(page.held_out_differences(FIGURES)) == [["small - small-mlm", "-0.300 ± 0.283", "7.0 ± 4.2", "2"]]


def test_costs_are_multiples_of_the_same_shape_without_a_teacher():
    found = rows(page.costs(FIGURES))
    assert found == [["small", "0.300", "3.00"], ["small-cached", "0.200", "2.00"], ["small-mlm", "0.100", "1.00"]]


def test_scores_and_where_their_rate_stands_in_the_list():
    (small, constant) = rows(page.scores(FIGURES, "letters"))
    assert small == [
        "small",
        "8",
        "55.0 ± 7.1",
        "70.0 ± 0.0",
        "0.001",
        "0.0001: 10.0, 0.001: 70.0, 0.01: 50.0",
        "12 %",
        "2",
    ]
    assert constant[:3] == ["one label for all", "", "34.5"]
    first, second = rows(page.differences(FIGURES))
    assert first == ["small - x", "letters", "f1", "+1.2", "-0.1 to +2.0", "2 and 3", "within chance"]
    assert second[3:] == ["-1.2", "-2.0 to -1.0", "2 and 3", "different"]


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(-0.009, 0.01, "alike"), (0.001, 0.009, "alike"), (-0.011, 0.009, "within chance"), (0.001, 0.011, "different")],
)
def test_models_are_alike_whose_difference_is_a_point_at_most(low, high, verdict):
    """Not because too few examples were looked at; of one seed there is no verdict."""
    one = FIGURES["comparisons"][0] | {"low": low, "high": high}
    for seeds, said in (([2, 2], verdict), ([2, 1], "")):
        assert rows(page.differences(FIGURES | {"comparisons": [one | {"seeds": seeds}]}))[0][-1] == said


def test_the_page_has_every_part_once():
    text = page.page(FIGURES)
    assert text.count("### ") == 8 and "| small | 2 x 8 | 16 | 100 | 17.0 | 4.0 | 0.001 |" in text
    assert "Scored on the test part. Examples: 1,000 for train, 16 for test." in text
    assert "Machine: cores 2; cores 3." in text and "10 steps of 64 lines of at most 128 tokens, fp32, 7 s." in text


def test_a_point_costs_its_steps_times_a_step():
    found = points_of(FIGURES, "small")
    _, seconds, losses = found["mlm"]
    assert seconds == pytest.approx([1.0, 2.5]) and losses == pytest.approx([(2.5 + 2.3 + 9) / 3, 2.1])
    assert found["distilled"][1] == pytest.approx([3.0])
    assert {name for name in pictures(FIGURES)} == {"one.png", "compute.png"}
    tuned = FIGURES["finetuned"]["letters"]
    both = {"letters": tuned | {"models": tuned["models"] | {"small-mlm": tuned["models"]["small"]}}}
    assert "scores.png" in pictures(FIGURES | {"finetuned": both})

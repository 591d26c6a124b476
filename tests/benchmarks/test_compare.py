"""Comparisons of models: which runs count, what an interval says, what cannot be compared."""

import json

import pytest

from benchmarks import compare

LABELS = {"no": 0.5, "yes": 0.5}


def run(folder, right, seed=1, rate=1e-3, validation=0.5, metric="accuracy", examples=400):
    """A run that is right in the first `right` of its examples."""
    folder.mkdir(parents=True)
    figures = {"task": "toy", "metric": metric, "seed": seed, "recipe": {"learning_rate": rate}}
    (folder / "all_results.json").write_text(json.dumps(figures | {f"validation_{metric}": validation}))
    rows = [
        {"prediction": "yes" if i < right else "no", "reference": "yes", "scores": LABELS} for i in range(examples)
    ]
    (folder / "test_predictions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def cells(capsys, *argv):
    """The cells of the table's only line."""
    compare.main(list(map(str, argv)))
    return [cell.strip() for cell in capsys.readouterr().out.splitlines()[2].strip("| ").split("|")]


@pytest.fixture
def two(tmp_path):
    """Two models with two seeds each, of which the first is better by far."""
    for seed in (1, 2):
        run(tmp_path / "good" / f"seed-{seed}", right=300, seed=seed)
        run(tmp_path / "bad" / f"seed-{seed}", right=200, seed=seed)
    return tmp_path


def test_a_difference_with_its_interval(two, capsys):
    found = cells(capsys, "--models", two / "good", "--baseline", two / "bad")
    assert found[:5] == ["good - bad", "toy", "accuracy", "75.0, 50.0", "+25.0"]
    assert found[6:] == ["2 and 2", "different"]


def test_the_learning_rate_that_validates_best_counts(two, capsys):
    """Never the one that is best on the reported part."""
    for seed in (1, 2):
        run(two / "good" / "faster" / f"seed-{seed}", right=400, seed=seed, rate=1e-2, validation=0.4)
        run(two / "bad" / "faster" / f"seed-{seed}", right=100, seed=seed, rate=1e-2, validation=0.6)
    assert cells(capsys, "--models", two / "good", "--baseline", two / "bad")[3] == "75.0, 25.0"


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [(-0.9, 1, "alike"), (0.1, 0.9, "alike"), (-1.1, 0.9, "within chance"), (0.1, 1.1, "different")],
)
def test_models_are_alike_whose_difference_is_a_point_at_most(low, high, said):
    """Not because too few examples were looked at."""
    assert compare.verdict(low, high) == said


def test_of_one_seed_there_is_no_verdict(two, capsys):
    run(two / "single", right=300)
    assert cells(capsys, "--models", two / "single", "--baseline", two / "bad")[-1] == "one seed tells nothing"


def test_held_out_text_is_compared_seed_by_seed(two, capsys):
    losses = {
        "good/seed-1": (2.0, 0.30),
        "good/seed-2": (2.2, 0.28),
        "bad/seed-1": (2.5, 0.2),
        "bad/seed-2": (2.3, 0.24),
    }
    figures = {
        str(two / name): {"loss_per_character": loss, "masked_word_accuracy": words}
        for name, (loss, words) in losses.items()
    }
    (two / "held.json").write_text(json.dumps(figures))
    found = cells(capsys, "--models", two / "good", "--baseline", two / "bad", "--held_out", two / "held.json")
    assert found == ["good - bad", "-0.300 ± 0.283", "7.0 ± 4.2", "2"]


@pytest.mark.parametrize(
    ("models", "sentence"),
    [
        (["empty"], "share no task and no held-out text"),
        (["shorter"], "different test parts"),
        (["."], "are both runs of toy with seed 1"),
    ],
)
def test_what_cannot_be_compared_is_refused(two, capsys, models, sentence):
    (two / "empty").mkdir()
    for seed in (1, 2):
        run(two / "shorter" / f"seed-{seed}", right=300, seed=seed, examples=399)
    with pytest.raises(SystemExit, match="2"):
        compare.main(["--baseline", str(two / "bad"), "--models", *(str(two / model) for model in models)])
    assert sentence in capsys.readouterr().err


def test_a_metric_without_a_bootstrap_is_told(two, capsys):
    for seed in (1, 2):
        run(two / "odd" / f"seed-{seed}", right=3, seed=seed, metric="mcc")
    assert "not compared" in cells(capsys, "--models", two / "odd", "--baseline", two / "odd")[-1]

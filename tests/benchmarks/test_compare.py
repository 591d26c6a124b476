"""Comparisons of models."""

import json

import pytest

from benchmarks import compare
from distillation.runs.files import write_json


@pytest.fixture
def add(tmp_path):
    # The runs of a model with two seeds, right in the first `right` of their examples.
    def runs(
        name,
        right,
        rate=1e-3,
        validation=0.5,
        metric="accuracy",
        examples=400,
        seeds=(1, 2),
        right_answer="yes",
        **keys,
    ):
        for seed in seeds:
            figures = {"task": "toy", "metric": metric, "seed": seed, "recipe": {"learning_rate": rate, **keys}}
            folder = tmp_path / name / f"seed-{seed}"
            figures |= {f"validation_{one}": validation for one in (metric, "accuracy")}
            write_json(folder / "all_results.json", figures)
            rows = [{"prediction": "yes" if i < right else "no", "reference": right_answer} for i in range(examples)]
            lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            (folder / "test_predictions.jsonl").write_text(lines, "utf-8")

    runs("good", right=300)
    runs("bad", right=200)
    return runs


@pytest.fixture
def cells(tmp_path, monkeypatch, capsys):
    """A function: a model, the baseline, and more words -> the cells of the table's only line."""
    monkeypatch.chdir(tmp_path)

    def run(model, baseline="bad", *words):
        compare.main(["--models", model, "--baseline", baseline, *words])
        return [cell.strip() for cell in capsys.readouterr().out.splitlines()[2].strip("| ").split("|")]

    return run


def test_a_difference_with_its_interval(add, cells):
    """The learning rate counts that validates best, never the one that is best on the reported part."""
    add("good/faster", right=400, rate=1e-2, validation=0.4)
    add("bad/slower", right=100, rate=1e-4, validation=0.4)
    found = cells("good")
    assert found[:5] == ["good - bad", "toy", "accuracy", "75.0, 50.0", "+25.0"]
    assert found[6:] == ["2 and 2", "different"]


def test_the_metric_is_the_one_that_chose_the_checkpoints(add, cells):
    add("loss", right=300, metric_for_best_model="loss")
    assert cells("loss")[2] == "accuracy"
    add("pairs", right=300, metric="f1", metric_for_best_model="accuracy")
    add("baseline", right=300, metric="f1", metric_for_best_model="accuracy")
    assert cells("pairs", "baseline")[2] == "accuracy"


def test_runs_by_different_metrics_are_not_compared(add, cells):
    add("good/f1", right=390, metric="f1", validation=0.9)
    assert cells("good")[2:4] == ["accuracy", "75.0, 50.0"]
    assert cells("good/f1")[-1] == "not compared: bad went by accuracy"


def test_a_model_that_shares_no_task_is_named(add, tmp_path, capsys):
    add("other", right=300)
    for file in (tmp_path / "other").glob("*/all_results.json"):
        write_json(file, json.loads(file.read_text()) | {"task": "names"})
    compare.main(["--baseline", str(tmp_path / "bad"), "--models", str(tmp_path / "good"), str(tmp_path / "other")])
    printed = capsys.readouterr().out
    assert "| good - bad | toy |" in printed and "| not compared: they share no task |" in printed


def test_a_difference_of_a_point_at_most_is_none():
    assert compare.verdict(-0.9, 1) == compare.verdict(0.1, 0.9) == "alike"
    assert (compare.verdict(-1.1, 0.9), compare.verdict(0.1, 1.1)) == ("within chance", "different")


def test_an_answer_may_have_a_line_separator(add, cells):
    for name in ("good", "bad"):
        add(name, right=300, right_answer="yes\u2028")
    assert cells("good")[3] == "0.0, 0.0"


def test_where_there_is_no_verdict(add, cells):
    add("single", right=300, seeds=[1])
    assert cells("single")[-1] == "no verdict: one seed"
    for name in ("odd", "baseline"):
        add(name, right=3, metric="mcc")
    assert "not compared" in cells("odd", "baseline")[-1]
    for name in ("odd", "baseline"):  # MuSeRC, whose exact match is of questions
        add(name, right=3, metric="exact_match", right_answer={"question": "1", "label": "yes"})
    assert "not compared" in cells("odd", "baseline")[-1]


def test_held_out_text_is_compared_seed_by_seed(add, cells, tmp_path):
    found = {"good/seed-1": (2.0, 0.3), "good/seed-2": (2.2, 0.28)}
    found |= {"bad/seed-1": (2.5, 0.2), "bad/seed-2": (2.3, 0.24)}
    found = {name: {"loss_per_character": a, "masked_word_accuracy": b} for name, (a, b) in found.items()}
    write_json(tmp_path / "held.json", found)
    assert cells("good", "bad", "--held_out", "held.json") == ["good - bad", "-0.300 ± 0.283", "7.0 ± 4.2", "2"]
    write_json(tmp_path / "held.json", {name: of for name, of in found.items() if name != "good/seed-1"})
    assert cells("good", "bad", "--held_out", "held.json")[1] == "-0.100"  # the second seeds
    teacher = {"bad": found["bad/seed-1"]} | {name: of for name, of in found.items() if name.startswith("good/")}
    write_json(tmp_path / "held.json", teacher)
    assert cells("good", "bad", "--held_out", "held.json")[3] == "2"  # a teacher has one
    write_json(tmp_path / "held.json", {f"me/{name}": figures for name, figures in found.items()})  # ids of the Hub
    assert cells("me/good", "me/bad", "--held_out", "held.json")[3] == "2"


def test_what_cannot_be_compared_is_refused(add, cells, capsys, tmp_path):
    add("shorter", right=300, examples=399)
    (tmp_path / "empty").mkdir()
    cases = {
        "empty": "share no task",
        "bad": "`models` has the baseline alone",
        "godo": "`models` 'godo' is no folder",
    }
    add("torn", right=300)
    (tmp_path / "torn" / "seed-2" / "test_predictions.jsonl").write_text('{"prediction": "yes"}\n')
    cases |= {
        "torn": "seed-2/test_predictions.jsonl does not have the form",
        "shorter": "different test parts",
        ".": "are both runs of toy with seed 1",
    }
    for model, sentence in cases.items():
        with pytest.raises(SystemExit, match="2"):
            cells(model)
        assert sentence in capsys.readouterr().err

"""The table of fine-tuned models: every figure in its row and column, none lost."""

import pytest

from benchmarks import scores
from distillation.runs.files import write_json


@pytest.fixture
def add(tmp_path):
    """A function that leaves results in a folder."""

    def write(folder, model="a/student", task="rusentiment", metric="f1_weighted", score=0.5, **more):
        results = {"task": task, "model": model, "metric": metric, f"test_{metric}": score, "parameters": 1_240_000}
        write_json(tmp_path / folder / "all_results.json", {"recipe": {}, **results, **more})

    return write


@pytest.fixture
def rows(tmp_path, capsys):
    """A function that gives the printed rows."""

    def printed():
        scores.main([str(tmp_path)])
        return capsys.readouterr().out.splitlines()[2:]

    return printed


def test_a_row_a_model_a_column_a_task(add, rows):
    """Heads of other tasks have other numbers of parameters, which are no other model."""
    add("x", score=0.25, test_f1_weighted_std=0.0123)
    add("y", task="questions", metric="f1", score=61.5, per_cent=True, parameters=1_241_000)
    add("z", model="teacher", recipe={"random_weights": True})
    assert rows() == ["| student | 1.2 M | 25.0 ± 1.2 | 61.5 |", "| teacher, random weights | 1.2 M | 50.0 |  |"]


def test_models_of_one_name_are_told_apart(add, rows):
    add("x", model="a/student")
    add("y", model="b/student")
    assert [row.split(" | ")[0] for row in rows()] == ["| a/student", "| b/student"]


def test_of_several_seeds_the_mean_alone_counts(add, rows, tmp_path):
    """And a run inside the folder of a distilled model counts."""
    add("many", seeds=[1, 2], score=0.7)
    add("many/seed-1", score=0.6)
    write_json(tmp_path / "all_results.json", {"steps": 5})
    assert rows() == ["| student | 1.2 M | 70.0 |"]


def test_what_is_wrong_is_one_sentence(add, tmp_path, capsys):
    """A second run in a cell would replace the first without a word."""

    def said():
        with pytest.raises(SystemExit) as caught:
            scores.main([str(tmp_path)])
        error = capsys.readouterr().err
        assert caught.value.code == 2 and error.count("\n") == 1
        return error

    assert "has no all_results.json" in said()
    write_json(tmp_path / "all_results.json", {"steps": 5})
    assert "no results of a fine-tuning run" in said()
    add("x")
    add("y", score=0.9)
    assert "name one of them" in said()
    add("y", score="high", task="names")
    assert "y/all_results.json is not as results are" in said()

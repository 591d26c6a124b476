"""The table of fine-tuned models: every figure in its row and column, none lost."""

import json

import pytest

from benchmarks import scores


@pytest.fixture
def add(tmp_path):
    """A function that leaves results in a folder."""

    def write(folder, model="a/student", task="rusentiment", metric="f1_weighted", score=0.5, **more):
        path = tmp_path / folder
        path.mkdir(parents=True)
        results = {"task": task, "model": model, "metric": metric, f"test_{metric}": score, "parameters": 1_240_000}
        (path / "all_results.json").write_text(json.dumps({"recipe": {}, **results, **more}))

    return write


def test_a_row_a_model_a_column_a_task(add, tmp_path, capsys):
    """Heads of other tasks have other numbers of parameters, which are no other model."""
    add("x", score=0.25, test_f1_weighted_std=0.0123)
    add("y", task="sberquad", metric="f1", score=61.5, per_cent=True, parameters=1_241_000)
    add("z", model="teacher", recipe={"random_weights": True})
    scores.main([str(tmp_path)])
    assert capsys.readouterr().out.splitlines()[2:] == [
        "| student | 1.2 M | 25.0 ± 1.2 | 61.5 |",
        "| teacher, random weights | 1.2 M | 50.0 |  |",
    ]


def test_models_of_one_name_are_told_apart(add, tmp_path, capsys):
    add("x", model="a/student")
    add("y", model="b/student")
    scores.main([str(tmp_path)])
    assert "| a/student |" in (out := capsys.readouterr().out) and "| b/student |" in out


def test_two_runs_in_one_cell_are_refused(add, tmp_path, capsys):
    """The second would replace the first without a word."""
    add("x")
    add("y", score=0.9)
    with pytest.raises(SystemExit) as caught:
        scores.main([str(tmp_path)])
    assert caught.value.code == 2 and "name one of them" in capsys.readouterr().err


def test_of_several_seeds_the_mean_alone_counts(add, tmp_path, capsys):
    """And a run inside the folder of a distilled model counts."""
    add("many", seeds=[1, 2], score=0.7)
    add("many/seed-1", score=0.6)
    (tmp_path / "all_results.json").write_text(json.dumps({"steps": 5}))
    scores.main([str(tmp_path)])
    assert capsys.readouterr().out.splitlines()[2:] == ["| student | 1.2 M | 70.0 |"]


def test_nothing_to_show(tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        scores.main([str(tmp_path)])
    assert caught.value.code == 2 and "no results" in capsys.readouterr().err

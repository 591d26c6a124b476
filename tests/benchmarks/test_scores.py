"""The table of fine-tuned models: every figure in its row and column, none lost."""

import pytest

from benchmarks import scores
from distillation.runs.files import write_json


def add(folder, model="a/student", task="rusentiment", metric="f1_weighted", score=0.5, **more):
    """Leave results in a folder."""
    results = {"task": task, "model": model, "metric": metric, f"test_{metric}": score, "parameters": 1_240_000}
    write_json(folder / "all_results.json", {"recipe": {}, **results, **more})


def test_a_row_a_model_a_column_a_task(tmp_path, capsys):
    """Heads of other tasks have other numbers of parameters, which are no other model; models of one name are told
    apart; of several seeds the mean alone counts; a run inside the folder of a distilled model counts."""
    write_json(tmp_path / "all_results.json", {"steps": 5})
    add(tmp_path / "x", score=0.25, seeds=[1, 2], test_f1_weighted_std=0.0123)
    add(tmp_path / "x/seed-1", score=0.6)
    add(tmp_path / "y", task="questions", metric="f1", score=61.5, per_cent=True, parameters=1_241_000)
    add(tmp_path / "z", model="b/student", task="questions", metric="f1")
    add(tmp_path / "zz", model="teacher", recipe={"random_weights": True})
    scores.main([str(tmp_path)])
    assert capsys.readouterr().out.splitlines()[2:] == [
        "| a/student | 1.2 M | 25.0 ± 1.2 | 61.5 |",
        "| b/student | 1.2 M |  | 50.0 |",
        "| teacher, random weights | 1.2 M | 50.0 |  |",
    ]


def test_a_second_score_of_a_model_on_a_task_is_refused(tmp_path, capsys):
    """It would replace the first without a word."""
    add(tmp_path / "first")
    add(tmp_path / "second")
    with pytest.raises(SystemExit, match="2"):
        scores.main([str(tmp_path)])
    assert "name one of them" in capsys.readouterr().err

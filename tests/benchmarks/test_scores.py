"""The table of fine-tuned models."""

import pytest

from benchmarks import scores
from distillation.runs.files import write_json


def add(folder, model="a/student", task="rusentiment", metric="f1_weighted", score=0.5, **more):
    results = {"task": task, "model": model, "metric": metric, f"test_{metric}": score, "parameters": 1_240_000}
    write_json(folder / "all_results.json", {"recipe": {}, **results, **more})


def test_a_row_a_model_a_column_a_task(tmp_path, capsys):
    """Models of one name are told apart, not by parameters of heads; of several seeds the mean alone counts."""
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
    # A model that was fine-tuned twice is not its first checkpoint.
    add(tmp_path / "twice", model=str(tmp_path / "x"), task="questions", metric="f1", score=0.7)
    scores.main([str(tmp_path)])
    assert "| x | 1.2 M | 70.0 |  |" in capsys.readouterr().out
    add(tmp_path / "second", score=0.3)  # it would replace the first without a word
    with pytest.raises(SystemExit, match="2"):
        scores.main([str(tmp_path)])
    assert "name one of them" in capsys.readouterr().err

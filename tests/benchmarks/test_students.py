"""The figures of a study's models."""

import numpy as np
import pytest

from benchmarks import students
from distillation.runs.files import read_json, write_json


def add(run, right, loss=2.0, task="collection3", words=90, **more):
    """What a study leaves of a model with one seed: `right` of its four answers are."""
    figures = {"loss": 4.0, "loss_per_character": loss, "masked_token_accuracy": 0.1, "masked_word_accuracy": 0.25}
    figures["masked_words"] = words
    other = dict.fromkeys(figures, 9.0)
    write_json(run / "held-out" / "books.json", {"model": figures, "teacher": other})
    after, before = {"loss_per_character": loss + 0.01}, {"loss_per_character": loss}
    export = {"parameters": 3_300_000, "bytes": {"model.onnx": 3_000_000, "config.json": 400_000}}
    write_json(run / "deployed" / "export.json", export | {"exported": after, "pytorch": before} | more)
    write_json(run / "speed.json", {"rows": [{"text_cpu_seconds": [0.003, 0.0025, 0.002]}]})
    tuned = run / "tasks" / task
    metric = {"metric": "accuracy", "test_accuracy": right / 4, "validation_accuracy": 0.5, "per_cent": False}
    write_json(tuned / "all_results.json", metric | {"task": "x", "seed": 0, "recipe": {"learning_rate": 1e-3}})
    return run


def test_a_file_a_run_and_a_row_a_model(tmp_path, capsys):
    """Seeds are one row; a file whose folder is gone is a row as well."""
    first, second = (add(tmp_path / "own-match" / seed, right) for seed, right in (("0", 1), ("1", 3)))
    write_json(first / "model" / "all_results.json", {"steps": 620})
    vectors = {"task": "encodechka", "metric": "mean_s", "test_mean_s": 0.55, "recipe": {"random_weights": False}}
    write_json(second / "tasks" / "encodechka" / "model" / "all_results.json", vectors)
    students.main([str(first), str(second), "--output_dir", str(tmp_path / "figures")])
    assert read_json(tmp_path / "figures" / "own-match-0.json")["int8_nats_per_character"] == pytest.approx(0.01)
    larger = add(tmp_path / "teacher" / "0", 4, 1.5, parameters=28_000_000)
    pairs = {"task": "paraphraser", "metric": "f1", "test_f1": 0.75, "test_accuracy": 0.6}
    pairs |= {"recipe": {"metric_for_best_model": "accuracy"}}
    write_json(larger / "tasks" / "paraphraser" / "all_results.json", pairs)
    students.main([str(larger), "--output_dir", str(tmp_path / "figures")])
    assert capsys.readouterr().out.splitlines()[-3:] == [
        "| teacher | 28.0 M | 3.4 | 2.5 |  | 1.500 | 25.0 % | 100.0 | 60.0 |  | 1 |",
        "| own-match | 3.3 M | 3.4 | 2.5 | 620 | 2.000 ± 0.000 | 25.0 ± 0.0 % | 50.0 ± 35.4 |  | 55.0 | 2 |",
        "| chance |  |  |  |  | 0.000 | 0.0 % | 449.2 |  |  |  |",  # t with one degree of freedom is 12.7
    ]
    assert (tmp_path / "figures" / "students.png").stat().st_size > 10_000
    tagger = add(tmp_path / "own-match-taught" / "0", 3, exported={"f1": 0.7}, pytorch={"f1": 0.7})
    students.main([str(tagger), "--output_dir", str(tmp_path / "figures")])
    assert "int8_nats_per_character" not in read_json(tmp_path / "figures" / "own-match-taught-0.json")
    other = add(tmp_path / "own-match" / "2", 2, loss=3.0, words=91)  # where other words are hidden, losses differ
    students.main([str(other), "--output_dir", str(tmp_path / "figures")])
    assert "| 2.000 ± 0.000 | 25.0 ± 0.0 % | 50.0 ± 25.0 |" in capsys.readouterr().out


def test_chance_is_what_equal_models_differ_by():
    """By the quantile in tables of Student's t, and of drawn models: 5 of 100 differ by more."""
    assert students.chance([[70.0, 72.0], [80.0, 80.0], [90.0], []]) == pytest.approx(4.303 * 1.0, abs=1e-3)
    assert students.chance([[1.0], []]) is None
    scores = np.random.default_rng(0).normal(70, 0.8, (20_000, 2))
    within = students.chance(scores[:200].tolist())
    differences = np.abs(scores[::2].mean(1) - scores[1::2].mean(1))
    assert np.mean(differences > within) == pytest.approx(0.05, abs=0.02)


def test_the_picture_names_what_no_smaller_model_beats():
    """Names do not cover each other, even where points nearly do."""
    scores = {"mlm": 76.5, "own": 77.9, "healed": 77.8, "narrow": 76.6, "less": 73.8, "teacher": 85.4}
    sizes = {"mlm": 3.5, "own": 4.4, "healed": 4.4, "narrow": 3.6, "less": 3.6, "teacher": 31.9}
    models = {
        name: [{"int8_mb": sizes[name], "scores": {"collection3": {"test": score}}}] for name, score in scores.items()
    }
    models["unfinished"] = [{"int8_mb": 3.6, "scores": {}}]
    names = {text.get_text(): text for text in students.drawn(models).axes[0].texts}
    assert names.keys() == scores.keys() - {"healed", "less"}
    for side in ("left", "right"):
        heights = sorted(text.xy[1] for text in names.values() if text.get_ha() == side)
        assert all(high - low > 0.5 for low, high in zip(heights, heights[1:], strict=False))
    assert names["own"].xy[0] > 4.4 and names["mlm"].xy[0] < 3.5 and names["teacher"].xy[1] == 85.4


def test_a_folder_without_figures_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        students.main([str(tmp_path / "no" / "0"), "--output_dir", str(tmp_path / "figures")])
    assert "export.json does not exist" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        students.main(["--output_dir", str(tmp_path / "figures")])
    assert "has no figures" in capsys.readouterr().err

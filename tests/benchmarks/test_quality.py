"""Variants of one student: which runs are made, and what the table says."""

import json

import pytest

from benchmarks import quality


def result(loss):
    figures = {f"{name}_heldout_{metric}": 0.5 for name in ("teacher", "student_before") for metric in quality.METRICS}
    return figures | {f"student_heldout_{metric}": loss for metric in quality.METRICS}


def test_table_by_hand():
    """Means and sample deviations over the seeds: 1 and 3 are 2 ± 1.414."""
    results = {
        ("mlm", 0): result(1.0),
        ("distilled", 0): result(0.25),
        ("mlm", 1): result(3.0),
        ("distilled", 1): result(0.25),
    }
    rows = quality.table(quality.summarise(results)).splitlines()
    assert rows[2] == "| teacher | 0.500 | 0.500 | 50.0 % | 50.0 % | 1 |"
    assert rows[4] == "| mlm | 2.000 ± 1.414 | 2.000 ± 1.414 | 200.0 ± 141.4 % | 200.0 ± 141.4 % | 2 |"
    assert rows[5].startswith("| distilled | 0.250 ± 0.000 |") and len(rows) == 6


def options(folder, teacher_folder, corpus_file):
    """Two steps of a tiny student."""
    argv = ["--seeds", "0", "--output_dir", str(folder), "--teacher_name_or_path", str(teacher_folder)]
    argv += ["--train_file", str(corpus_file), "--student_layers", "2", "--max_length", "32", "--max_steps", "2"]
    return [*argv, "--use_cpu", "true", "--save_strategy", "no", "--per_device_train_batch_size", "16"]


def table_of(capsys):
    """The last lines that were printed."""
    lines = capsys.readouterr().out.splitlines()
    return lines[lines.index(next(line for line in lines if line.endswith("| seeds |"))) :]


def test_every_variant_runs_once(teacher_folder, corpus_file, tmp_path, capsys):
    """In one process, each from the same start whatever ran before it; a second call only reads."""
    argv = options(tmp_path, teacher_folder, corpus_file)
    quality.main([*argv, "--variants", "mlm", "distilled", "weight_cosine=1"])
    first = table_of(capsys)
    mlm, distilled, again = (
        json.loads((tmp_path / f"{variant}-0" / "all_results.json").read_text())
        for variant in ("mlm", "distilled", "weight_cosine=1")
    )
    assert "train_kl" in distilled and "train_kl" not in mlm
    assert mlm["student_before_heldout_loss"] == pytest.approx(distilled["student_before_heldout_loss"], rel=1e-5)
    assert again["student_heldout_loss"] == distilled["student_heldout_loss"]  # that weight is the default
    stamp = (tmp_path / "mlm-0" / "all_results.json").stat().st_mtime_ns
    quality.main([*argv, "--variants", "mlm", "distilled", "weight_cosine=1"])
    assert table_of(capsys) == first
    assert (tmp_path / "mlm-0" / "all_results.json").stat().st_mtime_ns == stamp
    with pytest.raises(SystemExit, match="2"):
        quality.main([*argv, "--weight_kl", "1"])
    assert "another command" in capsys.readouterr().err


@pytest.mark.parametrize("keys", [["--nonsense", "1"], ["--student_layers", "x"]])
def test_a_recipe_that_no_run_could_follow_is_refused_before_the_first(tmp_path, capsys, keys):
    with pytest.raises(SystemExit, match="2"):
        quality.main(["--seeds", "0", "--output_dir", str(tmp_path / "study"), *keys])
    assert keys[0][2:] in capsys.readouterr().err and not (tmp_path / "study").exists()


def test_a_run_that_fails_is_named(teacher_folder, corpus_file, tmp_path, capsys):
    argv = options(tmp_path, teacher_folder, corpus_file)
    with pytest.raises(SystemExit, match="2"):
        quality.main([*argv, "--variants", "mlm", "--student_layers", "3"])
    assert "error: mlm-0: " in capsys.readouterr().err

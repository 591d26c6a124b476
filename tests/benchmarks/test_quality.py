"""The study: which runs it makes, and what its table says."""

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


def test_a_study_runs_each_way_and_seed_once(teacher_folder, corpus_file, tmp_path, capsys):
    """Every arm with every seed, by the real script; a second call only reads."""
    argv = ["--seeds", "0", "--output_dir", str(tmp_path), "--teacher_name_or_path", str(teacher_folder)]
    argv += ["--train_file", str(corpus_file), "--student_layers", "2", "--max_length", "32", "--max_steps", "2"]
    argv += ["--use_cpu", "true", "--save_strategy", "no", "--per_device_train_batch_size", "16"]
    quality.main(argv)
    first = capsys.readouterr().out
    mlm, distilled = (
        json.loads((tmp_path / f"{arm}-0" / "all_results.json").read_text()) for arm in ("mlm", "distilled")
    )
    assert "train_kl" in distilled and "train_kl" not in mlm
    assert mlm["student_before_heldout_loss"] == pytest.approx(distilled["student_before_heldout_loss"], rel=1e-5)
    stamp = (tmp_path / "mlm-0" / "all_results.json").stat().st_mtime_ns
    quality.main(argv)
    assert capsys.readouterr().out == first
    assert (tmp_path / "mlm-0" / "all_results.json").stat().st_mtime_ns == stamp
    with pytest.raises(SystemExit, match="2"):
        quality.main([*argv, "--weight_kl", "1"])
    assert "another command" in capsys.readouterr().err


def test_a_failed_run_ends_the_study_with_its_last_words(tmp_path):
    with pytest.raises(SystemExit, match="error: mlm with seed 0 failed with exit code 2.*`teacher_name_or_path`"):
        quality.main(["--seeds", "0", "--arms", "mlm", "--output_dir", str(tmp_path), "--teacher_name_or_path", "x"])


def test_a_recipe_that_no_run_could_follow_is_refused_before_the_first(tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        quality.main(["--seeds", "0", "--output_dir", str(tmp_path / "study"), "--nonsense", "1"])
    assert "unknown key `nonsense`" in capsys.readouterr().err and not (tmp_path / "study").exists()

"""Variants of one student: which runs are made, and what the table says."""

import json

import pytest

from benchmarks import quality
from distillation.runs.files import METRICS


def test_table_by_hand():
    """Means and sample deviations over the seeds: 1 and 3 are 2 ± 1.414."""
    results = {}
    for seed, loss in enumerate((1.0, 3.0)):
        losses = {"teacher": 0.5, "student_before": 0.5, "student": loss}
        run = {f"{name}_heldout_{metric}": value for name, value in losses.items() for metric in METRICS}
        results["mlm", seed] = run | {"parameters": 1000, "teacher_parameters": 9000, "steps": 7}
    assert quality.variant_table(quality.summarise(results)).splitlines()[2:] == [
        "| teacher | 9,000 |  | 1 | 0.500 | 0.500 | 50.0 % | 50.0 % |",
        "| student before | 1,000 | 0 | 1 | 0.500 | 0.500 | 50.0 % | 50.0 % |",
        "| mlm | 1,000 | 7 | 2 | 2.000 ± 1.414 | 2.000 ± 1.414 | 200.0 ± 141.4 % | 200.0 ± 141.4 % |",
    ]


@pytest.fixture
def argv(tmp_path, teacher_folder, corpus_file):
    """Two steps of a tiny student."""
    words = f"--seeds 0 --output_dir {tmp_path} --teacher_name_or_path {teacher_folder} --train_file {corpus_file}"
    words += " --student_layers 2 --max_length 32 --max_steps 2 --use_cpu true --save_strategy no"
    return [*words.split(), "--per_device_train_batch_size", "16"]


def test_every_variant_runs_once(argv, tmp_path, capsys):
    """In one process, each from the same start whatever ran before it; a second call only reads."""

    def table():
        quality.main([*argv, "--variants", "mlm", "distilled", "weight_cosine=1"])
        return capsys.readouterr().out.partition("| model |")[2]

    first = table()
    files = [tmp_path / f"{variant}-0" / "all_results.json" for variant in ("mlm", "distilled", "weight_cosine=1")]
    mlm, distilled, again = (json.loads(file.read_text()) for file in files)
    assert "train_kl" in distilled and "train_kl" not in mlm
    assert mlm["student_before_heldout_loss"] == pytest.approx(distilled["student_before_heldout_loss"], rel=1e-5)
    assert again["student_heldout_loss"] == distilled["student_heldout_loss"]  # that weight is the default
    stamp = files[0].stat().st_mtime_ns
    assert table() == first and files[0].stat().st_mtime_ns == stamp
    with pytest.raises(SystemExit, match="2"):
        quality.main([*argv, "--weight_kl", "1"])
    assert "another command" in capsys.readouterr().err


def test_a_run_that_fails_is_named(argv, capsys):
    with pytest.raises(SystemExit, match="2"):
        quality.main([*argv, "--variants", "mlm", "--student_layers", "3"])
    assert "error: mlm-0: " in capsys.readouterr().err

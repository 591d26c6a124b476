"""Variants of one student."""

import json

import pytest

from benchmarks import quality


def test_every_variant_runs_once(teacher_folder, corpus_file, tmp_path, capsys):
    """In one process, each from the same start whatever ran before it; a second call only reads."""
    words = f"--seeds 0 --output_dir {tmp_path} --teacher_name_or_path {teacher_folder} --train_file {corpus_file}"
    words += " --student_layers 2 --max_length 32 --max_steps 2 --use_cpu true --save_strategy no"
    argv = [*words.split(), "--per_device_train_batch_size", "16"]

    def table():
        quality.main([*argv, "--variants", "mlm", "distilled", "weight_cosine=1"])
        return capsys.readouterr().out.partition("| model |")[2]

    first = table()
    files = [tmp_path / f"{variant}-0" / "all_results.json" for variant in ("mlm", "distilled", "weight_cosine=1")]
    mlm, distilled, again = (json.loads(file.read_text()) for file in files)
    assert "train_kl" in distilled and "train_kl" not in mlm
    for row, steps, loss in (("student before", 0, "student_before"), ("mlm", 2, "student")):
        assert f"| {row} | {mlm['parameters']:,} | {steps} | 1 | {mlm[f'{loss}_heldout_loss']:.3f} | " in first
    assert mlm["student_before_heldout_loss"] == pytest.approx(distilled["student_before_heldout_loss"], rel=1e-5)
    assert again["student_heldout_loss"] == distilled["student_heldout_loss"]  # that weight is the default
    stamp = files[0].stat().st_mtime_ns
    assert table() == first and files[0].stat().st_mtime_ns == stamp
    with pytest.raises(SystemExit, match="2"):
        quality.main([*argv, "--weight_kl", "1"])
    assert "distilled-0: `output_dir`" in (err := capsys.readouterr().err) and "`weight_kl` 2.0" in err
    with pytest.raises(SystemExit, match="2"):
        quality.main([*argv, "--variants", "student_layers=3"])
    assert "error: student_layers=3-0: " in capsys.readouterr().err
    assert not (tmp_path / "student_layers=3-0").exists()
    other = tmp_path / "weight_mlm=0-0" / "config.json"
    other.parent.mkdir()
    other.touch()
    with pytest.raises(SystemExit, match="2"):
        quality.main([*argv, "--variants", "weight_mlm=0"])
    assert other.exists(), "the model of somebody else"

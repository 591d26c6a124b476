"""A checkpoint is complete or does not count; older ones go only then."""

import functools
import os
import resource
from pathlib import Path

import pytest

from distillation.config.errors import LocalError
from distillation.runs import checkpoint
from distillation.runs.checkpoint import checkpoints, is_complete, mark_complete
from tests.distillation.runs.tiny import make, train


@pytest.mark.parametrize("harm", [lambda path: os.truncate(path, 3), Path.unlink])
@pytest.mark.parametrize("name", ["model", "optimizer", "shards/0", "complete.json"])
def test_a_file_that_is_missing_or_cut_short_shows(tmp_path, name, harm):
    """Resumed from half an optimiser, a run would end elsewhere, or not start. FSDP's shards are in folders."""
    (tmp_path / "shards").mkdir()
    for file in ("model", "optimizer", "shards/0"):
        (tmp_path / file).write_text("weights")
    mark_complete(tmp_path)
    assert is_complete(tmp_path)
    harm(tmp_path / name)
    assert not is_complete(tmp_path)


def test_no_checkpoint_is_deleted_before_the_next_is_complete(tmp_path, monkeypatch):
    """Killed in between, a run would have none. What is left of a torn one must not be marked with the new files."""
    found = []

    def watched(folder):
        found.append([path.name for path in checkpoints(folder.parent) if is_complete(path)])
        assert not (folder / "stale").exists()
        mark_complete(folder)

    monkeypatch.setattr(checkpoint, "mark_complete", watched)
    (tmp_path / "checkpoint-2").mkdir()
    (tmp_path / "checkpoint-2" / "stale").write_text("half a file")
    train(tmp_path, save_total_limit=1, max_steps=6)
    assert found == [[], ["checkpoint-2"], ["checkpoint-4"]]
    assert checkpoints(tmp_path) == [tmp_path / "checkpoint-6"]


@pytest.mark.parametrize("file", ["model.safetensors", "optimizer.pt"])
def test_a_full_disk_leaves_the_checkpoint_before(tmp_path, file):
    """One sentence says what is left."""
    train(tmp_path / "undisturbed", max_steps=2)
    sizes = {path.name: path.stat().st_size for path in (tmp_path / "undisturbed/checkpoint-2").iterdir()}
    smaller = max((size for size in sizes.values() if size < sizes[file]), default=1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with pytest.raises(LocalError) as caught:
            fill_up = functools.partial(resource.setrlimit, resource.RLIMIT_FSIZE, (smaller, hard))
            train(tmp_path / "run", at=(3, fill_up), max_steps=4)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    folder, message = tmp_path / "run", str(caught.value)
    assert f"`output_dir` {str(folder)!r} cannot be written" in message and "\n" not in message
    assert "resume checkpoint-2, which is complete, by `--resume_from_checkpoint true`" in message
    assert checkpoints(folder) == [folder / "checkpoint-2"] and is_complete(folder / "checkpoint-2")
    (folder / "model.safetensors").mkdir()
    with pytest.raises(LocalError, match="cannot be written.*resume checkpoint-2, which is complete"):
        make(folder).save_model()

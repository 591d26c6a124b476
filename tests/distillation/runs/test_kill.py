"""Runs that are killed end where others do: of each mode of kill.py one kill, while a checkpoint is being written."""

import os
import signal

import pytest

from distillation import run
from distillation.runs import checkpoint
from distillation.runs.checkpoint import checkpoints, is_complete, mark_complete
from tests import kill, launched


def die_in_a_save(argv):
    """All of checkpoint-4 is there but its mark."""

    def killed(folder):
        if folder.name == "checkpoint-4":
            os.killpg(0, signal.SIGKILL)
        mark_complete(folder)

    checkpoint.mark_complete = killed  # in a fork
    run.main(argv)


@pytest.mark.parametrize("mode", kill.MODES)
def test_a_killed_run_ends_as_an_undisturbed_one(mode, tmp_path, teacher_folder, student_vocabulary, corpus_file):
    """To the bit: order, masks, dropout, projections, optimiser, the place in a stream, in the second epoch too."""
    processes, _ = kill.MODES[mode]
    places = teacher_folder, student_vocabulary, corpus_file
    undisturbed, killed = (kill.words(mode, *places, tmp_path / name, steps=6) for name in ("undisturbed", "killed"))
    launched.run(launched.ranks(processes), tmp_path / "log", run.main, undisturbed)
    codes = launched.wait(launched.start(launched.ranks(processes), tmp_path / "log", die_in_a_save, killed))
    assert codes[0] == -signal.SIGKILL and all(codes)
    assert [is_complete(folder) for folder in checkpoints(tmp_path / "killed")] == [False, True]
    launched.run(launched.ranks(processes), tmp_path / "log", run.main, killed)
    assert kill.same(tmp_path / "undisturbed", tmp_path / "killed")

"""The project's scripts as processes, forked off one that has imported what they all need: that takes longer than a
small run."""

import multiprocessing
import os
import runpy
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import torch

IMPORTED = ["distillation.assembly", "distillation.hub.publishing", "finetuning.experiment", "finetuning.metrics"]


def call(script: Path, argv: Sequence[str], log: Path, threads: int) -> int:
    """Run `python script argv` to its end with that many threads; its exit code. What it prints goes to `log`."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(IMPORTED)
    process = context.Process(target=_become, args=(str(script), list(argv), str(log), threads))
    process.start()
    process.join()
    return process.exitcode


def _become(script: str, argv: list[str], log: str, threads: int) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with open(log, "ab") as file:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(file.fileno(), stream.fileno())
            stream.reconfigure(line_buffering=True)  # the log can be followed
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    torch.set_num_threads(threads)  # `OMP_NUM_THREADS` was read when torch was imported
    sys.argv = [script, *argv]
    runpy.run_path(script, run_name="__main__")


def _end_with_parent() -> None:
    """A run that nobody waits for would write where the next study does."""
    multiprocessing.parent_process().join()
    os._exit(1)

"""A process of its own for each measurement."""

import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from benchmarks.backends.registry import BACKENDS, Backend
from benchmarks.timing import SHAPES, measure, rows
from benchmarks.timing.rows import in_process, time_session


def fail(error):
    raise error


def test_a_process_of_its_own():
    assert len({os.getpid(), in_process(os.getpid), in_process(os.getpid)}) == 3


@pytest.mark.parametrize(
    ("function", "argument", "message"),
    [
        (os._exit, 3, "its process was killed: out of memory, most likely"),
        (fail, ValueError("one\n  reason"), "one reason"),
        (fail, MemoryError(), "out of memory"),
        (fail, RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "out of memory"),
    ],
)
def test_a_process_that_fails(function, argument, message):
    assert in_process(function, argument) == {"error": message}


def test_a_model_whose_work_cannot_be_counted_is_a_row_with_an_error(monkeypatch):
    """RemBERT, which asks for values that a skeleton lacks, ended the whole table."""
    monkeypatch.setattr(rows, "work", lambda *_: fail(RuntimeError("Tensor.item() cannot be called on meta tensors")))
    choices = dict(models=[str(SHAPES / "rubert-tiny2.yaml")], heads=["encoder"], backends=["torch"])
    choices |= dict(batch_sizes=[1], sequence_lengths=[8], threads=[1])
    (row,) = rows.plan(SimpleNamespace(**choices, device="cpu"))
    assert "meta tensors" in row["error"]


def test_the_median_of_enough_calls(monkeypatch):
    """A disturbed call does not count for more than one. The peak of memory is that of model and call."""
    taken, now = iter([9.0, 0.1, 0.3, 0.2, 0.9, 0.2, 0.3]), [0.0]  # the first warms up

    class Clocked(Backend):
        def open(self, folder, threads, device="cpu"):
            held = np.ones(2**23)  # 64 MiB, and as much again in each call
            return lambda inputs: [held + 1, now.append(now[-1] + next(taken))]

    monkeypatch.setitem(BACKENDS, "clocked", Clocked("clocked", "fp32"))
    monkeypatch.setattr(measure.time, "perf_counter", lambda: now[-1])
    monkeypatch.setattr(measure.time, "process_time", lambda: 2 * now[-1])
    found = time_session("clocked", Path(), torch.get_num_threads(), {}, "cpu", 1.0)
    # Of 0.1, 0.3, 0.2, and 0.9, with which a second is over; on two threads.
    assert found["seconds"] == pytest.approx([0.25]) and found["p95_seconds"] == pytest.approx([0.9])
    assert found["cpu_seconds"] == pytest.approx([2 * 1.5 / 4])
    assert all(120 < peak < 170 for peak in found["peak_mib"])  # not every system tells

"""A process of its own for each measurement: fresh, and with one sentence for whatever goes wrong in it."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.backends.registry import BACKENDS, Backend
from benchmarks.timing import rows
from benchmarks.timing.rows import in_process, time_calls


def fail(error):
    raise error


def test_a_process_of_its_own():
    assert len({os.getpid(), in_process(os.getpid), in_process(os.getpid)}) == 3


@pytest.mark.parametrize(
    ("function", "argument", "message"),
    [
        (os._exit, 3, "its process was killed: out of memory, most likely"),
        (fail, ValueError("one\n  reason"), "one reason"),
        (fail, KeyError(), "KeyError"),
        (fail, MemoryError(), "out of memory"),
        (fail, RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "out of memory"),
    ],
)
def test_a_process_that_fails(function, argument, message):
    """Always one sentence, even where the process had no time to say anything."""
    assert in_process(function, argument) == {"error": message}


class Allocating(Backend):
    """Holds 64 MiB when it is opened, and as much again in each call."""

    def open(self, folder, threads, device="cpu"):
        held = np.ones(2**23)
        return lambda inputs: [held + 1]


def time_allocating():
    BACKENDS["allocating"] = Allocating("allocating", "fp32")
    return time_calls("allocating", Path(), {}, 1, "cpu", 0.01)


def test_peak_memory_is_that_of_model_and_call():
    peak = in_process(time_allocating)["peak_mib"]
    assert not peak or 120 < peak[0] < 170  # not every system tells


def test_the_median_of_enough_calls(monkeypatch):
    """A first call that is slow, and some that are disturbed, do not count for more than one."""
    taken, now = iter([9.0, 0.1, 0.3, 0.2, 0.9, 0.2, 0.3]), [0.0]  # the first warms up

    class Clocked(Backend):
        def open(self, folder, threads, device="cpu"):
            return lambda inputs: now.append(now[-1] + next(taken))

    monkeypatch.setitem(BACKENDS, "clocked", Clocked("clocked", "fp32"))
    monkeypatch.setattr(rows.time, "perf_counter", lambda: now[-1])
    found = time_calls("clocked", Path(), {}, torch.get_num_threads(), "cpu", 1.0)["seconds"]
    assert found == pytest.approx([0.25])  # of 0.1, 0.3, 0.2, and 0.9, with which a second is over

"""Time and memory are those of the call. Figures of a busy machine are no figures, and go into no ratio."""

import hashlib
import os
import threading
import time
from pathlib import Path

import pytest
import torch

from benchmarks.timing import measure
from benchmarks.timing.measure import (
    advice,
    is_quiet,
    is_steady,
    percentile,
    row_time_text,
    side_by_side,
    spread,
    time_calls,
    time_ratio,
    time_text,
)
from benchmarks.timing.rows import in_process

CPU = torch.device("cpu")


def test_the_99th_of_a_hundred_is_not_the_last():
    hundred = range(1, 101)
    assert [percentile(hundred, share) for share in (50, 95, 99)] == [50, 95, 99]
    assert percentile(hundred[:99], 99) == 99 and percentile([7.0], 95) == 7.0, "the slowest of fewer"


def test_the_calls_take_turns():
    order = []
    calls = {name: lambda name=name: order.append(name) for name in "ab"}
    found = side_by_side(calls, 3, CPU)
    assert order == ["a", "b"] * 5, "the first round warms up, the last one tells memory"
    assert [len(one["seconds"]) for one in found.values()] == [3, 3]


def test_memory_is_that_of_the_call():
    """What is held before does not count, what the call frees does."""
    held = torch.ones(2**22)
    calls = {"large": lambda: torch.ones(2**23).sum(), "small": lambda: torch.ones(2**10).sum()}
    large, small = (one["mib"] for one in side_by_side(calls, 2, CPU).values())
    if not large:
        pytest.skip("this system does not tell")
    assert 28 < min(large) and max(large) < 48 and max(small) < 8 and len(held)


def test_rounds_by_hand():
    """482 ms of rounds between 109 and 1,556 once became "1,046 times as fast" on a card."""
    busy = [0.109, 0.482, 1.556]
    assert spread(busy) == pytest.approx(14.275, abs=1e-3) and time_text(busy) == "482 [109, 1,556] spread 14.3x"
    assert is_steady([2.0, 2.5, 3.0]) and not is_steady([2.0, 3.02]) and spread([3.02, 2.0]) == 1.51
    assert advice([[1, 1], [1, 14.3, 2], [1, 2]]).startswith("rounds spread by 14.3x: the machine was busy")
    assert advice([[1, 1.4], [2, 2]]) == "" == advice([])
    assert time_ratio([2, 3, 2], [8, 9, 10]) == {"median": 4.5, "min": 3, "max": 5}
    for first, second in ([1, 1.6], [5, 5]), ([1, 1], [5, 9]):  # a busy side has none
        assert time_ratio(first, second) is None and time_ratio(second, first) is None


def test_rounds_that_agree_on_a_busy_machine(monkeypatch):
    """Other work through all rounds once made a card say "508 times as fast". Most rounds decide."""
    row = {"seconds": [0.7, 0.8, 0.7], "waited": [1.7, 0.05, 1.6], "text_seconds": [0.1], "text_waited": [0.05]}
    assert is_steady(row["seconds"]) and not is_quiet(row) and is_quiet(row, "text_")
    assert row_time_text(row) == "700 [700, 800] busy" and row_time_text(row, "text_") == "100 [100, 100]"
    assert is_quiet(row | {"waited": [0.05, 0.05, 1.6]}) and is_quiet({"seconds": [1, 1]}), "older files do not tell"
    delays = iter([3.0, 3.5])
    monkeypatch.setattr(measure, "waited", lambda: next(delays))
    monkeypatch.setattr(measure, "_calls", lambda *_: [0.5, 0.5, 1.0])
    assert time_calls(None, 1, CPU)["waited"] == [0.25]


def test_threads_that_wait_for_a_core():
    """Two that compute on one core wait for half of the time, each."""
    if not hasattr(os, "sched_setaffinity") or not Path("/proc/self/schedstat").exists():
        pytest.skip("this system does not tell")
    found = in_process(waited_on_one_core)
    assert found["waited"] > 0.5 * found["seconds"]


def waited_on_one_core():
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    start, before = time.perf_counter(), measure.waited()
    threads = [threading.Thread(target=hashlib.sha256, args=(bytes(2**26),)) for _ in range(2)]  # without the GIL
    for thread in threads:
        thread.start()
    found = {"waited": 0.0}
    while any(thread.is_alive() for thread in threads):
        found = {"waited": measure.waited() - before, "seconds": time.perf_counter() - start}
        time.sleep(0.01)
    return found

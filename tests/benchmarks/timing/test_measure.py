"""Time and memory are those of the call."""

import pytest
import torch

from benchmarks.timing.measure import side_by_side

CPU = torch.device("cpu")


def test_the_calls_take_turns():
    order = []
    calls = {name: lambda name=name: order.append(name) for name in "ab"}
    found = side_by_side(calls, 3, CPU)
    assert order == ["a", "b"] * 3 and [len(one.seconds) for one in found.values()] == [3, 3]


def test_memory_is_that_of_the_call():
    """What is held before does not count, what the call frees does."""
    held = torch.ones(2**22)
    calls = {"large": lambda: torch.ones(2**23).sum(), "small": lambda: torch.ones(2**10).sum()}
    found = side_by_side(calls, 2, CPU)
    if not found["large"].mib:
        pytest.skip("this system does not tell")
    assert 28 < min(found["large"].mib) and max(found["large"].mib) < 48 and max(found["small"].mib) < 8
    assert len(held)

"""bf16 is chosen where it is faster."""

import pytest
import torch

from distillation.runs.precision import faster_in_bf16


@pytest.mark.parametrize(
    ("exact", "half", "chosen"), [(0.1, 0.05, True), (0.1, 0.09, False), (0.1, 0.3, False), (0.004, 0.001, False)]
)
def test_the_faster_precision_is_chosen_by_the_clock(exact, half, chosen):
    """On a CPU without instructions for bf16 a pass would take several times as long."""
    now = [0.0]

    def run():
        now[0] += half if torch.is_autocast_enabled("cpu") else exact

    assert faster_in_bf16(run, lambda: now[0]) == chosen

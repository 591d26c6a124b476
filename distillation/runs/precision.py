"""Measures whether a CPU runs the teacher faster in bf16. Some have instructions for it, on others it takes longer."""

import time
from collections.abc import Callable
from typing import Any

import torch

WORTH = 1.25  # times as fast
SHORT = 0.01  # seconds of a batch: a teacher that is so small runs in single precision


def faster_in_bf16(run: Callable[[], Any], clock: Callable[[], float] = time.process_time) -> bool:
    """Whether bf16 is worth it on this CPU; run: the teacher, on a batch."""
    seconds: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(4):  # in turns, and of this process alone, because others may use the machine
        for is_bf16, measured in seconds.items():
            with torch.autocast("cpu", torch.bfloat16, enabled=is_bf16):
                start = clock()
                run()
                measured.append(clock() - start)
    exact, half = (min(measured) for measured in seconds.values())
    return exact > SHORT and exact > WORTH * half

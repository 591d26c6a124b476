"""Time and memory of several ways to do one thing, side by side in one process.

The ways take turns, A B C A B C: what else the machine does falls on all of them, and their ratio in a round is fair.

Peak memory is what a call holds at most, its result included, above what was held before it. On a CPU it is read from
the kernel's high-water mark of the resident set (VmHWM), which writing 5 to /proc/self/clear_refs sets back; what
earlier calls have freed goes back to the kernel first (malloc_trim), so that no call lives on the memory of another.
Where the system has no such mark, memory is not measured. On a GPU it is that of torch's allocator.
"""

import ctypes
import gc
import json
import platform
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from distillation.runs.files import write_json

MIB, PAGE = 2**20, 4096  # bytes; less than a page cannot be seen
# What products in int8 and bf16 live on.
INSTRUCTIONS = ("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16")


@dataclass
class Measurement:
    """One figure a round; `mib` stays empty where memory cannot be measured."""

    seconds: list[float] = field(default_factory=list)
    mib: list[float] = field(default_factory=list)


def side_by_side(calls: dict[str, Callable[[], Any]], rounds: int, device: torch.device) -> dict[str, Measurement]:
    """Measure each call in each round. Each should have run before: a first call is slower."""
    measurements = {name: Measurement() for name in calls}
    gc.collect()
    gc.freeze()  # what is there by now need not be looked through before each call
    for _ in range(rounds):
        for name, call in calls.items():
            held = reset_peak(device)
            start = time.perf_counter()
            result = call()
            synchronise(device)
            measurements[name].seconds.append(time.perf_counter() - start)
            if held is not None:
                measurements[name].mib.append(max(peak(device) - held, PAGE) / MIB)
            del result
    gc.unfreeze()
    return measurements


def hardware(device: torch.device) -> dict[str, Any]:
    """What the figures depend on besides the code."""
    found = {"cpu": _cpuinfo("model name") or platform.processor(), "threads": torch.get_num_threads()}
    found["instructions"] = " ".join(instructions())
    if device.type == "cuda":
        found["gpu"] = torch.cuda.get_device_name(device)
    return found | {"torch": torch.__version__}


def instructions() -> list[str]:
    """Of `INSTRUCTIONS` those that the processor has, as far as the system tells."""
    return [name for name in INSTRUCTIONS if name in _cpuinfo("flags").split()]


def _cpuinfo(key: str) -> str:
    cpuinfo = Path("/proc/cpuinfo")
    found = re.search(rf"{key}\s*: (.*)", cpuinfo.read_text() if cpuinfo.exists() else "")
    return found[1] if found else ""


def show(tables: str, figures: dict[str, Any], output: str | None) -> None:
    """Tables for people, then one line of JSON for programs; the same JSON in a file, if one is named."""
    print(tables)
    print(json.dumps(figures))
    if output:
        write_json(output, figures)


def synchronise(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def reset_peak(device: torch.device) -> int | None:
    """Bytes held now; from here on the peak counts. None: it cannot be measured."""
    gc.collect()
    synchronise(device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device)
    try:
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
    except (AttributeError, OSError):
        return None
    return _status("VmRSS")


def peak(device: torch.device) -> int:
    """Bytes held at most since `reset_peak`."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else _status("VmHWM")


def _status(key: str) -> int:
    return 1024 * int(re.search(rf"{key}:\s*(\d+) kB", Path("/proc/self/status").read_text())[1])

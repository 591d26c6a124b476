"""Measures time and memory of several calls side by side in one process, and formats them for tables.

The calls take turns, A B C A B C. Other work of the machine slows all of them, so their ratio in a round is fair.
Rounds that differ by more than a factor of `LIMIT` come from a busy machine. The table shows their spread; ratios and
model cards leave them out. Work that goes on through all rounds makes them agree, and wrong: two threads that wait for
each other took 140 times as long. So the table of inference also leaves out calls whose threads waited for a core.

Peak memory is the most that a call holds, its result included, above what was held before it. On a GPU it is the peak
of torch's allocator, on a CPU the kernel's high-water mark of the resident set (VmHWM), if the system has one. Writing
5 to /proc/self/clear_refs resets it; freed memory goes back to the kernel first (malloc_trim), or a call would use it.

torch is imported inside functions: scripts read their command line before it.
"""

import contextlib
import ctypes
import gc
import json
import platform
import re
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distillation.config.command_line import key
from distillation.config.errors import UserError
from distillation.runs import memory
from distillation.runs.files import write_json

if TYPE_CHECKING:
    import torch

WARM_UP = 0.3  # seconds
LIMIT = 1.5  # the largest round of a quiet machine over the least
WAITED = 0.1  # the most seconds a second that the threads of a quiet machine wait for a core, all of them together
MIB = 2**20  # bytes
# What the speed of products in int8 and bf16 depends on.
INSTRUCTIONS = ("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16")


@dataclass
class TimingArguments:
    """The number of rounds, and the file for the figures."""

    rounds: int = key(5, "Number of rounds; each round measures everything once.", least=1)
    output: str | None = key(None, "JSON file for the figures.", path="output")


def check_device(device: str) -> None:
    """Raise UserError for a GPU that torch does not find."""
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("`device` is cuda, and torch finds no GPU: leave it out, or mend the driver")


def side_by_side(
    calls: Mapping[str, Callable[[], Any]], rounds: int, device: "torch.device"
) -> dict[str, dict[str, list[float]]]:
    """`seconds` of each call, one figure a round, and its `mib`; none of these where memory cannot be measured.

    An additional first round does not count: a first call is slower. Memory has a round of its own: before it is
    measured, what is free goes back to the system, and a call is slower that has to ask for it again.
    """
    found = {name: {"seconds": [], "mib": []} for name in calls}
    for call in calls.values():
        call()
    gc.collect()
    gc.freeze()  # collections before each call then skip all objects made so far
    for _ in range(rounds):
        for name, call in calls.items():
            gc.collect()
            synchronise(device)
            start = time.perf_counter()
            result = call()
            synchronise(device)
            found[name]["seconds"].append(time.perf_counter() - start)
            del result
    for name, call in calls.items():
        peak, result = record_peak(device), call()
        synchronise(device)
        found[name]["mib"] = peak()
        del result
    gc.unfreeze()
    return found


def time_calls(call: Callable[[], Any], seconds: float, device: "torch.device") -> dict[str, list[float]]:
    """Warm up, then call for at least so many seconds. Returns seconds of a call, each in a list: the median, the 95th
    and 99th of a hundred, and the mean on the processor, over all threads; and as `waited` how many seconds of a
    second these had no core."""
    _calls(call, WARM_UP, device)
    start, delayed = time.process_time(), waited()
    taken = sorted(_calls(call, seconds, device))
    found = {"cpu_seconds": (time.process_time() - start) / len(taken), "seconds": statistics.median(taken)}
    found["waited"] = (waited() - delayed) / sum(taken)
    found |= {f"p{share}_seconds": percentile(taken, share) for share in (95, 99)}
    return {name: [value] for name, value in found.items()}


def percentile(ordered: Sequence[float], share: int) -> float:
    """The least value that `share` per cent of them do not exceed."""
    return ordered[(len(ordered) * share - 1) // 100]


def _calls(call: Callable[[], Any], least: float, device: "torch.device") -> list[float]:
    taken: list[float] = []
    while not taken or sum(taken) < least:
        start = time.perf_counter()
        call()
        synchronise(device)
        taken.append(time.perf_counter() - start)
    return taken


def waited() -> float:
    """Seconds that this process's threads were ready to run and had no core; 0 where the system does not tell."""
    found = 0
    for file in Path("/proc/self/task").glob("*/schedstat"):
        with contextlib.suppress(OSError):  # a thread has ended
            found += int(_read(str(file), r"\d+ (\d+)") or 0)
    return found / 1e9


def synchronise(device: "torch.device") -> None:
    """Wait until a GPU has done its work."""
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)


def record_peak(device: "torch.device") -> Callable[[], list[float]]:
    """A function that returns the peak memory since this call, in MiB above the present use; [] if it is unknown."""
    import torch

    gc.collect()
    synchronise(device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        held = torch.cuda.memory_allocated(device)
        return lambda: [(torch.cuda.max_memory_allocated(device) - held) / MIB]
    try:
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
    except (AttributeError, OSError):
        return lambda: []
    held = 1024 * int(_read("/proc/self/status", r"VmRSS:\s*(\d+)"))
    return lambda: [(memory.peak() - held) / MIB]


def hardware(device: "torch.device") -> dict[str, Any]:
    """Hardware and versions that the figures depend on."""
    import torch

    found = {"cpu": _read("/proc/cpuinfo", r"model name\s*: (.*)") or platform.processor()}
    found |= {"threads": torch.get_num_threads(), "instructions": " ".join(instructions())}
    if device.type == "cuda":
        found["gpu"] = torch.cuda.get_device_name(device)
    return found | {"torch": torch.__version__}


def instructions() -> list[str]:
    """The `INSTRUCTIONS` that the processor has; empty if the system does not list them."""
    flags = _read("/proc/cpuinfo", r"flags\s*: (.*)").split()
    return [name for name in INSTRUCTIONS if name in flags]


def _read(file: str, pattern: str) -> str:
    found = re.search(pattern, Path(file).read_text() if Path(file).exists() else "")
    return found[1] if found else ""


def show(tables: str, figures: dict[str, Any], output: str | None) -> None:
    """Print tables for people, then one line of JSON for programs. Write the JSON to a file if one is named."""
    print(tables)
    print(json.dumps(figures))
    if output:
        write_json(output, figures)


def spread(rounds: Sequence[float]) -> float:
    """The largest round over the least."""
    return max(rounds) / min(rounds)


def is_steady(rounds: Sequence[float]) -> bool:
    """Whether the rounds agree well enough to report their median."""
    return spread(rounds) <= LIMIT


def is_quiet(row: Mapping[str, Any], timed: str = "") -> bool:
    """Whether the rounds of a row agree, and had the cores that they needed. timed: `text_` for those of texts."""
    return is_steady(row[f"{timed}seconds"]) and statistics.median(row.get(f"{timed}waited", [0])) <= WAITED


def time_ratio(first: Sequence[float], second: Sequence[float]) -> dict[str, float] | None:
    """How many times as long the second takes: the ratio of the medians, and the least and the largest of a round.

    None where either is not steady.
    """
    if not (is_steady(first) and is_steady(second)):
        return None
    each = [b / a for a, b in zip(first, second, strict=True)]
    return {"median": statistics.median(second) / statistics.median(first), "min": min(each), "max": max(each)}


def number_text(value: float) -> str:
    """Three digits, or as many as a large number has before the point."""
    return f"{value:.3g}" if value < 999.5 else f"{value:,.0f}"


def memory_text(mib: Sequence[float]) -> str:
    """MiB for a table."""
    return number_text(statistics.median(mib)) if mib else "not measured"


def _three(*numbers: float) -> str:
    return "{} [{}, {}]".format(*map(number_text, numbers))


def time_text(seconds: Sequence[float]) -> str:
    """Milliseconds for a table; with the spread, if rounds do not agree."""
    text = _three(*(1000 * of(seconds) for of in (statistics.median, min, max)))
    return text if is_steady(seconds) else f"{text} spread {number_text(spread(seconds))}x"


def row_time_text(row: Mapping[str, Any], timed: str = "") -> str:
    """The same for a row, as `is_quiet` judges it."""
    seconds = row[f"{timed}seconds"]
    return time_text(seconds) + " busy" * (is_steady(seconds) and not is_quiet(row, timed))


def ratio_text(found: Mapping[str, float] | None) -> str:
    """A ratio of `time_ratio` for a table."""
    return "busy" if found is None else _three(found["median"], found["min"], found["max"])


def advice(timings: Iterable[Sequence[float]]) -> str:
    """What to do about rounds that do not agree; empty if all do."""
    worst = max((spread(rounds) for rounds in timings if not is_steady(rounds)), default=None)
    return "" if worst is None else f"rounds spread by {worst:.3g}x: the machine was busy; run again on idle cores"

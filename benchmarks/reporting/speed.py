"""How fast models answer: inference results side by side, beside the slowest and beside what the hardware allows."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from distillation.runs.files import markdown_table

HEADINGS = (
    "model",
    "parameters",
    "head",
    "batch x length",
    "backend",
    "MiB on disk",
    "ms: median [least, largest]",
    "sequences/s",
    "times as fast",
    "share of the bound",
    "peak MiB",
)
Timing = Mapping[str, Any]


def grouped(timings: Iterable[Timing], *keys: str) -> dict[tuple, list[Timing]]:
    """Rows that agree in the keys, in the order in which they come."""
    groups: dict[tuple, list[Timing]] = {}
    for row in timings:
        groups.setdefault(tuple(row[key] for key in keys), []).append(row)
    return groups


def panels(timings: Iterable[Timing]) -> list[list[Timing]]:
    """What may be compared: measured rows of one hardware, device, head, and input; the largest model first."""
    measured = [row for row in timings if "error" not in row]
    groups = grouped(measured, "hardware", "device", "head", "batch_size", "sequence_length").values()
    sizes: dict[str, int] = {}
    for row in measured:
        sizes[row["model"]] = max(row.get("parameters", 0), sizes.get(row["model"], 0))
    return [sorted(group, key=lambda row: (-sizes[row["model"]], row["model"])) for group in groups]


def is_steady(row: Timing) -> bool:
    """Whether the rounds agree (`timing/rounds.py`), or are of a file that does not tell."""
    return row.get("steady", True)


def milliseconds(row: Timing) -> float:
    """The median over the rounds."""
    return 1000 * statistics.median(row["seconds"])


def figure(value: float) -> str:
    """Three digits, or as many as a large figure has before the point."""
    return f"{value:.3g}" if value < 999.5 else f"{value:,.0f}"


def table(timings: Iterable[Timing]) -> str:
    """Markdown: "times as fast" as the largest model in PyTorch on the same input. Rounds that do not agree have their
    spread in the place of what would follow from their median."""
    rows: list[list[str]] = []
    for panel in panels(timings):
        # The panel begins with the largest model.
        largest = next((row for row in panel if row["backend"] == "torch"), None)
        slowest = milliseconds(largest) if largest and is_steady(largest) else None
        rows += [_cells(row, slowest) for row in panel]
    return markdown_table(HEADINGS, rows)


def _cells(row: Timing, slowest: float | None) -> list[str]:
    found, bound, mib, peak = milliseconds(row), row.get("bound_seconds"), row.get("mib"), row.get("peak_mib")
    least, largest = 1000 * min(row["seconds"]), 1000 * max(row["seconds"])
    steady = is_steady(row)
    spread = "" if steady else f" spread {figure(row['spread'])}x"
    return [
        row["model"],
        f"{row['parameters']:,}" if "parameters" in row else "",
        row["head"],
        f"{row['batch_size']} x {row['sequence_length']}",
        row["backend"] if row["device"] == "cpu" else f"{row['backend']}, {row['device']}",
        f"{mib:.1f}" if mib else "",
        f"{figure(found)} [{figure(least)}, {figure(largest)}]{spread}",
        figure(1000 * row["batch_size"] / found) if steady else "",
        f"{slowest / found:.2f}" if slowest and steady else "",
        f"{1000 * bound / found:.0%}" if bound and steady else "",
        f"{statistics.median(peak):.0f}" if peak else "",
    ]


def failures(timings: Sequence[Timing]) -> list[str]:
    """What could not be measured, and why, a sentence a row."""
    return [
        f"{row['model']}, {row['backend']}, {row['head']}, {row['batch_size']} x {row['sequence_length']}, "
        f"{row['device']}: {' '.join(row['error'].split())}"
        for row in timings
        if "error" in row
    ]

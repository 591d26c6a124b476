"""How fast models answer: inference results side by side, beside the largest and beside what the hardware allows."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from distillation.runs.files import markdown_table

HEADINGS = ("model", "parameters", "head", "batch x length", "backend", "MiB on disk", "ms: median [least, largest]")
HEADINGS += ("sequences/s", "times as fast", "share of the bound", "peak MiB")
INPUT = ("hardware", "device", "head", "batch_size", "sequence_length")  # what timings must share to be compared
Timing = Mapping[str, Any]


def panels(timings: Sequence[Timing]) -> dict[str, list[Timing]]:
    """The measured rows that may be compared, by what they share; the largest model first."""
    groups: dict[str, list[Timing]] = {}
    for row in sorted(timings, key=lambda row: (-row.get("parameters", 0), row["model"])):
        if "error" not in row:
            hardware, device, head, *shape = (row.get(key, "") for key in INPUT)
            groups.setdefault(f"{head}, {' x '.join(map(str, shape))} tokens, {device} {hardware}", []).append(row)
    return groups


def is_steady(row: Timing) -> bool:
    """Whether the rounds agree (`timing/rounds.py`), or are of a file that does not tell."""
    return row.get("steady", True)


def milliseconds(row: Timing) -> float:
    """The median over the rounds."""
    return 1000 * statistics.median(row["seconds"])


def figure(value: float) -> str:
    """Three digits, or as many as a large figure has before the point."""
    return f"{value:.3g}" if value < 999.5 else f"{value:,.0f}"


def table(timings: Sequence[Timing]) -> str:
    """Markdown: "times as fast" as the largest model in PyTorch on the same input. Rounds that do not agree have their
    spread in the place of what would follow from their median."""
    rows: list[list[str]] = []
    for panel in panels(timings).values():
        largest = next((row for row in panel if row["backend"] == "torch"), None)  # the panel begins with it
        slowest = milliseconds(largest) if largest and is_steady(largest) else None
        rows += [_cells(row, slowest) for row in panel]
    for row in timings:
        if "error" in row:
            setting = row["model"], "", row["head"], f"{row['batch_size']} x {row['sequence_length']}", row["backend"]
            rows.append([*setting, "", f"not measured: {' '.join(row['error'].split())}", "", "", "", ""])
    return markdown_table(HEADINGS, rows)


def _cells(row: Timing, slowest: float | None) -> list[str]:
    found, bound, mib, peak = milliseconds(row), row.get("bound_seconds"), row.get("mib"), row.get("peak_mib")
    least, largest = (figure(1000 * end(row["seconds"])) for end in (min, max))
    steady = is_steady(row)
    return [
        row["model"],
        f"{row['parameters']:,}" if "parameters" in row else "",
        row["head"],
        f"{row['batch_size']} x {row['sequence_length']}",
        row["backend"] if row["device"] == "cpu" else f"{row['backend']}, {row['device']}",
        f"{mib:.1f}" if mib else "",
        f"{figure(found)} [{least}, {largest}]" + ("" if steady else f" spread {figure(row['spread'])}x"),
        figure(1000 * row["batch_size"] / found) if steady else "",
        f"{slowest / found:.2f}" if slowest and steady else "",
        f"{1000 * bound / found:.0%}" if bound and steady else "",
        f"{statistics.median(peak):.0f}" if peak else "",
    ]


def latencies(timings: Sequence[Timing]) -> tuple[dict[str, float], str]:
    """The milliseconds of one input with the fastest backend by the model's folder; and what input: the longest."""
    single = [row for row in timings if "error" not in row and row["batch_size"] == 1 and is_steady(row)]
    longest = max(single, key=lambda row: row["sequence_length"], default=None)
    took: dict[str, float] = {}
    for row in single:
        if all(row[key] == longest[key] for key in INPUT):
            source = str(Path(row["source"]).resolve())
            took[source] = min(milliseconds(row), took.get(source, float("inf")))
    return took, f"ms for one input of {longest['sequence_length']} tokens" if longest else ""

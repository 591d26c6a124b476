"""How fast models answer: inference results side by side, beside the largest and beside what the hardware allows."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.timing.measure import is_steady, number_text, time_text
from distillation.runs.files import markdown_table

HEADINGS = ("model", "parameters", "head", "batch x length", "backend", "MiB on disk", "ms: median [least, largest]")
HEADINGS += ("sequences/s", "times as fast", "share of the bound", "peak MiB")
INPUT = ("hardware", "device", "head", "batch_size", "sequence_length")  # what timings must share to be compared
Timing = Mapping[str, Any]


def milliseconds(row: Timing) -> float:
    """The median over the rounds."""
    return 1000 * statistics.median(row["seconds"])


def table(timings: Sequence[Timing]) -> str:
    """A Markdown table: a group for each input, in it the largest model first, and last what has an error.

    "times as fast" compares with the largest model in PyTorch. Rounds that do not agree give their spread, and nothing
    that follows from their median.
    """
    rows = sorted(timings, key=lambda row: ("error" in row, -row.get("parameters", 0), row["model"]))
    inputs = list(dict.fromkeys(map(_input, rows)))
    largest: dict[tuple, Timing] = {}
    for row in rows:
        if row["backend"] == "torch" and "error" not in row:
            largest.setdefault(_input(row), row)
    rows.sort(key=lambda row: inputs.index(_input(row)))
    return markdown_table(HEADINGS, [_cells(row, largest.get(_input(row))) for row in rows])


def _input(row: Timing) -> tuple:
    return tuple(row[key] for key in INPUT)


def _cells(row: Timing, largest: Timing | None) -> list[str]:
    cells = [row["model"], f"{row['parameters']:,}" if "parameters" in row else "", row["head"]]
    cells.append(f"{row['batch_size']} x {row['sequence_length']}")
    cells.append(row["backend"] if row["device"] == "cpu" else f"{row['backend']}, {row['device']}")
    if "error" in row:
        return [*cells, "", f"not measured: {' '.join(row['error'].split())}", "", "", "", ""]
    found, bound, mib, peak = milliseconds(row), row.get("bound_seconds"), row.get("mib"), row.get("peak_mib")
    steady = is_steady(row["seconds"])
    compared = largest and steady and is_steady(largest["seconds"])
    return [
        *cells,
        f"{mib:.1f}" if mib else "",
        time_text(row["seconds"]),
        number_text(1000 * row["batch_size"] / found) if steady else "",
        f"{milliseconds(largest) / found:.2f}" if compared else "",
        f"{1000 * bound / found:.0%}" if bound and steady else "",
        f"{statistics.median(peak):.0f}" if peak else "",
    ]


def single_inputs(timings: Sequence[Timing]) -> list[Timing]:
    """The steady rows of one input alone: of the longest."""
    rows = [row for row in timings if "error" not in row and row["batch_size"] == 1 and is_steady(row["seconds"])]
    longest = max(rows, key=lambda row: row["sequence_length"], default=None)
    return [row for row in rows if _input(row) == _input(longest)]

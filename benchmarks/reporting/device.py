"""The table and the picture of `on_device.py`."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from benchmarks.reporting.plots import COLOURS
from benchmarks.timing.measure import is_steady, number_text, spread
from distillation.runs.files import markdown_table

NAMES = {"torch": "transformers", "onnx-int8": "exported int8", "browser": "its page in Chromium"}
MB = 1e6
HEADINGS = ("model", "parameters", "run by", "MB: packages + model", "s to the first answer", "peak MB")
Row = Mapping[str, Any]


def table(rows: Sequence[Row]) -> str:
    """A Markdown table; times of rounds are their medians, "busy" where these differ too much to count."""
    lengths = [*rows[0]["p50"]]
    headings = [*HEADINGS, *(f"ms of {length} tokens: p50 / p95" for length in lengths), "texts/s"]
    return markdown_table(headings, [_cells(row, lengths) for row in rows])


def _cells(row: Row, lengths: Sequence[str]) -> list[str]:
    cells = [row["model"], f"{row['parameters']:,}", NAMES[row["way"]]]
    cells.append(f"{number_text(row['package_bytes'] / MB)} + {row['model_bytes'] / MB:,.1f}")
    cells += [_text(row["first_answer"]), _text(row["peak"], 1 / MB)]
    cells += [f"{_text(row['p50'][length], 1000)} / {_text(row['p95'][length], 1000)}" for length in lengths]
    return [*cells, _text(row["rate"])]


def _text(rounds: Sequence[float], factor: float = 1.0) -> str:
    if not all(rounds):
        return "not known"  # the peak, on a system other than Linux
    return number_text(factor * statistics.median(rounds)) if is_steady(rounds) else f"busy ({spread(rounds):.1f}x)"


def picture(rows: Sequence[Row]) -> Figure:
    """A panel for each figure, in it a bar for each model and way to run it; none for rounds that do not agree."""
    length = next(iter(reversed(rows[0]["p50"])))
    panels = {
        "MB to install": [(row["package_bytes"] + row["model_bytes"]) / MB for row in rows],
        "seconds to the first answer": [_steady(row["first_answer"]) for row in rows],
        "peak MB": [_steady(row["peak"]) / MB for row in rows],
        f"ms for a text of {length} tokens": [1000 * _steady(row["p50"][length]) for row in rows],
    }
    figure = Figure((11, 0.42 * len(rows) + 1.6), dpi=150, layout="constrained")
    axes = figure.subplots(1, len(panels), sharey=True)
    ways = [way for way in NAMES if any(row["way"] == way for row in rows)]
    step = 0.7 / len(ways)
    names = list(dict.fromkeys(row["model"] for row in rows))
    places = [names.index(row["model"]) + step * ways.index(row["way"]) for row in rows]
    for one, (title, values) in zip(axes, panels.items(), strict=True):
        for way, colour in zip(ways, COLOURS, strict=False):
            own = [(place, value) for place, value, row in zip(places, values, rows, strict=True) if row["way"] == way]
            bars = one.barh(*zip(*own, strict=True), height=0.97 * step, color=colour, label=NAMES[way])
            one.bar_label(
                bars,
                labels=[
                    "busy" if value != value else number_text(value) if value else "not known" for _, value in own
                ],
                padding=2,
                fontsize=7,
            )
        one.set_title(title, size="medium")
        one.margins(x=0.25)
        one.xaxis.set_visible(False)
        one.spines[["top", "right", "bottom"]].set_visible(False)
    axes[0].set_yticks([number + (0.7 - step) / 2 for number in range(len(names))], names, fontsize=8)
    axes[0].invert_yaxis()
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(ways), frameon=False)
    return figure


def _steady(rounds: Sequence[float]) -> float:
    return statistics.median(rounds) if not all(rounds) or is_steady(rounds) else float("nan")

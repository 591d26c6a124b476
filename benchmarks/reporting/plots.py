"""Pictures of results: what training did, how fast models answer, what quality costs."""

import itertools
import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.patheffects
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from benchmarks.reporting import speed
from benchmarks.reporting.labels import label_points
from benchmarks.reporting.tradeoff import Comparison, front
from distillation.config.arguments import TERMS

DPI = 150
# Okabe and Ito's palette, which colour-blind readers tell apart, without its yellow and black.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#7F7F7F")
LINES = ("-", "--", ":", "-.")
HATCHES = ("", "///", "...", "xxx")
ROLES = {  # marker and colour
    "teacher": ("*", COLOURS[1]),
    "student": ("o", COLOURS[0]),
    "random weights": ("X", COLOURS[6]),
    "model": ("s", COLOURS[2]),
}
WIDE = 20  # from what ratio on of the largest to the least an axis is logarithmic
BAR = 0.19  # inches


def training_curves(histories: Mapping[str, Sequence[Mapping[str, Any]]]) -> Figure:
    """A panel for the loss and each of its terms, a line a run; dots are measured on held-out text."""
    logged = [name for name in ("loss", *TERMS) if any(name in entry for log in histories.values() for entry in log)]
    styles = dict(zip(histories, itertools.cycle(_styles(COLOURS, LINES)), strict=False))
    columns = min(3, len(logged))
    rows = math.ceil(len(logged) / columns)
    handles = [Line2D([], [], color=colour, linestyle=line, label=run) for run, (colour, line) in styles.items()]
    handles.append(Line2D([], [], color="0.3", linestyle="", marker="o", label="on held-out text"))
    figure = new_figure(max(4.2 * columns, 8), 2.8 * rows + 0.5 + 0.22 * math.ceil(len(handles) / 4))
    for axes, name in zip(figure.subplots(rows, columns, squeeze=False).flat, logged, strict=False):
        _curves(axes, name, histories, styles)
    for axes in figure.axes[len(logged) :]:
        axes.remove()
    figure.legend(handles=handles, loc="outside lower center", ncols=min(4, len(handles)), frameon=False)
    return figure


def _curves(axes: Axes, name: str, histories: Mapping[str, Any], styles: Mapping[str, tuple[str, str]]) -> None:
    values = []
    for number, (run, log) in enumerate(histories.items()):
        colour, line = styles[run]
        width = 3.2 - 2 * number / len(histories)  # a line on top of its like leaves it in sight
        trained = [(entry["step"], entry[name]) for entry in log if name in entry]
        measured = [(entry["step"], entry[f"eval_{name}"]) for entry in log if f"eval_{name}" in entry]
        axes.plot(*zip(*trained, strict=True) if trained else ([], []), color=colour, linestyle=line, linewidth=width)
        axes.plot(*zip(*measured, strict=True) if measured else ([], []), "o", color=colour, markeredgecolor="white")
        values += [value for _, value in trained + measured]
    axes.set_title("loss (weighted sum)" if name == "loss" else name)
    axes.set_xlabel("step")
    axes.grid(color="0.9")
    if _is_wide(values):
        _logarithmic(axes, "y")


def speed_bars(panels: Sequence[Sequence[speed.Timing]], titles: Sequence[str]) -> Figure:
    """A panel for each input: bars grouped by model, a colour a backend, a tick for the least time possible."""
    backends = dict.fromkeys(row["backend"] for panel in panels for row in panel)
    looks = dict(zip(backends, itertools.cycle(_styles(COLOURS, HATCHES)), strict=False))
    columns = min(2, len(panels))
    rows = math.ceil(len(panels) / columns)
    tallest = max(len(panel) + len({row["model"] for row in panel}) for panel in panels)
    figure = new_figure(6 * columns + 1, (BAR * tallest + 1) * rows + 0.6)
    grid = figure.subplots(rows, columns, squeeze=False).flat
    for axes, panel, title in zip(grid, panels, titles, strict=False):
        _bars(axes, panel, looks)
        axes.set_title(title)
    for axes in figure.axes[len(panels) :]:
        axes.remove()
    handles = [
        Patch(facecolor=colour, hatch=hatch, edgecolor="white", label=name) for name, (colour, hatch) in looks.items()
    ]
    if any(row.get("bound_seconds") for panel in panels for row in panel):
        handles.append(Line2D([], [], color="black", linestyle="", marker="|", markersize=11, label="bound"))
    figure.legend(handles=handles, loc="outside lower center", ncols=min(4 * columns, len(handles)), frameon=False)
    return figure


def _bars(axes: Axes, panel: Sequence[speed.Timing], looks: Mapping[str, tuple[str, str]]) -> None:
    place, ticks = 0.0, {}
    outline = [matplotlib.patheffects.withStroke(linewidth=3.5, foreground="white")]
    for model, rows in itertools.groupby(panel, key=lambda row: row["model"]):
        start = place
        for row in sorted(rows, key=lambda row: list(looks).index(row["backend"])):
            colour, hatch = looks[row["backend"]]
            median = speed.milliseconds(row)
            axes.barh(place, median, height=0.9, color=colour, hatch=hatch, edgecolor="white", linewidth=0.3)
            axes.annotate(
                speed.figure(median), (median, place), (3, 0), textcoords="offset points", va="center", fontsize=7
            )
            if bound := row.get("bound_seconds"):
                ends = [place - 0.45, place + 0.45]
                axes.plot([1000 * bound] * 2, ends, color="black", linewidth=1.5, path_effects=outline)
            place += 1
        ticks[model] = (start + place - 1) / 2
        place += 1
    axes.set_yticks(list(ticks.values()), list(ticks))
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(place - 1.3, -0.7)  # the first model on top
    _time_axis(axes, panel)


def _time_axis(axes: Axes, panel: Sequence[speed.Timing]) -> None:
    medians = [speed.milliseconds(row) for row in panel]
    least = min([*medians, *(1000 * row["bound_seconds"] for row in panel if row.get("bound_seconds"))])
    if _is_wide(medians):
        axes.set_xlim(least / 1.5, max(medians) * 3)  # room for the figure
        _logarithmic(axes, "x")
        axes.set_xlabel("ms (median; logarithmic)")
    else:
        axes.set_xlabel("ms (median)")
        axes.set_xlim(0, max(medians) * 1.12)
    axes.grid(axis="x", color="0.9")
    axes.set_axisbelow(True)


def quality_against_cost(comparison: Comparison) -> Figure:
    """A point a model, and the front of those that none excels as a step line."""
    figure = new_figure(9, 5.5)
    axes = figure.subplots()
    best = front(comparison.points)
    costs = [point.cost for point in comparison.points]
    axes.set_xlim(min(costs) / 2, max(costs) * 2)
    corners = [(best[0].cost, best[0].quality)]
    for point in best[1:]:
        corners += [(point.cost, corners[-1][1]), (point.cost, point.quality)]
    corners.append((max(costs) * 2, best[-1].quality))
    axes.plot(*zip(*corners, strict=True), color="0.6", label="front: none cheaper is as good", zorder=1)
    for role, (marker, colour) in ROLES.items():
        points = [point for point in comparison.points if point.role == role]
        size = 170 if marker == "*" else 60
        if points:
            places = [point.cost for point in points], [point.quality for point in points]
            axes.scatter(*places, marker=marker, color=colour, s=size, label=role, edgecolor="white", zorder=2)
    axes.margins(y=0.15)
    axes.set_xlabel(comparison.cost)
    axes.set_ylabel(textwrap.fill(comparison.quality, 45))
    axes.grid(color="0.92")
    _logarithmic(axes, "x")
    figure.legend(loc="outside lower center", ncols=len(ROLES) + 1, frameon=False)
    places = [(point.cost, point.quality) for point in comparison.points]
    label_points(axes, places, [point.label for point in comparison.points], corners)
    return figure


def new_figure(width: float, height: float) -> Figure:
    """An empty picture, in inches."""
    figure = Figure((width, height), dpi=DPI, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)  # it knows how large texts are, and needs no screen
    return figure


def _styles(colours: Sequence[str], variants: Sequence[str]) -> list[tuple[str, str]]:
    """All colours in the first variant, then in the next."""
    return [(colour, variant) for variant in variants for colour in colours]


def _is_wide(values: Sequence[float]) -> bool:
    return bool(values) and min(values) > 0 and max(values) > WIDE * min(values)


def _logarithmic(axes: Axes, which: str) -> None:
    """Make an axis logarithmic whose limits are set."""
    axes.set(**{f"{which}scale": "log"})
    axis = getattr(axes, f"{which}axis")
    low, high = getattr(axes, f"get_{which}lim")()
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 100 * low else (1,), numticks=20))
    axis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
    axis.set_minor_formatter(NullFormatter())


def _short(value: float) -> str:
    """Powers of ten as people write them: 0.1, 20, 3k, 100M."""
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:g}{name}"
    return f"{value:g}"

"""The pictures of a report: training curves, size against speed, and quality against cost."""

import math
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import chain

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter, StrMethodFormatter

from benchmarks.reporting.tables import Timing, milliseconds
from benchmarks.scores import Score
from distillation.config.terms import TERMS
from distillation.runs.files import mean_and_deviation

# Okabe and Ito's palette, which colour-blind readers tell apart, without its yellow and black.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#7F7F7F")
LINES, MARKERS = ("-", "--", ":", "-."), "os^D"
WIDE = 20  # ratio of the largest value to the least from which an axis is logarithmic
Log = Sequence[Mapping[str, float]]  # of `trainer_state.json`: a step, and what was logged then


def training_curves(variants: Mapping[str, Sequence[Log]]) -> Figure:
    """A panel for the loss and each of its terms. Each variant has a line, the mean over its runs, in a band of their
    standard deviation. Dots are measured on held-out text."""
    logged = {key for runs in variants.values() for log in runs for entry in log for key in entry}
    names = [name for name in ("loss", *TERMS) if name in logged]
    picture, panels = _panels(names, 4.2, 2.8)
    for axes, name in zip(panels, names, strict=True):
        for number, (variant, runs) in enumerate(variants.items()):
            colour, line = _look(number, LINES)
            steps, means, low, high = _over_runs(runs, name)
            axes.plot(steps, means, line, color=colour, label=variant)
            axes.fill_between(steps, low, high, color=colour, alpha=0.2, linewidth=0)
            axes.plot(*_over_runs(runs, f"eval_{name}")[:2], "o", color=colour, markeredgecolor="white")
        axes.set_xlabel("step")
        values = [value for line in axes.lines for value in line.get_ydata()]
        axes.set_yscale("log" if values and 0 < WIDE * min(values) < max(values) else "linear")
    return _with_legend(picture)


def _over_runs(runs: Sequence[Log], name: str) -> list[Sequence[float]]:
    """For the values logged under a name: steps, means, and means minus and plus the deviation."""
    values: dict[float, list[float]] = defaultdict(list)
    for entry in chain(*runs):
        if name in entry:
            values[entry["step"]].append(entry[name])
    rows = [(step, *mean_and_deviation(values[step])) for step in sorted(values)]
    return list(zip(*((step, mean, mean - off, mean + off) for step, mean, off in rows), strict=True)) or [()] * 4


def size_and_speed(rows: Sequence[Timing]) -> Figure:
    """Size on disk against the time of an answer, a point for each model with a backend. A thin line joins a model's
    points; its name stands at the slowest."""
    backends = list(dict.fromkeys(row["backend"] for row in rows))
    picture = Figure((8, 5), dpi=150, layout="constrained")
    axes = picture.add_subplot(xscale="log", yscale="log", xlabel="ms for one answer", ylabel="MiB on disk")
    for model in dict.fromkeys(row["model"] for row in rows):
        points = sorted((milliseconds(row), row["mib"]) for row in rows if row["model"] == model)
        axes.plot(*zip(*points, strict=True), color="0.8", linewidth=1, zorder=0)
        axes.annotate(model, points[-1], (7, 0), textcoords="offset points", va="center", fontsize=8)
    for row in rows:
        colour, marker = _look(backends.index(row["backend"]), MARKERS)
        axes.plot(milliseconds(row), row["mib"], marker, color=colour, label=row["backend"], linestyle="")
    axes.grid(color="0.92")
    axes.margins(0.1)
    axes.set_xlim(right=6 * axes.get_xlim()[1])  # room for the last name
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    return _with_legend(picture)


def quality_against_cost(costs: Sequence[tuple[Score, float]], cost: str) -> Figure:
    """A panel for each task, in it a point for each model, with a line for its deviation over seeds. costs: scores,
    each with its cost."""
    models = list(dict.fromkeys(score.model for score, _ in costs))
    tasks = list(dict.fromkeys(score.task for score, _ in costs))
    picture, panels = _panels(tasks, 4, 3)
    for score, value in costs:
        axes, (colour, marker) = panels[tasks.index(score.task)], _look(models.index(score.model), MARKERS)
        place = value, score.value, score.deviation or 0
        axes.errorbar(*place, color=colour, fmt=marker, markersize=8, capsize=3, label=score.model)
    for axes in panels:
        axes.sharex(panels[0])
        axes.margins(0.2)
        axes.set(xlabel=cost, xscale="log", ylabel="%")
        _round_numbers(axes)
    return _with_legend(picture)


def named_points(points: Mapping[str, tuple[float, float, float | None]], cost: str, score: str) -> Figure:
    """A score against a cost. Points that none of a lower cost reaches have their names beside them; others are pale,
    and those far below are left out. points: cost, score, deviation over seeds."""
    picture = Figure((8, 5), dpi=150, layout="constrained")
    axes = picture.add_subplot(xscale="log", xlabel=cost, ylabel=score)
    middle = statistics.median([value for value, *_ in points.values()] or [1])
    least = min((value for value, *_ in points.values()), default=1)
    best, named = -math.inf, {}
    for name, (value, height, deviation) in sorted(points.items(), key=lambda item: (item[1][0], -item[1][1])):
        if height > best:
            best, named[name] = height, points[name]
        else:
            axes.errorbar(value, height, deviation or 0, color="0.75", fmt="o", capsize=3)
    heights = [height for _, height, _ in named.values()] or [0]
    bottom = min(heights) - 2.5 * (max(heights) - min(heights)) - 0.1
    line = 0.05 * (max(heights) - bottom)
    lowest = {"left": math.inf, "right": math.inf}  # of the names so far, which must not cover each other
    for name, (value, height, deviation) in sorted(named.items(), key=lambda item: -item[1][1]):
        # The edge next to its dot; names on the left stand in one column, where no dot is.
        side, place = ("right", 0.92 * least) if value < middle else ("left", 1.08 * value)
        lowest[side] = min(height, lowest[side] - line)
        axes.errorbar(value, height, deviation or 0, color=COLOURS[0], fmt="o", capsize=3)
        axes.plot([value, place], [height, lowest[side]], color="0.8", linewidth=1, zorder=0)
        style = {"fontsize": 8, "ha": side, "va": "center", "textcoords": "offset points"}
        style["bbox"] = {"color": "white", "pad": 0.5}
        axes.annotate(name, (place, lowest[side]), (2 if side == "left" else -2, 0), **style)
    axes.grid(color="0.92")
    axes.set_axisbelow(True)
    axes.margins(0.4, 0.1)  # room for the names
    axes.set_ylim(bottom=bottom)
    _round_numbers(axes)
    return picture


def _round_numbers(axes: Axes) -> None:
    """Label 1, 2, and 5 times a power of ten on a logarithmic axis of costs."""
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _panels(titles: Sequence[str], width: float, height: float) -> tuple[Figure, list[Axes]]:
    columns = min(3, len(titles))
    rows = -(-len(titles) // columns)  # rounded up
    picture = Figure((max(width * columns, 7), height * rows + 0.8), dpi=150, layout="constrained")
    panels = [picture.add_subplot(rows, columns, place + 1, title=title) for place, title in enumerate(titles)]
    for axes in panels:
        axes.grid(color="0.92")
        axes.title.set_size("medium")
        axes.set_axisbelow(True)
    return picture, panels


def _with_legend(picture: Figure) -> Figure:
    """Add one legend for all panels, below them."""
    found = [zip(*axes.get_legend_handles_labels(), strict=True) for axes in picture.axes]
    handles = {label: line for line, label in chain(*found)}
    columns = min(4, len(handles))
    picture.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=columns, frameon=False)
    return picture


def _look(number: int, variants: Sequence[str]) -> tuple[str, str]:
    """A colour and a line or marker. When all colours are used up, the next line or marker follows."""
    return COLOURS[number % len(COLOURS)], variants[number // len(COLOURS) % len(variants)]

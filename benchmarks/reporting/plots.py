"""The pictures of a report: what training did, how fast models answer, what quality costs."""

import math
import textwrap
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import chain

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter, StrMethodFormatter

from benchmarks.reporting.speed import Timing, figure, is_steady, milliseconds
from benchmarks.scores import Score
from distillation.config.terms import TERMS
from distillation.runs.files import mean_and_deviation

# Okabe and Ito's palette, which colour-blind readers tell apart, without its yellow and black.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#7F7F7F")
LINES, MARKERS, HATCHES = ("-", "--", ":", "-."), "os^D", ("", "///", "...", "xxx")
WIDE = 20  # from what ratio on of the largest to the least an axis is logarithmic
Log = Sequence[Mapping[str, float]]  # of `trainer_state.json`: a step, and what was logged then


def training_curves(variants: Mapping[str, Sequence[Log]]) -> Figure:
    """A panel for the loss and each of its terms, a line a variant: the mean over its runs, in a band of their
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
        axes.set_yscale("log" if _is_wide(values) else "linear")
    return _with_legend(picture)


def _over_runs(runs: Sequence[Log], name: str) -> list[Sequence[float]]:
    """Of what was logged under a name: steps, means, and means less and plus the deviation."""
    values: dict[float, list[float]] = defaultdict(list)
    for entry in chain(*runs):
        if name in entry:
            values[entry["step"]].append(entry[name])
    rows = [(step, *mean_and_deviation(values[step])) for step in sorted(values)]
    return list(zip(*((step, mean, mean - off, mean + off) for step, mean, off in rows), strict=True)) or [()] * 4


def speed_bars(panels: Mapping[str, Sequence[Timing]]) -> Figure:
    """A panel for each input, a bar for each model and backend; a thin line goes from the least to the largest of the
    rounds, a black tick stands at the least time that the hardware allows. Rounds that do not agree are left out."""
    backends = list(dict.fromkeys(row["backend"] for rows in panels.values() for row in rows))
    height = 0.24 * max(map(len, panels.values())) + 1.2
    picture, grid = _panels([textwrap.fill(title, 70) for title in panels], 5.5, height, columns=2)
    for axes, rows in zip(grid, panels.values(), strict=True):
        rows = [row for row in rows if is_steady(row)]
        for place, row in enumerate(rows):
            colour, hatch = _look(backends.index(row["backend"]), HATCHES)
            took, ends = milliseconds(row), [1000 * min(row["seconds"]), 1000 * max(row["seconds"])]
            axes.barh(place, took, 0.85, color=colour, hatch=hatch, edgecolor="white", label=row["backend"])
            axes.plot(ends, [place] * 2, color="0.3", linewidth=1)
            axes.annotate(figure(took), (ends[1], place), (3, 0), textcoords="offset points", va="center", fontsize=7)
            if bound := row.get("bound_seconds"):
                axes.plot([1000 * bound] * 2, [place - 0.4, place + 0.4], "k", linewidth=2, label="bound")
        axes.set_yticks(range(len(rows)), [row["model"] for row in rows])
        axes.invert_yaxis()  # the largest model on top
        axes.set_xscale("log" if _is_wide([milliseconds(row) for row in rows]) else "linear")
        axes.set_xlabel("ms (median)")
        axes.margins(x=0.15)
    return _with_legend(picture)


def size_and_speed(rows: Sequence[Timing]) -> Figure:
    """A point a model and backend: size on disk against the time of an answer. A thin line joins a model's points; its
    name stands at the slowest."""
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
    """A panel a task, a point a model, its deviation over seeds as a line. costs: scores and what they cost."""
    models = list(dict.fromkeys(score.model for score, _ in costs))
    tasks = list(dict.fromkeys(score.task for score, _ in costs))
    picture, panels = _panels(tasks, 4, 3)
    for score, value in costs:
        axes, (colour, marker) = panels[tasks.index(score.task)], _look(models.index(score.model), MARKERS)
        place = value, score.value, score.deviation or 0
        axes.errorbar(*place, color=colour, fmt=marker, markersize=8, capsize=3, label=score.model)
    large = max(value for _, value in costs) >= 1000
    for axes in panels:
        axes.sharex(panels[0])
        axes.margins(0.2)
        axes.set(xlabel=cost, xscale="log", ylabel="%")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(EngFormatter(sep="") if large else StrMethodFormatter("{x:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    return _with_legend(picture)


def _panels(titles: Sequence[str], width: float, height: float, columns: int = 3) -> tuple[Figure, list[Axes]]:
    columns = min(columns, len(titles))
    rows = math.ceil(len(titles) / columns)
    picture = Figure((max(width * columns, 7), height * rows + 0.8), dpi=150, layout="constrained")
    panels = [picture.add_subplot(rows, columns, place + 1, title=title) for place, title in enumerate(titles)]
    for axes in panels:
        axes.grid(color="0.92")
        axes.title.set_size("medium")
        axes.set_axisbelow(True)
    return picture, panels


def _with_legend(picture: Figure) -> Figure:
    """One for all panels, below them."""
    found = [zip(*axes.get_legend_handles_labels(), strict=True) for axes in picture.axes]
    handles = {label: line for line, label in chain(*found)}
    columns = min(4, len(handles))
    picture.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=columns, frameon=False)
    return picture


def _look(number: int, variants: Sequence[str]) -> tuple[str, str]:
    """A colour, and when all are used up the next line, marker, or hatch."""
    return COLOURS[number % len(COLOURS)], variants[number // len(COLOURS) % len(variants)]


def _is_wide(values: Sequence[float]) -> bool:
    """Whether the least would vanish beside the largest."""
    return bool(values) and 0 < WIDE * min(values) < max(values)

"""The pictures of a study, made of its one JSON."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.reporting.plots import COLOURS, new_figure
from benchmarks.studying.page import shape_of

Figures = Mapping[str, Any]

METRIC = "loss_per_character"
WAYS = {  # how a student's name ends: its colour and marker
    "mlm": (COLOURS[6], "s"),
    "match": (COLOURS[0], "o"),
    "reduce": (COLOURS[1], "D"),
    "": (COLOURS[2], "o"),
}


def pictures(figures: Figures) -> dict[str, Figure]:
    """By file name, those for which there are figures."""
    drawn = {f"{name}.png": changes(figures, table) for name, table in figures["tables"].items() if name != "main"}
    drawn |= {"compute.png": compute(figures), "scores.png": scores(figures)}
    return {name: figure for name, figure in drawn.items() if figure is not None}


def measured(figures: Figures, name: str) -> list[float]:
    """The held-out loss per character of each seed of a student."""
    runs = figures["students"].get(name, {"seeds": {}})["seeds"].values()
    return [run[METRIC] for run in runs if METRIC in run]


def changes(figures: Figures, table: Figures) -> Figure | None:
    """Bars: how much more a table's students lose than its first, and how far apart two seeds of that are."""
    found = {name: values for name in table["students"] if (values := measured(figures, name))}
    if len(found) < 2:
        return None
    first, *others = found
    base = found[first][0]
    figure = new_figure(8, 0.32 * len(others) + 1.2)
    axes = figure.subplots()
    noise = max(found[first]) - min(found[first])
    axes.axvspan(-noise, noise, color="0.9", zorder=0)
    values = [found[name][0] - base for name in others]
    axes.barh(range(len(others)), values, color=[COLOURS[1] if value > 0 else COLOURS[0] for value in values])
    axes.set_yticks(range(len(others)), others)
    axes.invert_yaxis()
    axes.axvline(0, color="0.3", linewidth=0.8)
    axes.grid(axis="x", color="0.92")
    axes.set_axisbelow(True)
    axes.set_xlabel(f"held-out loss per character less that of {first} (grey: between its seeds), seed 1")
    return figure


def compute(figures: Figures) -> Figure | None:
    """Held-out loss against the seconds of training, a panel a shape: by MLM alone, with a teacher, with its cache."""
    points = {shape: places for shape in ("small", "tiny-1k") if (places := points_of(figures, shape))}
    if not points:
        return None
    figure = new_figure(5.5 * len(points), 4.2)
    for axes, (shape, places) in zip(figure.subplots(1, len(points), squeeze=False).flat, points.items(), strict=True):
        for label, (way, line, seconds, losses) in places.items():
            colour, marker = WAYS[way]
            filled = colour if "cache" not in label else "white"
            style = dict(color=colour, marker=marker, markerfacecolor=filled, linestyle=line, label=label)
            axes.plot(seconds, losses, **style)
        axes.set_title(shape)
        axes.set_xlabel("seconds of training")
        axes.set_ylabel("held-out loss per character, nats")
        axes.grid(color="0.92")
        axes.legend(frameon=False)
    return figure


def points_of(figures: Figures, shape: str) -> dict[str, tuple[str, str, list[float], list[float]]]:
    """For each way to train a shape: its look, seconds, losses. Seconds are steps times what a step costs."""
    costs, students = figures["costs"], figures["students"]
    found = {}
    for name in students:
        way = name.removeprefix(shape).lstrip("-")
        losses = measured(figures, name)
        if shape_of(name) != shape or way not in WAYS or not losses:
            continue
        more = f"{name}-compute"
        trained = [one for one in (name, more) if measured(figures, one)]
        steps = [next(iter(students[one]["seeds"].values()))["steps"] for one in trained]
        means = [statistics.mean(measured(figures, one)) for one in trained]
        for label, cost in {way or "distilled": f"{name}-cost", "from a cache": f"{name}-cached-cost"}.items():
            if cost in costs:
                label = label if cost == f"{name}-cost" else f"{way or 'distilled'}, {label}"
                found[label] = way, "-", [costs[cost] * count for count in steps], means
    return found


def scores(figures: Figures) -> Figure | None:
    """A panel a task: each model's score with the standard deviation over its seeds."""
    tasks = figures["finetuned"]
    if not tasks:
        return None
    most = max(len(about["models"]) for about in tasks.values())
    figure = new_figure(4.2 * len(tasks) + 1.5, 0.32 * most + 1.2)
    for axes, (task, about) in zip(figure.subplots(1, len(tasks), squeeze=False).flat, tasks.items(), strict=True):
        _scores(axes, about)
        axes.set_title(task)
    return figure


def _scores(axes: Axes, about: Figures) -> None:
    models: Sequence[str] = list(about["models"])
    for place, model in enumerate(models):
        values = about["models"][model]["scores"][about["metric"]]
        spread = statistics.stdev(values) if len(values) > 1 else 0
        way = model.removeprefix(shape_of(model)).lstrip("-").removesuffix("-compute")
        colour, marker = WAYS.get(way, ("0.2", "X"))
        axes.errorbar(statistics.mean(values), place, xerr=spread, color=colour, marker=marker, capsize=3)
    if about["commonest"] is not None:
        axes.axvline(about["commonest"], color="0.5", linestyle=":", label="the commonest label")
        axes.legend(frameon=False, fontsize=8)
    axes.set_yticks(range(len(models)), models)
    axes.invert_yaxis()
    axes.set_xlabel(about["metric"])
    axes.grid(color="0.92")

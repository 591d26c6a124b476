"""The pictures of a study, made of its one JSON."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.reporting.plots import COLOURS, new_figure
from benchmarks.studying.page import measured, shape_of

Figures = Mapping[str, Any]

METRIC = "loss_per_character"
CACHED = "from a cache (its filling not counted)"
WAYS = {  # how a student's name ends: its colour and marker
    "mlm": (COLOURS[6], "s"),
    "match": (COLOURS[0], "o"),
    "reduce": (COLOURS[1], "D"),
    "": (COLOURS[2], "o"),
}


def pictures(figures: Figures) -> dict[str, Figure]:
    """By file name, those for which there are figures."""
    drawn = {f"{name}.png": changes(figures, table) for name, table in figures["tables"].items() if "base" in table}
    drawn |= {"compute.png": compute(figures), "scores.png": scores(figures)}
    return {name: figure for name, figure in drawn.items() if figure is not None}


def changes(figures: Figures, table: Figures) -> Figure | None:
    """A dot a seed: how much more each student loses than the table's base, on average over its seeds."""
    found = {name: losses for name in table["students"] if (losses := losses_of(figures, name, table))}
    if len(found) < 2 or table["base"] not in found:
        return None
    base = statistics.mean(found[table["base"]])
    figure = new_figure(8, 0.32 * len(found) + 1.2)
    axes = figure.subplots()
    for place, losses in enumerate(found.values()):
        mean = statistics.mean(losses) - base
        axes.barh(place, mean, color=COLOURS[1] if mean > 0 else COLOURS[0], alpha=0.35)
        axes.plot([loss - base for loss in losses], [place] * len(losses), "o", color="0.2", markersize=4)
    axes.set_yticks(range(len(found)), list(found))
    axes.invert_yaxis()
    axes.axvline(0, color="0.3", linewidth=0.8)
    axes.grid(axis="x", color="0.92")
    axes.set_axisbelow(True)
    axes.set_xlabel(f"held-out loss per character less that of {table['base']}; a dot a seed")
    return figure


def losses_of(figures: Figures, name: str, table: Figures) -> list[float]:
    """The held-out loss per character with each seed of a table."""
    return [run[METRIC] for run in measured(figures, name, table)]


def compute(figures: Figures) -> Figure | None:
    """Held-out loss against the seconds of training, a panel a shape: by MLM alone, with a teacher, with its cache."""
    shapes = dict.fromkeys(shape_of(name) for name in figures["costs"])
    points = {shape: places for shape in shapes if (places := points_of(figures, shape))}
    if not points:
        return None
    figure = new_figure(5.5 * len(points), 5)
    for axes, (shape, places) in zip(figure.subplots(1, len(points), squeeze=False).flat, points.items(), strict=True):
        for label, (way, seconds, losses) in places.items():
            colour, marker = WAYS[way]
            filled = "white" if CACHED in label else colour
            line = "-" if len(seconds) > 1 else ""
            axes.plot(seconds, losses, line, color=colour, marker=marker, markerfacecolor=filled, label=label)
        axes.set_title(shape)
        axes.set_xlabel("seconds of training")
        axes.set_ylabel("held-out loss per character, nats")
        axes.grid(color="0.92")
        axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.15))  # below: not on a point
    return figure


def points_of(figures: Figures, shape: str) -> dict[str, tuple[str, list[float], list[float]]]:
    """For each way to train a shape: its look, seconds, losses. Seconds are steps times what a step costs."""
    found = {}
    for cost, seconds in figures["costs"].items():
        name, cached = cost.removesuffix("-cost").removesuffix("-cached"), "-cached" in cost
        way = name.removeprefix(shape).lstrip("-")
        if shape_of(name) != shape or way not in WAYS:
            continue
        runs = [name] if cached else [name, f"{name}-compute", f"{name}-long"]
        trained = {one: _all_losses(figures, one) for one in runs}
        trained = {one: losses for one, losses in trained.items() if losses}
        if trained:
            steps = [next(iter(figures["students"][one]["seeds"].values()))["steps"] for one in trained]
            means = [statistics.mean(losses) for losses in trained.values()]
            label = (way or "distilled") + (f", {CACHED}" if cached else "")
            found[label] = way, [seconds * count for count in steps], means
    return found


def _all_losses(figures: Figures, name: str) -> list[float]:
    runs = figures["students"].get(name, {"seeds": {}})["seeds"].values()
    return [run[METRIC] for run in runs if METRIC in run]


def scores(figures: Figures) -> Figure | None:
    """A panel a task that several models were fine-tuned on: their scores with the standard deviations over seeds."""
    tasks = {task: about for task, about in figures["finetuned"].items() if len(about["models"]) > 1}
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
    if about["best_constant"] is not None:
        axes.axvline(about["best_constant"], color="0.5", linestyle=":", label="one label for all")
        axes.legend(frameon=False, fontsize=8)
    axes.set_yticks(range(len(models)), models)
    axes.invert_yaxis()
    axes.set_xlabel(about["metric"])
    axes.grid(color="0.92")

"""Figures of encoders on encodechka: their files, the table, the picture, and the rows that the board publishes."""

import csv
import logging
import math
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from distillation.runs.files import RESULTS, find_runs, markdown_table, write_json, write_text
from finetuning.encodechka.tasks import SAMPLE, SENTENCE_TASKS, TASKS, Data, Encoder, score

NAME, TABLE, PICTURE = "encodechka", "encodechka.md", "encodechka.png"
PUBLISHED = Path(__file__).with_name("published.csv")
FIGURES = ("mean_s", "mean_sw", *TASKS)

logger = logging.getLogger(__name__)


def measure(encoder: Encoder, data: Data) -> dict[str, Any]:
    """The figures of an encoder, as `all_results.json` has them. Raises UserError like `score`."""
    encoder.sentences(data[SAMPLE][:1])  # the first time is no figure
    start = time.perf_counter()
    for text in data[SAMPLE]:
        encoder.sentences([text])
    seconds = (time.perf_counter() - start) / len(data[SAMPLE])
    ways = {}
    for task in TASKS:
        ways[task] = score(task, data, encoder)
        logger.info("%s: %.3f", task, max(ways[task].values()))
    best = {task: max(of.values()) for task, of in ways.items()}
    means = {"mean_s": statistics.fmean(best[task] for task in SENTENCE_TASKS)}
    means["mean_sw"] = statistics.fmean(best.values())
    test = {f"test_{name}": value for name, value in (means | best).items()}
    size = {"parameters": encoder.parameters, "mib": encoder.mib, "ms": 1000 * seconds}
    return test | size | {"ways": ways}


def save(folder: Path, figures: Mapping[str, Any], model: str, weights: str | None, random_weights: bool) -> None:
    """Write what `benchmarks/scores.py` and the model card read. weights: the hash of the model's."""
    facts = {"task": NAME, "metric": "mean_s", "model": model, "weights": weights, "frozen": True, "seed": 0}
    facts |= {"per_cent": False, "pipeline_tag": "sentence-similarity", "split": "test"}
    write_json(folder / RESULTS, facts | {"recipe": {"random_weights": random_weights}, **figures})


def rows_of(folder: Path) -> list[dict[str, Any]]:
    """The published rows and those that `save` wrote into folders of this one, the best first."""
    with PUBLISHED.open(encoding="utf-8", newline="") as file:
        rows = [
            {"published": True, "name": row.pop("model")} | {key: float(value) for key, value in row.items()}
            for row in csv.DictReader(file)
        ]
    for place, run in find_runs([folder]).items():
        if run.get("task") == NAME:
            figures = {name: run[f"test_{name}"] for name in FIGURES}
            rows.append({"published": False, "name": place.name, "mib": run["mib"], "ms": run["ms"]} | figures)
    return sorted(rows, key=lambda row: -row["mean_s"])


def write(folder: Path) -> str:
    """Write the table and the picture of all rows; returns the table."""
    rows = rows_of(folder)
    cells = [
        [
            f"{row['name']} (published)" if row["published"] else f"**{row['name']}**",
            f"{row['mib']:.1f}",
            f"{row['ms']:.1f}",
            *(f"{row[name]:.3f}" for name in FIGURES[:2]),
            *(f"{row[name]:.2f}" for name in TASKS),
        ]
        for row in rows
    ]
    table = markdown_table(["model", "MiB", "ms", "S", "S+W", *map(str.upper, TASKS)], cells)
    write_text(folder / TABLE, f"{table}\n")
    draw(rows, folder / PICTURE)
    return table


def draw(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """S against size; hashing as lines. rows: the best first."""
    from matplotlib.figure import Figure

    picture = Figure(figsize=(8, 4.5), layout="constrained")
    axes = picture.subplots()
    models = [row for row in rows if not row["name"].startswith("hashing")]
    sizes, scores = ([row[name] for row in models] for name in ("mib", "mean_s"))
    middle, line = math.sqrt(min(sizes) * max(sizes)), 0.025 * (max(scores) - min(scores))
    lowest = {"left": math.inf, "right": math.inf}  # of the names so far, which must not cover each other
    for row in models:
        colour = "grey" if row["published"] else "tab:blue"
        side, away = ("right", -5) if row["mib"] > middle else ("left", 5)  # of a name that the dot is at
        lowest[side] = min(row["mean_s"], lowest[side] - line)
        axes.semilogx(row["mib"], row["mean_s"], "o", color=colour)
        style = {"fontsize": 7, "color": colour, "ha": side, "va": "center", "textcoords": "offset points"}
        axes.annotate(row["name"].split("/")[-1], (row["mib"], lowest[side]), (away, 0), **style)
    for row in rows:
        if row["name"].startswith("hashing") and row["published"]:  # it is the same here
            axes.axhline(row["mean_s"], color="grey", linestyle=":", linewidth=1)
            place = {"xycoords": ("axes fraction", "data"), "ha": "right", "va": "bottom"}
            axes.annotate(row["name"], (1, row["mean_s"]), fontsize=7, color="grey", **place)
    axes.set(xlabel="MiB of weights", ylabel="encodechka, mean S (grey: published)")
    axes.grid(alpha=0.3)
    picture.savefig(path, dpi=150)

"""The scores of all tasks beside those of answers without a model, as a table and as JSON."""

import collections
import random
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from distillation.runs.files import markdown_table, write_json, write_text
from finetuning.russian_superglue.tasks import LABELS, METRICS, NAMES, make_task

Rows = Sequence[Mapping[str, Any]]
ANSWERED_BY = ("model", "majority", "random")


def score(name: str, rows: Rows, predictions: Sequence[Any]) -> dict[str, float]:
    """The figures of METRICS of labelled rows of a task."""
    task = make_task(name)
    # Not `compute`, which would write every one of a hundred repetitions to a table first.
    figures = task.metric._compute(predictions=list(predictions), references=task.references(rows))
    return {metric: figures[metric] for metric in METRICS[name]}


def majority(name: str, train: Rows, rows: Rows) -> list[str]:
    """For each row the commonest label of the training rows, at a tie the first; of RuCoS the row's first entity."""
    if name == "rucos":
        return [row["choices"][0] for row in rows]
    counts = collections.Counter(str(row["label"]) for row in train)
    return [max(LABELS[name], key=lambda label: counts[label])] * len(rows)


def random_score(name: str, rows: Rows, repetitions: int = 100) -> dict[str, float]:
    """The mean figures of that many draws of even chances, on labelled rows."""
    draw = random.Random(0)
    choices = [LABELS[name] or row["choices"] for row in rows]
    drawn = [score(name, rows, [draw.choices(some)[0] for some in choices]) for _ in range(repetitions)]
    return {metric: statistics.fmean(figures[metric] for figures in drawn) for metric in METRICS[name]}


def save(results: Mapping[str, Mapping[str, Any]], data_dir: str, folder: Path) -> str:
    """Write the figures of each task and over all of them: `russian_superglue.json`, and as `russian_superglue.md` a
    table in per cent; the table. results: of `run` for each task.
    """
    tasks, lines = {}, []
    for name, found in results.items():
        rows, metrics = make_task(name).read(data_dir), METRICS[name]
        figures = {
            "model": {metric: found[f"test_{metric}"] for metric in metrics},
            "majority": score(name, rows["test"], majority(name, rows["train"], rows["test"])),
            "random": random_score(name, rows["test"]),
        }
        deviations = {metric: found.get(f"test_{metric}_std") for metric in metrics}
        truncated = found["truncated"]["test"] / found["examples"]["test"]
        tasks[name] = figures | {"model_std": deviations, "truncated": truncated}
        cells = {who: [f"{100 * of[metric]:.1f}" for metric in metrics] for who, of in figures.items()}
        spread = ["" if one is None else f" ± {100 * one:.1f}" for one in deviations.values()]
        cells["model"] = [cell + more for cell, more in zip(cells["model"], spread, strict=True)]
        lines.append([NAMES[name], *map(" / ".join, (metrics, *cells.values())), f"{100 * truncated:.1f}"])
    # A task with two figures counts once.
    means = {who: statistics.fmean(statistics.fmean(of[who].values()) for of in tasks.values()) for who in ANSWERED_BY}
    lines.append([f"mean of {len(tasks)}", "", *(f"{100 * means[who]:.1f}" for who in ANSWERED_BY), ""])
    table = markdown_table(["task", "metrics", *ANSWERED_BY, "truncated"], lines)
    first = next(iter(results.values()))
    facts = {"model": first["model"], "seeds": first.get("seeds") or [first["seed"]]}
    write_json(folder / "russian_superglue.json", facts | {"tasks": tasks, "overall": means})
    write_text(folder / "russian_superglue.md", f"{table}\n")
    return table

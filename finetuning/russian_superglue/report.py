"""The scores of all tasks beside those of answers without a model, as a table and as JSON."""

import collections
import random
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from distillation.runs.files import markdown_table, write_json, write_text
from finetuning.russian_superglue.metrics import METRICS, overall, score
from finetuning.russian_superglue.readers import read
from finetuning.russian_superglue.tasks import LABELS, NAMES

Rows = Sequence[Mapping[str, Any]]
ANSWERED_BY = ("model", "majority", "random")


def majority(task: str, train: Rows, rows: Rows) -> list[Any]:
    """For each row the commonest label of the training rows, of two that are as common the first; of RuCoS its first
    entity."""
    if task == "rucos":
        return [row["choices"][0] for row in rows]
    counts = collections.Counter(row["label"] for row in train)
    return [max(_labels(task), key=lambda label: counts[label])] * len(rows)


def random_score(task: str, rows: Rows, repetitions: int = 100, seed: int = 0) -> dict[str, float]:
    """The mean figures of that many draws of even chances, on labelled rows."""
    draw = random.Random(seed)
    choices = [row["choices"] if task == "rucos" else _labels(task) for row in rows]
    drawn = [score(task, rows, [draw.choices(some)[0] for some in choices]) for _ in range(repetitions)]
    return {name: statistics.fmean(figures[name] for figures in drawn) for name in METRICS[task]}


def _labels(task: str) -> list[Any]:
    """The labels as rows have them."""
    return [0, 1] if task == "parus" else list(LABELS[task])


def compare(results: Mapping[str, Mapping[str, Any]], data_dir: str) -> dict[str, Any]:
    """The figures of each task and over all of them; results: of `run` for each task."""
    tasks = {}
    for name, found in results.items():
        rows = read(name, data_dir)
        tasks[name] = {
            "model": {metric: found[f"test_{metric}"] for metric in METRICS[name]},
            "model_std": {metric: found.get(f"test_{metric}_std") for metric in METRICS[name]},
            "majority": score(name, rows["test"], majority(name, rows["train"], rows["test"])),
            "random": random_score(name, rows["test"]),
            "truncated": found["truncated"]["test"] / found["examples"]["test"],
        }
    first = next(iter(results.values()))
    return {
        "model": first["model"],
        "seeds": first.get("seeds") or [first["seed"]],
        "tasks": tasks,
        "overall": {who: overall({name: task[who] for name, task in tasks.items()}) for who in ANSWERED_BY},
    }


def table(report: Mapping[str, Any]) -> str:
    """Markdown, a row a task; in per cent."""
    rows = []
    for name, task in report["tasks"].items():
        figures = [_figures(task[who], task["model_std"] if who == "model" else {}) for who in ANSWERED_BY]
        rows.append([NAMES[name], " / ".join(METRICS[name]), *figures, f"{100 * task['truncated']:.1f}"])
    means = [f"{100 * report['overall'][who]:.1f}" for who in ANSWERED_BY]
    rows.append([f"mean of {len(rows)}", "", *means, ""])
    return markdown_table(["task", "metrics", *ANSWERED_BY, "truncated"], rows)


def save(report: Mapping[str, Any], folder: Path) -> None:
    """Write `russian_superglue.json` and `russian_superglue.md`."""
    write_json(folder / "russian_superglue.json", report)
    write_text(folder / "russian_superglue.md", table(report) + "\n")


def _figures(values: Mapping[str, float], deviations: Mapping[str, float | None]) -> str:
    spread = {name: f" ± {100 * one:.1f}" for name, one in deviations.items() if one is not None}
    return " / ".join(f"{100 * figure:.1f}{spread.get(name, '')}" for name, figure in values.items())

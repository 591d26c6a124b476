"""What fine-tuning runs leave: predictions, a mean over seeds, a table."""

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from distillation.hub.card import PARTS, figure, metric_names
from distillation.runs.files import write_text
from finetuning.tasks.base import Task


def save_predictions(folder: Path, part: str, predictions: Sequence[Mapping[str, Any]]) -> None:
    """As a JSON line a row, with its id, the score, and what else the task tells."""
    lines = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in predictions)
    write_text(folder / f"{part}_predictions.jsonl", lines)


def over_seeds(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One result of several runs that differ in their seed: of each measured figure the mean, and as `*_std` the
    standard deviation of a sample; the runs themselves under `runs`."""
    merged: dict[str, Any] = {}
    for name, value in runs[0].items():
        values = [run[name] for run in runs]
        measured = name.startswith(PARTS) or name in ("steps", "epochs", "train_seconds")
        if measured and isinstance(value, int | float):
            merged[name] = statistics.fmean(values)
            if name.startswith(PARTS):
                merged[f"{name}_std"] = statistics.stdev(values) if len(values) > 1 else 0.0
        elif all(other == value for other in values):
            merged[name] = value
    merged["recipe"] = {key: value for key, value in runs[0]["recipe"].items() if key != "seed"}
    return merged | {"seeds": [run["seed"] for run in runs], "runs": list(runs)}


def table(task: Task, results: Mapping[str, Any]) -> str:
    """The metrics as a table, a row a metric."""
    rows = [f"{task.name:<16}" + "".join(f"{part:>20}" for part in PARTS)]
    for name in metric_names(results):
        rows.append(f"{name:<16}" + "".join(f"{figure(results, f'{part}_{name}'):>20}" for part in PARTS))
    return "\n".join(rows)

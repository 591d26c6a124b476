"""The scores of all tasks beside those of answers without a model, as a table and as JSON."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from distillation.runs.files import write_json, write_text
from finetuning.russian_superglue.baseline import majority_score, random_score
from finetuning.russian_superglue.benchmark import read
from finetuning.russian_superglue.metrics import METRICS, overall
from finetuning.russian_superglue.tasks import NAMES


def compare(results: Mapping[str, Mapping[str, Any]], data_dir: str) -> dict[str, Any]:
    """The figures of each task and over all of them: of the model, the commonest label, and chance.

    results: of `run` for each task.
    """
    tasks = {}
    for name, found in results.items():
        rows = read(name, data_dir)
        tasks[name] = {
            "model": {metric: found[f"test_{metric}"] for metric in METRICS[name]},
            "model_std": {metric: found.get(f"test_{metric}_std") for metric in METRICS[name]},
            "majority": majority_score(name, rows["train"], rows["test"]),
            "random": random_score(name, rows["test"]),
            "truncated": found["truncated"]["test"] / found["examples"]["test"],
        }
    mean = {who: overall({name: task[who] for name, task in tasks.items()}) for who in ("model", "majority", "random")}
    first = next(iter(results.values()))
    return {
        "model": first["model"],
        "seeds": first.get("seeds") or [first["seed"]],
        "tasks": tasks,
        "overall": mean,
    }


def table(report: Mapping[str, Any]) -> str:
    """Markdown, a row a task; in per cent."""
    lines = ["| task | metrics | model | majority | random | truncated |", "|---|---|---|---|---|---|"]
    for name, task in report["tasks"].items():
        cells = [_figures(task[who]) for who in ("majority", "random")]
        model = _figures(task["model"], task["model_std"])
        metrics = " / ".join(METRICS[name])
        lines.append(f"| {NAMES[name]} | {metrics} | {model} | {' | '.join(cells)} | {100 * task['truncated']:.1f} |")
    means = " | ".join(f"{100 * report['overall'][who]:.1f}" for who in ("model", "majority", "random"))
    return "\n".join([*lines, f"| mean of {len(report['tasks'])} | | {means} | |"])


def save(report: Mapping[str, Any], folder: Path) -> None:
    """Write `russian_superglue.json` and `russian_superglue.md`."""
    write_json(folder / "russian_superglue.json", report)
    write_text(folder / "russian_superglue.md", table(report) + "\n")


def _figures(values: Mapping[str, float], spread: Mapping[str, float | None] | None = None) -> str:
    texts = []
    for name, value in values.items():
        std = (spread or {}).get(name)
        texts.append(f"{100 * value:.1f}" + (f" ± {100 * std:.1f}" if std is not None else ""))
    return " / ".join(texts)

"""Fine-tuned models side by side: a row a model, a column a task with the metric that the benchmark goes by.

python benchmarks/scores.py outputs/demo/finetuned
"""

import argparse
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def find_results(folders: Iterable[Path]) -> list[dict[str, Any]]:
    """The results of every fine-tuning run in the folders; of one with several seeds their mean alone."""
    found: list[dict[str, Any]] = []
    for folder in folders:
        for path in sorted(folder.rglob("all_results.json")):
            results = json.loads(path.read_text(encoding="utf-8"))
            one_of_several = (path.parents[1] / path.name).exists()
            if "task" in results and not one_of_several:
                found.append(results)
    return found


def label(results: Mapping[str, Any]) -> str:
    """How a model is called in the table: by the checkpoint it started from, and what was special."""
    name = Path(results["model"]).name
    if results["recipe"]["random_weights"]:
        name += ", random weights"
    if "task_teacher" in results:
        name += ", taught by a task teacher"
    return name


def table(runs: Sequence[Mapping[str, Any]]) -> str:
    """Markdown: the score on the test part, with its standard deviation over seeds where there are several."""
    columns = list(dict.fromkeys((run["task"], run["metric"]) for run in runs))
    rows: dict[str, dict] = {}
    for run in runs:
        cells = rows.setdefault(f"{label(run)} | {run['parameters']:,}", {})
        cells[run["task"], run["metric"]] = figure(run)
    head = "| model | parameters | " + " | ".join(f"{task}, {metric}" for task, metric in columns) + " |"
    lines = [head, "|---" * (len(columns) + 2) + "|"]
    return "\n".join(
        lines + [f"| {name} | " + " | ".join(cells.get(c, "") for c in columns) + " |" for name, cells in rows.items()]
    )


def figure(run: Mapping[str, Any]) -> str:
    """The score in per cent."""
    name = f"test_{run['metric']}"
    scale = 1 if run["task"] == "sberquad" else 100  # SQuAD's script counts in per cent
    text = f"{run[name] * scale:.1f}"
    return f"{text} ± {run[f'{name}_std'] * scale:.1f}" if f"{name}_std" in run else text


def main(argv: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, help="Folders with fine-tuned models, at any depth.")
    runs = find_results(parser.parse_args(argv).folders)
    if not runs:
        sys.exit("error: no results of a fine-tuning run (all_results.json) in these folders")
    print(table(runs))


if __name__ == "__main__":
    main()

"""Fine-tuned models side by side: a row a model, a column a task with the metric that the benchmark goes by.

python benchmarks/scores.py outputs/demo/finetuned
"""

import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root

from benchmarks.reporting.files import check_run
from distillation.config.command_line import CommandLine
from distillation.config.errors import UserError, cli_entry
from distillation.runs.files import RESULTS, markdown_table
from distillation.runs.result_files import find, of_fine_tuning, read


def find_results(folders: Iterable[Path]) -> dict[Path, dict[str, Any]]:
    """The results of every fine-tuning run in the folders; of one with several seeds their mean alone."""
    found = {}
    for path, named in find(folders).items():
        content = read(path, named) if path.name == RESULTS else None
        if isinstance(content, dict):
            check_run(path, content)
            found[path.parent] = content
    return of_fine_tuning(found)


def names(runs: Mapping[Path, Mapping[str, Any]]) -> dict[Path, str]:
    """How each run's model is called: by its checkpoint, short if no other is called so, and by what was special."""
    paths = {Path(run["model"]) for run in runs.values()}
    last = Counter(path.name for path in paths)
    called = {}
    for folder, run in runs.items():
        path = Path(run["model"])
        called[folder] = path.name if last[path.name] == 1 else str(path)
        if run["recipe"].get("random_weights"):
            called[folder] += ", random weights"
        if "task_teacher" in run:
            called[folder] += ", with a task teacher"
    return called


def table(runs: Mapping[Path, Mapping[str, Any]]) -> str:
    """Markdown: the score on the test part, with its standard deviation over seeds where there are several.

    Raises UserError for two runs of one model on one task.
    """
    columns = list(dict.fromkeys((run["task"], run["metric"]) for run in runs.values()))
    rows: dict[str, dict[tuple[str, str], Path]] = {}
    for folder, name in names(runs).items():
        column = runs[folder]["task"], runs[folder]["metric"]
        other = rows.setdefault(name, {}).setdefault(column, folder)
        if other != folder:
            raise UserError(f"{name} on {column[0]}: both {other} and {folder} have results; name one of them")
    lines = []
    for name, cells in rows.items():
        # With the head of the first task: those of others differ by a few numbers a class.
        parameters = f"{runs[next(iter(cells.values()))]['parameters'] / 1e6:.1f} M"
        figures = [figure(runs[cells[column]]) if column in cells else "" for column in columns]
        lines.append([name, parameters, *figures])
    return markdown_table(["model", "parameters", *(f"{task}, {metric}" for task, metric in columns)], lines)


def figure(run: Mapping[str, Any]) -> str:
    """The score in per cent, with its standard deviation if there is one."""
    text = f"{per_cent(run):.1f}"
    return f"{text} ± {per_cent(run, '_std'):.1f}" if f"test_{run['metric']}_std" in run else text


def per_cent(run: Mapping[str, Any], ending: str = "") -> float:
    """The score on the test part; what else is known of it by the ending of its name."""
    scale = 1 if run.get("per_cent") else 100
    return run[f"test_{run['metric']}{ending}"] * scale


@cli_entry
def main(argv: list[str] | None = None) -> None:
    """Print the table."""
    parser = CommandLine(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, help="Folders with fine-tuned models, at any depth.")
    folders = parser.parse_args(argv).folders
    runs = find_results(folders)
    if not runs:
        raise UserError(f"no results of a fine-tuning run (all_results.json) in {', '.join(map(str, folders))}")
    print(table(runs))


if __name__ == "__main__":
    main()

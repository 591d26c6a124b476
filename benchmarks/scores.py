"""A table of fine-tuned models: a row for each model, a column for each task with the benchmark's primary metric.

python benchmarks/scores.py outputs/demo/finetuned
"""

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root

from distillation.config.command_line import REQUIRED, key
from distillation.config.errors import UserError, cli_entry
from distillation.config.recipe import parse_recipe
from distillation.runs.files import (
    RESULTS,
    begun_as,
    explain_bad_results,
    find_runs,
    how_trained,
    in_per_cent,
    markdown_table,
)


@dataclass
class ScoresArguments:
    """What to show."""

    runs: list[Path] = key(REQUIRED, "Folders with fine-tuned models, at any depth.", positional=True)


class Score(NamedTuple):
    """A model's score on the test part of a task, in per cent. deviation: over seeds; None for one seed."""

    model: str
    task: str  # and its metric
    value: float
    deviation: float | None
    parameters: int
    source: str  # the checkpoint that was fine-tuned

    def __str__(self) -> str:
        return f"{self.value:.1f}" + ("" if self.deviation is None else f" ± {self.deviation:.1f}")


@cli_entry
def main(argv: list[str] | None = None) -> None:
    """Print the table."""
    (arguments,) = parse_recipe(ScoresArguments, argv=argv)
    found = scores(find_runs(arguments.runs))
    if not found:
        places = ", ".join(map(str, arguments.runs))
        raise UserError(f"no {RESULTS} of a fine-tuning run in {places}: name folders of fine-tuned models")
    print(table(found))


def scores(runs: Mapping[Path, Mapping[str, Any]]) -> list[Score]:
    """The scores of the fine-tuning runs among these. A model is named after its checkpoint (by the whole path if two
    have the same name), with "random weights" or "with a task teacher" added.

    Raises UserError for two runs of one model on one task, and for results that lack something.
    """
    tuned = {folder: run for folder, run in runs.items() if "task" in run}
    last_names = Counter(Path(source).name for source in {str(run.get("model")) for run in tuned.values()})
    found: dict[tuple[str, str], tuple[Path, Score]] = {}
    for folder, run in tuned.items():
        with explain_bad_results(folder / RESULTS):
            source, metric = begun_as(run, tuned)["model"], run["metric"]
            name = (Path(source).name if last_names[Path(source).name] == 1 else source) + how_trained(run)
            value, spread = in_per_cent(run, f"test_{metric}"), f"test_{metric}_std"
            deviation = None if run.get(spread) is None else in_per_cent(run, spread)
            score = Score(name, f"{run['task']}, {metric}", value, deviation, int(run["parameters"]), source)
        other, _ = found.setdefault((score.model, score.task), (folder, score))
        if other != folder:
            raise UserError(f"{name} on {run['task']}: both {other} and {folder} have results; name one of them")
    return [score for _, score in found.values()]


def table(found: Sequence[Score]) -> str:
    """Markdown: the scores on the test part, with their standard deviation over seeds where there are several."""
    tasks = list(dict.fromkeys(score.task for score in found))
    rows: dict[str, dict[str, Score]] = {}
    for score in found:
        rows.setdefault(score.model, {})[score.task] = score
    # Parameters with the head of the first task. Other heads differ by a few parameters for each class.
    lines = [
        [model, f"{next(iter(of.values())).parameters / 1e6:.1f} M", *(of.get(task, "") for task in tasks)]
        for model, of in rows.items()
    ]
    return markdown_table(["model", "parameters", *tasks], lines)


if __name__ == "__main__":
    main()

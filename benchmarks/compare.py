"""Is one model better than another, or is it chance? Differences on every task that both were fine-tuned on.

python benchmarks/compare.py --models outputs/small outputs/tiny --baseline outputs/small-mlm
python benchmarks/compare.py --models outputs/small --baseline outputs/small-mlm --held_out evaluation.json

A model is a folder: all runs of finetuning/ below it are its own. Runs with several seeds are compared by their mean;
of several learning rates the one that is best on the validation part counts.
"""

import json
import statistics
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root

from distillation.config.command_line import REQUIRED, key
from distillation.config.errors import UserError, cli_entry
from distillation.config.recipe import parse_recipe
from distillation.runs.files import RESULTS, as_written, markdown_table, mean_text, read_json

PREDICTIONS = "test_predictions.jsonl"
ALIKE = 1  # points: models are called alike if all of the interval is within this, either way
Figures = Mapping[str, Mapping[str, float]]  # by a model's folder, what run_evaluation.py measured
NOTE = (
    "Paired bootstrap over test examples and seeds. Each pair stands for itself: of twenty pairs of equal models, one "
    "will look different. Seeds count as independent, also those that start from the same checkpoint."
)


@dataclass
class CompareArguments:
    """Which models, and with which one they are compared."""

    models: list[Path] = key(REQUIRED, "Folders, each with the runs of one model.")
    baseline: Path = key(REQUIRED, "The folder that they are compared with.")
    held_out: Path | None = key(None, "JSON of run_evaluation.py --output, to compare held-out losses as well.")


@dataclass(frozen=True)
class Run:
    """A fine-tuning with one seed."""

    folder: Path
    task: str
    metric: str
    rate: float
    seed: int
    validation: float  # the benchmark's metric on the validation part

    def predictions(self) -> list[dict[str, Any]]:
        """Of the test part, with the right answers. Raises UserError for a file that is not as it was written."""
        path = self.folder / PREDICTIONS
        with as_written(path):
            return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


@cli_entry
def main(argv: list[str] | None = None) -> None:
    """Print a table of the tasks, and one of held-out text if asked.

    Raises UserError where there is nothing to compare.
    """
    (arguments,) = parse_recipe(CompareArguments, argv=argv)
    models, baseline = arguments.models, arguments.baseline
    figures = read_json(arguments.held_out) if arguments.held_out else {}
    tables = [table for table in (held_out_table(models, baseline, figures), task_table(models, baseline)) if table]
    if not tables:
        raise UserError(
            f"{baseline} and {', '.join(map(str, models))} share no task and no held-out text: name folders that do"
        )
    print("\n\n".join(tables))


def task_table(models: list[Path], baseline: Path) -> str:
    """A row a model and a task that it shares with the baseline; empty without any."""
    reference, rows = runs_of(baseline), []
    for model in models:
        for task, runs in runs_of(model).items():
            if task in reference:
                rows.append(row(f"{model.name} - {baseline.name}", runs, reference[task]))
    head = ["", "task", "metric", "scores", "points", "95 % interval", "seeds", ""]
    return f"{markdown_table(head, rows)}\n\n{NOTE}" if rows else ""


def runs_of(model: Path) -> dict[str, list[Run]]:
    """The runs below a folder by their task, those of the learning rate that validates best.

    Raises UserError for two runs that differ in nothing.
    """
    found: dict[str, dict[float, dict[int, Run]]] = {}
    for run in _runs(model):
        seeds = found.setdefault(run.task, {}).setdefault(run.rate, {})
        if run.seed in seeds:
            raise UserError(
                f"{seeds[run.seed].folder} and {run.folder} are both runs of {run.task} with seed {run.seed}: "
                "name the folder of one model"
            )
        seeds[run.seed] = run
    return {task: list(max(rates.values(), key=_validation).values()) for task, rates in found.items()}


def _runs(model: Path) -> Iterator[Run]:
    for path in sorted(model.rglob(PREDICTIONS)):
        results = read_json(path.parent / RESULTS)
        with as_written(path.parent / RESULTS):
            metric = results["metric"]
            rate, validation = results["recipe"]["learning_rate"], results[f"validation_{metric}"]
            run = Run(path.parent, results["task"], metric, rate, results["seed"], validation)
        yield run


def _validation(seeds: Mapping[int, Run]) -> float:
    return statistics.mean(run.validation for run in seeds.values())


def row(name: str, first: list[Run], second: list[Run]) -> list[Any]:
    """A line of the table. Raises UserError for predictions of different test parts."""
    from benchmarks.reporting.significance import METRICS, difference, scorer, statistics_of

    metric = first[0].metric
    begin = [name, first[0].task, metric]
    if metric not in METRICS:
        return [*begin, "", "", "", "", "not compared: no bootstrap of this metric"]
    answers = [[run.predictions() for run in runs] for runs in (first, second)]
    references = [[one["reference"] for one in of_run] for of_model in answers for of_run in of_model]
    if any(other != references[0] for other in references):
        raise UserError(f"{first[0].folder} and {second[0].folder} were scored on different test parts")
    sums = [[statistics_of(metric, of_run) for of_run in of_model] for of_model in answers]
    found = {name: 100 * value for name, value in difference(*sums, scorer(metric, answers[0][0])).items()}
    seeds = [len(first), len(second)]
    return [
        *begin,
        f"{found['first']:.1f}, {found['second']:.1f}",
        f"{found['difference']:+.1f}",
        f"{found['low']:+.1f} to {found['high']:+.1f}",
        f"{seeds[0]} and {seeds[1]}",
        verdict(found["low"], found["high"]) if min(seeds) > 1 else "one seed tells nothing",
    ]


def verdict(low: float, high: float) -> str:
    """What an interval, in points, says."""
    if max(-low, high) <= ALIKE:
        return "alike"
    return "within chance" if low <= 0 <= high else "different"


def held_out_table(models: list[Path], baseline: Path, figures: Figures) -> str:
    """Models less the baseline on held-out text, seed by seed: the mean difference and its standard deviation."""
    rows = []
    for model in models:
        pairs = list(zip(_below(model, figures), _below(baseline, figures), strict=False))
        if pairs:
            loss = [one["loss_per_character"] - other["loss_per_character"] for one, other in pairs]
            words = [100 * (one["masked_word_accuracy"] - other["masked_word_accuracy"]) for one, other in pairs]
            name = f"{model.name} - {baseline.name}"
            rows.append([name, mean_text(loss, 3), mean_text(words, 1), len(pairs)])
    return (
        markdown_table(["held-out text", "loss per character", "word accuracy, points", "seeds"], rows) if rows else ""
    )


def _below(model: Path, figures: Figures) -> list[Mapping[str, float]]:
    return [figures[name] for name in sorted(figures) if model in (Path(name), *Path(name).parents)]


if __name__ == "__main__":
    main()

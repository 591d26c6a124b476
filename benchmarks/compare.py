"""Is one model better than another, or is the difference chance? Compares them on every task that both share.

python benchmarks/compare.py --models outputs/small outputs/tiny --baseline outputs/small-mlm
python benchmarks/compare.py --models outputs/small --baseline outputs/small-mlm --held_out evaluation.json

A model is a folder with all of its runs of finetuning/. The metric is the one that `metric_for_best_model` named, or
the benchmark's own. Runs with several seeds are compared by their mean. Of several learning rates, the one that is
best on the validation part is taken.
"""

import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root

from distillation.config.command_line import REQUIRED, key
from distillation.config.errors import UserError, cli_entry
from distillation.config.recipe import parse_recipe
from distillation.runs.files import RESULTS, explain_bad_results, markdown_table, mean_text, read_json

PREDICTIONS = "test_predictions.jsonl"
ALIKE = 1  # points: two models are called alike if the whole interval lies within -1 and 1
NOTE = (
    "Paired bootstrap over test examples and seeds. No correction is made for several comparisons: of twenty pairs of "
    "equal models, one will look different. Seeds count as independent, also those that start from the same "
    "checkpoint. Intervals of few seeds are too narrow. If the seed alone moves a score by 6 points, 72 % of the "
    "intervals of two seeds hold the true difference, and not 95 %; if the seed moves nothing, 99 % do."
)


@dataclass
class CompareArguments:
    """Which models, and with which one they are compared."""

    models: list[Path] = key(REQUIRED, "Folders, each with the runs of one model.")
    baseline: Path = key(REQUIRED, "The folder that they are compared with.")
    held_out: Path | None = key(None, "JSON of run_evaluation.py --output, to compare held-out losses as well.")


class Run(NamedTuple):
    """A fine-tuning with one seed. validation: its metric on the validation part."""

    folder: Path
    seed: int
    validation: float


@cli_entry
def main(argv: list[str] | None = None) -> None:
    """Print a table of held-out text if asked, and one of the tasks.

    Raises UserError where there is nothing to compare.
    """
    (arguments,) = parse_recipe(CompareArguments, argv=argv)
    baseline = arguments.baseline
    models = [model for model in arguments.models if model != baseline]  # a pattern may name both
    if not models:
        raise UserError("`models` has the baseline alone: name another model")
    figures = read_json(arguments.held_out) if arguments.held_out else {}
    evaluated = {place for name in figures for place in (Path(name), *Path(name).parents)}
    if absent := [model for model in (*models, baseline) if not model.is_dir() and model not in evaluated]:
        key = "baseline" if absent[0] == baseline else "models"
        raise UserError(f"`{key}` {str(absent[0])!r} is no folder: name folders with the runs of a model")
    tables = filter(None, (held_out_table(models, baseline, figures), task_table(models, baseline)))
    if not (text := "\n\n".join(tables)):
        raise UserError(
            f"{baseline} and {', '.join(map(str, models))} share no task: name folders of fine-tuned models. Masked "
            "LMs are compared by `--held_out FILE`, which `run_evaluation.py --output FILE` has written of all of them"
        )
    print(text)


def task_table(models: Sequence[Path], baseline: Path) -> str:
    """A row for each model and each task that it shares with the baseline; empty if there is none."""
    reference, rows, alone = runs_of(baseline), [], []
    for model in models:
        own, before = runs_of(model), len(rows)
        for (task, metric), runs in own.items():
            row = [f"{model.name} - {baseline.name}", task, metric]
            others = [of for one, of in reference if one == task]
            if metric in others:
                rows.append([*row, *cells(metric, runs, reference[task, metric])])
            elif others and not any((task, of) in own for of in others):
                rows.append([*row, "", "", "", "", f"not compared: {baseline.name} went by {', '.join(others)}"])
        if len(rows) == before:
            alone.append([f"{model.name} - {baseline.name}", *[""] * 6, "not compared: they share no task"])
    head = ["", "task", "metric", "scores", "points", "95 % interval", "seeds", ""]
    return f"{markdown_table(head, rows + alone)}\n\n{NOTE}" if rows else ""


def runs_of(model: Path) -> dict[tuple[str, str], list[Run]]:
    """The runs below a folder, by task and metric: only those of the learning rate with the best validation score.

    Raises UserError for two runs with the same task, metric, learning rate, and seed.
    """
    found: dict[tuple[str, str], dict[float, dict[int, Run]]] = {}
    for path in sorted(file.parent for file in model.rglob(PREDICTIONS)):
        results = read_json(path / RESULTS)
        with explain_bad_results(path / RESULTS):
            task, metric, rate = results["task"], metric_of(results), results["recipe"]["learning_rate"]
            run = Run(path, results["seed"], results[f"validation_{metric}"])
            first = found.setdefault((task, metric), {}).setdefault(rate, {}).setdefault(run.seed, run)
        if first is not run:
            raise UserError(
                f"{first.folder} and {path} are both runs of {task} with seed {run.seed}: name the folder of one model"
            )

    def validation(seeds: Mapping[int, Run]) -> float:
        return statistics.mean(run.validation for run in seeds.values())

    return {what: list(max(rates.values(), key=validation).values()) for what, rates in found.items()}


def metric_of(results: Mapping[str, Any]) -> str:
    """The metric that a fine-tuning is compared by: `metric_for_best_model` of its recipe, or the benchmark's own if
    that is the loss, or not named."""
    chosen = results["recipe"].get("metric_for_best_model")
    return results["metric"] if chosen in (None, "loss") else chosen


def cells(metric: str, first: Sequence[Run], second: Sequence[Run]) -> list[str]:
    """The cells of a task, after its metric. Raises UserError for predictions of different test parts."""
    from finetuning.significance import difference, statistics_of

    answers = [[answers_of(run) for run in runs] for runs in (first, second)]
    references = [[one["reference"] for one in of_run] for of_run in (*answers[0], *answers[1])]
    if any(other != references[0] for other in references):
        raise UserError(
            f"{first[0].folder} and {second[0].folder} were scored on different test parts: score both on one"
        )
    with explain_bad_results(first[0].folder / PREDICTIONS):
        statistics = [[statistics_of(of_run)[0] for of_run in of_model] for of_model in answers]
        _, scores = statistics_of(answers[0][0])
        if metric not in scores(statistics[0][0].sum(0)):
            return ["", "", "", "", "not compared: no bootstrap of this metric"]
    found = difference(*statistics, lambda sums: scores(sums)[metric])
    found = {name: 100 * value for name, value in found.items()}
    return [
        f"{found['first']:.1f}, {found['second']:.1f}",
        f"{found['difference']:+.1f}",
        f"{found['low']:+.1f} to {found['high']:+.1f}",
        f"{len(first)} and {len(second)}",
        verdict(found["low"], found["high"]) if min(len(first), len(second)) > 1 else "no verdict: one seed",
    ]


def answers_of(run: Run) -> list[dict[str, Any]]:
    """The lines of the predictions of a run. Raises UserError for lines that lack a prediction or its reference."""
    path = run.folder / PREDICTIONS
    with explain_bad_results(path), path.open(encoding="utf-8") as file:  # splitlines() would cut at U+2028
        found = [json.loads(line) for line in file]
        for one in found:
            one["prediction"], one["reference"]  # or a KeyError
    return found


def verdict(low: float, high: float) -> str:
    """The verdict on an interval in points."""
    if max(-low, high) <= ALIKE:
        return "alike"
    return "within chance" if low <= 0 <= high else "different"


def held_out_table(models: Sequence[Path], baseline: Path, figures: Mapping[str, Mapping[str, float]]) -> str:
    """Models minus the baseline on held-out text, seed by seed: the mean difference and its standard deviation.

    figures: by a model's folder, from run_evaluation.py. Empty without a pair.
    """

    def seeds_of(model: Path) -> dict[Path, Mapping[str, float]]:
        inside = [name for name in sorted(figures) if Path(name).is_relative_to(model)]
        return {Path(name).relative_to(model): figures[name] for name in inside}

    def one_of(seeds: Mapping[Path, Mapping[str, float]], seed: Path) -> Mapping[str, float] | None:
        return seeds.get(seed) or seeds.get(Path("."))  # a teacher is one model beside several seeds

    rows, others = [], seeds_of(baseline)
    for model in models:
        own = seeds_of(model)
        both = [(one_of(own, seed), one_of(others, seed)) for seed in sorted({*own, *others})]
        if pairs := [pair for pair in both if all(pair)]:
            loss = [one["loss_per_character"] - other["loss_per_character"] for one, other in pairs]
            words = [100 * (one["masked_word_accuracy"] - other["masked_word_accuracy"]) for one, other in pairs]
            rows.append([f"{model.name} - {baseline.name}", mean_text(loss, 3), mean_text(words, 1), len(pairs)])
    head = ["held-out text", "loss per character", "word accuracy, points", "seeds"]
    return markdown_table(head, rows) if rows else ""


if __name__ == "__main__":
    main()

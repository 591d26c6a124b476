"""Fine-tuning of one model on one task: the learning rate that validates best, then all seeds."""

import json
from collections.abc import Iterable
from typing import Any

from benchmarks.studying.plan import Study
from benchmarks.studying.runs import Run
from benchmarks.studying.significance import Predictions


def tune(study: Study, model: str, task: str, threads: int) -> None:
    """Make the runs that are not there: with the first seed at each rate, with the other seeds at the best."""
    first, *others = study.tuning_seeds(task)
    runs = at_rates(study, model, task)
    for run in runs.values():
        run.make(threads)
    for seed in others:
        study.tuning_run(model, task, best(runs), seed).make(threads)


def at_rates(study: Study, model: str, task: str) -> dict[float, Run]:
    """The runs with the first seed, by their learning rate."""
    first = study.tuning_seeds(task)[0]
    return {rate: study.tuning_run(model, task, rate, first) for rate in study.rates(model)}


def best(runs: dict[float, Run]) -> float:
    """The rate that scored best on the validation part, which is not the one that is reported."""
    return max(runs, key=lambda rate: validation(runs[rate].results()))


def validation(results: dict[str, Any]) -> float:
    """The benchmark's own metric on the validation part."""
    return results[f"validation_{results['metric']}"]


def chosen_runs(study: Study, model: str, task: str) -> list[Run]:
    """Those with the best rate, one a seed; none before all are finished. Raises UserError for another's folder."""
    runs = at_rates(study, model, task)
    if not _finished(runs.values()):
        return []
    rate = best(runs)
    chosen = [study.tuning_run(model, task, rate, seed) for seed in study.tuning_seeds(task)]
    return chosen if _finished(chosen) else []


def _finished(runs: Iterable[Run]) -> bool:
    for run in (runs := list(runs)):
        run.check()
    return all(run.finished for run in runs)


def predictions(run: Run) -> Predictions:
    """Of the test part, with the right answers."""
    lines = (run.folder / "test_predictions.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]

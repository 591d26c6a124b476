"""What a study has found so far, as one JSON: every figure with its seeds, steps, sizes, and hardware."""

import functools
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig

from benchmarks.studying.corpus import lines
from benchmarks.studying.plan import Study
from benchmarks.studying.runs import Run
from benchmarks.studying.significance import Predictions, difference, labels_of, scorer, statistics_of
from benchmarks.studying.tuning import at_rates, chosen_runs, predictions, validation
from benchmarks.timing.measure import hardware
from distillation.runs.files import METRICS, without_folders, write_json

Figures = dict[str, Any]

MACHINES = "machines.json"


def collect(study: Study) -> Figures:
    """Everything that is finished; what is not, is not there."""
    teacher = study.teacher_run()
    if not teacher.finished:
        return {}
    evaluation = study.evaluation_run()
    held_out = evaluation.results() if evaluation.finished else {}
    finetuned = {task: tuned(study, task) for task in study.tasks}
    return without_folders(
        {
            "machines": machines(study.output),
            "corpus": study.corpus | {"lines": lines(study.output / "corpus")},
            "teacher": trained(teacher) | {"held_out": _held_out(held_out, teacher), "keys": study.teacher},
            "students": {name: student(study, name, seeds, held_out) for name, seeds in study.seeds().items()},
            "costs": {run.name.split()[0]: seconds_a_step(run.results()) for run in study.cost_runs() if run.finished},
            "tables": study.tables,
            "finetuned": {task: found for task, found in finetuned.items() if found["models"]},
            "pairs": study.comparisons,
            "comparisons": comparisons(study),
            "keys": {"finetuning": study.finetuning["keys"], "tasks": study.tasks},
        }
    )


def note_machine(folder: Path) -> None:
    """Write down that this one takes part in a study."""
    this = {"cores": len(os.sched_getaffinity(0))}
    this |= hardware(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    del this["threads"]  # of this process, and not of the runs
    known = machines(folder)
    write_json(folder / MACHINES, [*known, *([this] if this not in known else [])])


def machines(folder: Path) -> list[Figures]:
    """Those that took part."""
    path = folder / MACHINES
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else []


def trained(run: Run) -> Figures:
    """The size and the training of one run."""
    results = run.results()
    names = ("parameters", "model_bytes", "steps", "train_seconds", "train_tokens_per_second", "device")
    decided = ("per_device_train_batch_size", "max_length", "learning_rate", "bf16")
    recipe = results["recipe"]
    config = AutoConfig.from_pretrained(run.folder)
    found = {name: results.get(name) for name in names} | {name: recipe.get(name) for name in decided}
    return found | {name: getattr(config, name) for name in ("num_hidden_layers", "hidden_size", "vocab_size")}


def student(study: Study, name: str, seeds: list[int], held_out: Mapping[str, Any]) -> Figures:
    """A student's keys, and what each seed came to."""
    runs = {seed: study.student_run(name, seed) for seed in seeds}
    done = {seed: trained(run) | _held_out(held_out, run) for seed, run in runs.items() if run.finished}
    return {"keys": study.keys_of(name), "seeds": done}


def seconds_a_step(results: Mapping[str, Any]) -> float:
    """Of the student's training, and of its teacher's part in it where that is not read from a cache."""
    return results["train_seconds"] / results["steps"]


def tuned(study: Study, task: str) -> Figures:
    """What models scored on a task: each seed's score on the test part, at the rate that validated best."""
    found: Figures = {"models": {}}
    for model in study.models(task):
        runs = chosen_runs(study, model, task)
        if not runs:
            continue
        results = [run.results() for run in runs]
        first, metric = results[0], results[0]["metric"]
        found |= {name: first[name] for name in ("task", "metric", "split", "examples")}
        found["best_constant"] = best_constant(metric, predictions(runs[0]))
        others = [name for name in first if name.startswith("test_") and name != "test_loss"]
        rates = {str(rate): validation(run.results()) for rate, run in at_rates(study, model, task).items()}
        found["models"][model] = {
            "rate": first["recipe"]["learning_rate"],
            "validation_of_rates": rates,
            "parameters": first["parameters"],
            "steps": [one["steps"] for one in results],
            "truncated": first["truncated"]["test"] / first["examples"]["test"],
            "scores": {name.removeprefix("test_"): [one[name] for one in results] for name in others},
        }
    return found


def best_constant(metric: str, answers: Predictions) -> float | None:
    """What one label for all of the test part scores at best; None where answers are no labels."""
    if "scores" not in answers[0]:
        return None
    score = scorer(metric, answers)
    constant = [[one | {"prediction": label} for one in answers] for label in labels_of(answers)]
    return max(float(score(statistics_of(metric, always).sum(0))) for always in constant)


def comparisons(study: Study) -> list[Figures]:
    """How certain the differences are that the conclusions stand on."""

    @functools.cache  # a model is in several pairs
    def answers_of(model: str, task: str) -> list[Predictions]:
        return [predictions(run) for run in chosen_runs(study, model, task)]

    found = []
    for ours, theirs in study.comparisons:
        for task in study.tasks:
            answers = [answers_of(model, task) for model in (ours, theirs)]
            if not all(answers):
                continue
            metric = chosen_runs(study, ours, task)[0].results()["metric"]
            score = scorer(metric, answers[0][0])
            references = [[row["reference"] for row in one] for of_model in answers for one in of_model]
            assert all(other == references[0] for other in references), "predictions of other test parts"
            both = [[statistics_of(metric, one) for one in of_model] for of_model in answers]
            about = {"ours": ours, "theirs": theirs, "task": task, "metric": metric, "seeds": [*map(len, answers)]}
            found.append(about | difference(*both, score))
    return found


def _held_out(figures: Mapping[str, Any], run: Run) -> Figures:
    known = figures.get(str(run.folder), {})
    return {name: known[name] for name in METRICS if name in known}

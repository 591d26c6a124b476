"""Runs that differ in their seed alone: their folders and recipes, and the mean of their results."""

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import TrainingArguments

from distillation.runs import files, resume
from finetuning.arguments import Settings


def runs_of(settings: Settings) -> list[tuple[TrainingArguments, dict[str, Any], dict[str, str]]]:
    """For each run (one, or one a seed in a folder of its own) its training arguments, the keys that repeat it, and
    the hashes of its files."""
    arguments, training = settings.arguments, settings.training
    runs = [copy.copy(training) for _ in arguments.seeds] or [training]
    for run, seed in zip(runs, arguments.seeds, strict=False):
        run.seed, run.output_dir = seed, str(Path(training.output_dir, f"seed-{seed}"))
    keys = [dataclasses.replace(arguments, seeds=[]), settings.data, settings.options]
    if settings.teacher.task_teacher:
        keys.append(settings.teacher)
    recipes, inputs = [files.recipe_of(keys, run) for run in runs], resume.inputs_of(keys)
    recipes = [{key: value for key, value in one.items() if value not in (None, [])} for one in recipes]
    return [(*one, inputs) for one in zip(runs, recipes, strict=True)]


def over_seeds(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One result of several runs that differ in their seed: the mean of each figure, as `*_std` the standard deviation
    of a sample (none of one run), and the runs themselves under `runs`."""
    merged: dict[str, Any] = {}
    for name, value in runs[0].items():
        values = [run[name] for run in runs]
        if isinstance(value, int | float) and name.startswith(("validation_", "test_")):
            merged[name], deviation = files.mean_and_deviation(values)
            if len(runs) > 1:
                merged[f"{name}_std"] = deviation
        elif name in ("steps", "epochs", "train_seconds"):
            merged[name], _ = files.mean_and_deviation(values)
        elif all(other == value for other in values):
            merged[name] = value
    merged["recipe"] = {key: value for key, value in runs[0]["recipe"].items() if key != "seed"}
    return merged | {"seeds": [run["seed"] for run in runs], "runs": list(runs)}


def in_folder(results: Mapping[str, Any], training: TrainingArguments) -> dict[str, Any]:
    """The results of one of several runs, or of all, with a recipe that names the folder of all."""
    return {**results, "recipe": results["recipe"] | {"output_dir": training.output_dir}}

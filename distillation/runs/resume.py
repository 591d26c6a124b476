"""Which runs begin, which go on and from where, and whether they are still the same runs."""

import dataclasses
import json
import logging
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import TrainingArguments

from distillation.config.errors import UserError
from distillation.runs.agreement import together, writing
from distillation.runs.files import EXPORTED, HYPERPARAMETERS, MEASURED, RECIPE, RESULTS, write_json
from distillation.runs.sealing import checkpoints, is_whole

logger = logging.getLogger(__name__)

# Where a run is, not what it is.
PLACES = {"output_dir", "resume_from_checkpoint"}
# What another machine, or more patience, may ask for: a change is told, and the run goes on.
MACHINE = {field.name for field in dataclasses.fields(TrainingArguments)} | {"preprocessing_num_workers"}
# Not what an optimiser and a schedule bring along from the checkpoint whatever the recipe says, nor the order of data.
MACHINE -= set(HYPERPARAMETERS) | {"optim_args", "data_seed", "train_sampling_strategy"}
MACHINE -= {"metric_for_best_model", "greater_is_better", "load_best_model_at_end"}
MACHINE |= {
    "num_train_epochs",
    "max_steps",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "bf16",
    "fp16",
}


def is_resumed(training: TrainingArguments) -> bool:
    """Whether an earlier run is to go on."""
    return str(training.resume_from_checkpoint).lower() not in ("none", "false")


def names_checkpoint(training: TrainingArguments) -> bool:
    """Whether it is to go on from one checkpoint, and not, by `true`, from the newest."""
    return is_resumed(training) and str(training.resume_from_checkpoint).lower() != "true"


def checkpoint_of(
    training: TrainingArguments, recipe: Mapping[str, Any], may_change: frozenset[str] | set[str] = frozenset()
) -> str | None:
    """The checkpoint to go on from, None to begin. Nothing is written.

    recipe: what the run is made of; may_change: the keys in which the earlier run may differ, with a warning.

    Raises UserError for checkpoints that nobody asked to go on from, and for a folder that is of another recipe or
    cannot be written.
    """
    folder = Path(training.output_dir)
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not os.access(there, os.W_OK | os.X_OK):
        remedy = "make it writable" if is_resumed(training) else "name another folder"
        raise UserError(f"`output_dir` {str(folder)!r} cannot be written: {remedy}")
    if is_resumed(training):
        _compare(folder, json.loads(json.dumps(recipe, default=str)), may_change)
        return _to_resume(training)
    if checkpoints(folder):
        raise UserError(
            f"`output_dir` {str(folder)!r} holds checkpoints of an earlier run: continue it with "
            "`--resume_from_checkpoint true`, or name another folder"
        )
    return None


def _compare(folder: Path, now: Mapping[str, Any], may_change: frozenset[str] | set[str]) -> None:
    """Raise UserError where the run in a folder is made of something else."""
    earlier = read(folder / RECIPE)
    if earlier is None:
        return
    differing = [key for key in sorted(now.keys() | earlier.keys()) if earlier.get(key) != now.get(key)]
    for key in [key for key in differing if key not in PLACES]:
        if key not in may_change:
            raise UserError(
                f"`output_dir` {str(folder)!r} holds a run with `{key}` {_said(earlier, key)}, and this one has "
                f"{_said(now, key)}: resume with the same recipe, or name another folder"
            )
        logger.warning("the run goes on with `%s` %s, and began with %s", key, _said(now, key), _said(earlier, key))


def _said(recipe: Mapping[str, Any], key: str) -> str:
    return repr(recipe[key]) if key in recipe else "as it is unless given"


def _to_resume(training: TrainingArguments) -> str | None:
    """The folder that `resume_from_checkpoint` means: a path, or with `true` the newest whole one, if there is one.

    Raises UserError for a path without a whole checkpoint.
    """
    wanted = training.resume_from_checkpoint
    if names_checkpoint(training):
        if not is_whole(Path(wanted)):
            raise UserError(f"`resume_from_checkpoint` {wanted!r} holds no whole checkpoint; `true` takes the newest")
        return str(wanted)
    for folder in checkpoints(training.output_dir):
        if is_whole(folder):
            logger.info("resuming from %s", folder)
            return str(folder)
        logger.warning("%s is not whole and is skipped: its writing was cut short, or it was changed since", folder)
    logger.info("no checkpoint to resume from: starting afresh")
    return None


def begin(training: TrainingArguments, recipe: Mapping[str, Any]) -> None:
    """Note what the run is made of, and take away what an earlier one found. Every process calls it.

    Raises UserError for an `output_dir` that cannot be written.
    """
    folder = Path(training.output_dir)
    with together(), writing(folder):
        if training.process_index == 0:
            folder.mkdir(parents=True, exist_ok=True)
            for earlier in (RESULTS, MEASURED):
                (folder / earlier).unlink(missing_ok=True)
            shutil.rmtree(folder / EXPORTED.parent, ignore_errors=True)
            write_json(folder / RECIPE, recipe)


def read(path: Path) -> dict[str, Any] | None:
    """What a JSON file says, None where it says nothing."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def finished(training: TrainingArguments) -> dict[str, Any] | None:
    """What a run found that was to be resumed and has already come to its end; None if it has not."""
    found = read(Path(training.output_dir, RESULTS)) if is_resumed(training) else None
    return found if found and "recipe" in found else None

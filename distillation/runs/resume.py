"""Checkpoints of a run: which are complete, which one to go on from, and whether the run is still the same."""

import dataclasses
import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from distillation.config.errors import LocalError, UserError, one_line
from distillation.runs.files import EXPORTED, HYPERPARAMETERS, MEASURED, RECIPE, RESULTS, write_json

if TYPE_CHECKING:
    from transformers import TrainingArguments

logger = logging.getLogger(__name__)

COMPLETE = "complete.json"  # of a checkpoint: the size of every other file, written last
# Of `TrainingArguments` what a run cannot change on its way: it decides the weights. Batch sizes and half precision
# may follow the machine, the number of steps the user's patience.
DECIDING = set(HYPERPARAMETERS) - {
    "num_train_epochs",
    "max_steps",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "bf16",
    "fp16",
}


def mark_complete(folder: Path) -> None:
    """Say that a checkpoint is complete, once all of it is on the disk."""
    paths = sorted(folder.rglob("*"))
    for path in paths:
        _to_disk(path)
    sizes = {str(path.relative_to(folder)): path.stat().st_size for path in paths if path.is_file()}
    (folder / COMPLETE).write_text(json.dumps(sizes, indent=2) + "\n", encoding="utf-8")
    for path in (folder / COMPLETE, folder, folder.parent):
        _to_disk(path)


def _to_disk(path: Path) -> None:
    """A file, or the names in a folder."""
    if path.is_dir() and os.name == "nt":
        return  # Windows opens no folders
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_complete(folder: Path) -> bool:
    """Whether a checkpoint is marked, and each of its files has the size that it had then."""
    try:
        sizes = json.loads((folder / COMPLETE).read_text(encoding="utf-8"))
        return all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, AttributeError):
        return False


def checkpoints(output_dir: str | Path) -> list[Path]:
    """The `checkpoint-N` of a run, the newest first."""
    folders = [folder for folder in Path(output_dir).glob("checkpoint-*") if folder.name.split("-")[-1].isdecimal()]
    return sorted(folders, key=lambda folder: int(folder.name.split("-")[-1]), reverse=True)


@contextmanager
def writing(output_dir: str | Path) -> Iterator[None]:
    """Here an `output_dir` that cannot be written is a LocalError, which says what of a run is left."""
    try:
        yield
    except (OSError, SafetensorError, RuntimeError) as error:
        if not _is_of_writing(error):
            raise
        cause = getattr(error, "strerror", None) or one_line(error)
        remedy = "make room, or name another folder"
        if complete := next(filter(is_complete, checkpoints(output_dir)), None):
            remedy = f"make room, then go on from {complete.name}, which is whole, by `--resume_from_checkpoint true`"
        raise LocalError(f"`output_dir` {str(output_dir)!r} cannot be written ({cause}): {remedy}") from None


def _is_of_writing(error: Exception) -> bool:
    """Whether a file could not be written. Torch tells by words alone; errors of the Hub have no number."""
    if isinstance(error, OSError):
        return error.errno is not None
    return isinstance(error, SafetensorError) or "inline_container" in str(error) or "iostream" in str(error)


def is_resumed(training: "TrainingArguments") -> bool:
    """Whether an earlier run is to go on."""
    return str(training.resume_from_checkpoint).lower() not in ("none", "false")


def names_checkpoint(training: "TrainingArguments") -> bool:
    """Whether it is to go on from one checkpoint, and not, by `true`, from the newest."""
    return is_resumed(training) and str(training.resume_from_checkpoint).lower() != "true"


def find_checkpoint(training: "TrainingArguments", recipe: Mapping[str, Any]) -> str | None:
    """The checkpoint to go on from, None to start afresh. Nothing is written.

    recipe: what the run is made of, see `recipe_of`.

    Raises UserError for checkpoints that nobody asked to go on from, for a path without a complete one, and for a
    folder that has another run or cannot be written.
    """
    folder, wanted = Path(training.output_dir), training.resume_from_checkpoint
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not os.access(existing, os.W_OK | os.X_OK):
        raise UserError(f"`output_dir` {str(folder)!r} cannot be written: make it writable, or name another folder")
    if not is_resumed(training):
        if checkpoints(folder):
            raise UserError(
                f"`output_dir` {str(folder)!r} holds checkpoints of an earlier run: continue it with "
                "`--resume_from_checkpoint true`, or name another folder"
            )
        return None
    _check_recipe(folder, recipe, training)
    if names_checkpoint(training):
        if not is_complete(Path(wanted)):
            raise UserError(f"`resume_from_checkpoint` {wanted!r} is no complete checkpoint; `true` takes the newest")
        return str(wanted)
    for checkpoint in checkpoints(folder):
        if is_complete(checkpoint):
            logger.info("resuming from %s", checkpoint)
            return str(checkpoint)
        logger.warning("%s is not complete and is skipped: its writing was cut short, or it was changed", checkpoint)
    logger.info("no checkpoint to resume from: starting afresh")
    return None


def _check_recipe(folder: Path, recipe: Mapping[str, Any], training: "TrainingArguments") -> None:
    """Raise UserError where the run in a folder is made of something else: of the script's own keys any, of
    `TrainingArguments` those that are `DECIDING`. Other changes are logged."""
    recipe, earlier = json.loads(json.dumps(recipe, default=str)), _read(folder / RECIPE)
    if earlier is None:
        return
    free = {field.name for field in dataclasses.fields(training)} - DECIDING | {"preprocessing_num_workers"}
    for key in sorted((recipe.keys() | earlier.keys()) - {"output_dir"}):
        before, now = (repr(one[key]) if key in one else "its default" for one in (earlier, recipe))
        if before == now:
            continue
        if key not in free:
            raise UserError(
                f"`output_dir` {str(folder)!r} holds a run with `{key}` {before}, and this one has {now}: resume with "
                "the same recipe, or name another folder"
            )
        logger.warning("the run goes on with `%s` %s, and began with %s", key, now, before)


def start_run(training: "TrainingArguments", recipe: Mapping[str, Any]) -> None:
    """Note what the run is made of, and take away what an earlier one found.

    Raises LocalError for an `output_dir` that cannot be written.
    """
    if training.process_index:
        return
    folder = Path(training.output_dir)
    with writing(folder):
        for earlier in (RESULTS, MEASURED):
            (folder / earlier).unlink(missing_ok=True)
        shutil.rmtree(folder / EXPORTED.parent, ignore_errors=True)
        write_json(folder / RECIPE, recipe)


def finished(training: "TrainingArguments") -> dict[str, Any] | None:
    """What a run found that was to be resumed and has already come to its end; None if it has not."""
    found = _read(Path(training.output_dir, RESULTS)) if is_resumed(training) else None
    return found if found and "recipe" in found else None


def _read(path: Path) -> dict[str, Any] | None:
    """What a JSON file says, None where it says nothing."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None

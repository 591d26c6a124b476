"""Which runs are finished, which go on, and whether they are still the same runs."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import TrainingArguments

from distillation.checkpoint import checkpoint_to_resume
from distillation.recipe import RecipeError
from distillation.results import RESULTS, write_json

RECIPE = "recipe.json"  # written before the first step: what a run is made of


def is_resumed(training: TrainingArguments) -> bool:
    """Whether an earlier run is to go on."""
    return str(training.resume_from_checkpoint).lower() not in ("none", "false")


def names_checkpoint(training: TrainingArguments) -> bool:
    """Whether it is to go on from one checkpoint, and not, by `true`, from the newest."""
    return is_resumed(training) and str(training.resume_from_checkpoint).lower() != "true"


def checkpoint_of(training: TrainingArguments, recipe: Mapping[str, Any]) -> str | None:
    """The checkpoint to go on from, None to begin.

    Raises RecipeError for checkpoints that nobody asked to go on from, and for a folder of another recipe.
    """
    folder = Path(training.output_dir)
    if not is_resumed(training):
        if any(folder.glob("checkpoint-*")):
            raise RecipeError(
                f"`output_dir` {str(folder)!r} holds checkpoints of an interrupted run: continue it with "
                "`--resume_from_checkpoint true`, or name another folder"
            )
        return None
    earlier, now = _read(folder / RECIPE), json.loads(json.dumps(recipe, default=str))
    for key in sorted(now.keys() | (earlier or now).keys()):
        if earlier is not None and earlier.get(key) != now.get(key):
            raise RecipeError(
                f"`output_dir` {str(folder)!r} holds a run with `{key}` {earlier.get(key)!r}, and this one has "
                f"{now.get(key)!r}: resume with the same recipe, or name another folder"
            )
    return checkpoint_to_resume(training)


def begin(folder: Path, recipe: Mapping[str, Any]) -> None:
    """Note what the run is made of, and take away what an earlier one found."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RESULTS).unlink(missing_ok=True)
    write_json(folder / RECIPE, recipe)


def finished(training: TrainingArguments) -> dict[str, Any] | None:
    """What a run found that was to be resumed and has already come to its end; None if it has not."""
    return _read(Path(training.output_dir, RESULTS)) if is_resumed(training) else None


def _read(path: Path) -> dict[str, Any] | None:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None

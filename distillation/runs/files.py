"""What a run writes for programs: whole or not at all, with the recipe that makes it again."""

import dataclasses
import hashlib
import json
import os.path
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import TrainingArguments

RESULTS = "all_results.json"
WEIGHTS = "model.safetensors"
STATE = "trainer_state.json"  # what a run has logged
# Of `TrainingArguments` what decides the weights: told even where it is the default.
HYPERPARAMETERS = (
    "learning_rate",
    "lr_scheduler_type",
    "lr_scheduler_kwargs",
    "warmup_steps",
    "num_train_epochs",
    "max_steps",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "optim",
    "adam_beta1",
    "adam_beta2",
    "adam_epsilon",
    "weight_decay",
    "max_grad_norm",
    "bf16",
    "fp16",
    "seed",
)
# Those that the trainer sets itself, and those that are no part of a recipe.
NO_RECIPE = (
    "remove_unused_columns",
    "dataloader_pin_memory",
    "ddp_find_unused_parameters",
    "disable_tqdm",
    "ignore_data_skip",
    "logging_nan_inf_filter",
    "resume_from_checkpoint",
    "run_name",
    "push_to_hub",
    "hub_model_id",
    "hub_private_repo",
    "hub_revision",
    "hub_token",
)


def write(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    draft = path.with_name(path.name + ".part")
    try:
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def write_json(path: Path, values: Any) -> None:
    """The same, of JSON."""
    write(path, json.dumps(values, indent=2, ensure_ascii=False, default=str) + "\n")


def recipe_of(arguments: Sequence[Any], training: TrainingArguments) -> dict[str, Any]:
    """Every key of the recipe, but of `TrainingArguments` the `HYPERPARAMETERS` and what differs from its default."""
    keys = {key: value for part in arguments for key, value in dataclasses.asdict(part).items()}
    values = training.to_dict()  # enumerations as text, tokens hidden
    for known in dataclasses.fields(training):
        value = values.get(known.name)
        unset = value == known.default or (value is False and known.default is None)
        decides = known.name in HYPERPARAMETERS
        plain = isinstance(value, str | int | float) or (decides and isinstance(value, dict))
        if plain and (decides or not unset) and known.name not in NO_RECIPE:
            keys[known.name] = value
    return keys


def without_folders(value: Any) -> Any:
    """The same values, but of paths out of the working directory the last name: how a machine is laid out is nobody's
    business."""
    if isinstance(value, Mapping):
        return {key: without_folders(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_folders(item) for item in value]
    outside = isinstance(value, str) and (os.path.isabs(value) or value.startswith(("..", "~", "file:")))
    return Path(value).name if outside else value


def sha256(path: Path) -> str:
    """Of a file, as the Hub knows large ones."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

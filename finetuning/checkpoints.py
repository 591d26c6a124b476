"""Checkpoints to start from and to learn from, with the head that a task needs."""

from typing import Any

from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from distillation.config.recipe import UserError, one_line
from distillation.models import loading as checkpoint
from distillation.models.loading import counts_from_padding, fit_tokenizer, load_config
from finetuning.tasks.base import Task

START, TEACHER = "model_name_or_path", "task_teacher"


def load_model(name_or_path: str, task: Task, random_weights: bool) -> PreTrainedModel:
    """A checkpoint with a head for the task: its own if it has one that fits, else a new one.

    Raises UserError for what is no encoder with trained weights.
    """
    config = _load_config(name_or_path, START)
    # A checkpoint of another task brings its labels along, or wants several of them at once.
    names = task.labels or ("LABEL_0", "LABEL_1")  # two: the ends of an answer
    config.id2label = dict(enumerate(names))
    config.label2id = {label: number for number, label in enumerate(names)}
    config.problem_type = None
    if random_weights:
        return task.model_class.from_config(config, trust_remote_code=False)
    model, loading = _load(name_or_path, START, task, config, ignore_mismatched_sizes=True)
    inside = f"{model.base_model_prefix}."
    new = {*loading["missing_keys"], *(name for name, *_ in loading["mismatched_keys"])}  # the latter of another shape
    missing = [name for name in sorted(new) if name.startswith(inside) and ".pooler." not in name]
    if missing:  # a pooler is new where the checkpoint was a masked LM
        raise UserError(f"`{START}` {name_or_path!r} lacks trained weights for {missing[0]}: give a whole checkpoint")
    return model


def load_task_teacher(name_or_path: str, task: Task) -> PreTrainedModel:
    """A model that was fine-tuned on the task.

    Raises UserError if its head is not trained, or predicts other labels.
    """
    config = _load_config(name_or_path, TEACHER)
    known = set(config.id2label.values())
    if task.labels and known != set(task.labels):
        raise UserError(
            f"`{TEACHER}` {name_or_path!r} predicts {', '.join(sorted(known))}, and {task.name} has "
            f"{', '.join(task.labels)}: give a model fine-tuned on this very task"
        )
    model, loading = _load(name_or_path, TEACHER, task, config)
    if loading["missing_keys"]:
        raise UserError(
            f"`{TEACHER}` {name_or_path!r} has no trained head for {task.name} ({min(loading['missing_keys'])} is "
            "missing): fine-tune it first"
        )
    return model.eval()


def load_tokenizer(name_or_path: str, key: str, model: PreTrainedModel) -> PreTrainedTokenizerBase:
    """The tokenizer of a checkpoint, as its model needs it.

    Raises UserError for one that will not do, or that does not fit the model.
    """
    tokenizer = checkpoint.load_tokenizer(name_or_path, key, roles=("pad_token",))
    checkpoint.check_rows(tokenizer, model, name_or_path, key)
    if counts_from_padding(model) and tokenizer.pad_token_id != model.config.pad_token_id:
        raise UserError(
            f"`{key}` {name_or_path!r} pads with token {tokenizer.pad_token_id} by its tokenizer and "
            f"{model.config.pad_token_id} by its config, which positions are counted from: make them one"
        )
    tokenizer.padding_side = tokenizer.truncation_side = "right"
    fit_tokenizer(tokenizer, model)
    return tokenizer


def _load_config(name_or_path: str, key: str) -> PreTrainedConfig:
    try:
        return load_config(name_or_path)
    except Exception as error:  # a missing folder, a broken file, an unknown id
        raise UserError(f"`{key}` {name_or_path!r} cannot be loaded: {one_line(error)}") from None


def _load(name_or_path: str, key: str, task: Task, config: PreTrainedConfig, **options: Any) -> tuple[Any, dict]:
    """The model and what the loader says of it, which it shall not print: that the head is new is no news."""
    level = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    options |= {"output_loading_info": True, "trust_remote_code": False}
    try:
        return task.model_class.from_pretrained(name_or_path, config=config, **options)
    except Exception as error:  # the loaders raise many types; all mean that there is no usable model
        raise UserError(f"`{key}` {name_or_path!r} cannot be loaded: {one_line(error)}") from None
    finally:
        transformers_logging.set_verbosity(level)

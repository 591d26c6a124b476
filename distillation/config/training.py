"""Every field of `TrainingArguments` is a key: its name is read without importing transformers, its value with it."""

import ast
import importlib.util
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from distillation.config.command_line import KeyParser, words_of
from distillation.config.errors import LAUNCHED, UserError, one_line
from distillation.config.paths import check_output

if TYPE_CHECKING:
    from transformers import TrainingArguments

SEEDS = 2**32  # numpy takes no larger ones
# What --help says of the fields that most people set.
USUAL = {
    "output_dir": "Folder for everything that this run writes.",
    "learning_rate": "Peak learning rate. Small models need a higher one than large models.",
    "max_steps": "Optimiser steps; by default as many as `num_train_epochs` takes.",
    "num_train_epochs": "Passes over the training data.",
    "per_device_train_batch_size": "Examples in a batch of one device.",
    "gradient_accumulation_steps": "Batches of an optimiser step.",
    "warmup_steps": "Steps of linear warmup; below 1 a share of all steps.",
    "seed": "Seed of all random choices.",
    "bf16": "Compute in bf16; in fine-tuning that is the default on a GPU that can.",
    "use_cpu": "Use the CPU even if there is a GPU.",
    "save_steps": "Steps between checkpoints, with `save_strategy: steps`.",
    "save_total_limit": "Checkpoints to keep: the newest, and the best where one is chosen.",
    "logging_steps": "Steps between lines of the log, with `logging_strategy: steps`.",
    "resume_from_checkpoint": "`true`: resume the newest complete checkpoint in `output_dir`.",
    "push_to_hub": "Push the model to `hub_model_id` at the end.",
    "hub_model_id": "Repository on the Hub.",
}
# Of transformers.TrainingArguments; --help shows them.
DEFAULTS = {"learning_rate": 5e-5, "num_train_epochs": 3.0, "per_device_train_batch_size": 8}
DEFAULTS |= {"gradient_accumulation_steps": 1, "warmup_steps": 0, "seed": 42, "save_steps": 500, "logging_steps": 500}
# In place of the library's. The other processes wait while the first prepares a corpus: half an hour is not enough.
OURS = {"ddp_timeout": 24 * 3600, "save_total_limit": 1}
COUNTS = ("per_device_train_batch_size", "per_device_eval_batch_size")
COUNTS += ("gradient_accumulation_steps", "eval_accumulation_steps")


def keys() -> dict[str, str]:
    """The names of the fields, read from the source, as transformers takes seconds to import; and the help of those
    in `USUAL`, which is empty for others."""
    # find_spec("transformers.training_args") would import the package.
    if (package := importlib.util.find_spec("transformers")) is None:  # an exported folder needs none to answer
        raise UserError("this Python lacks transformers: `source .venv/bin/activate`, which ./run_all.sh makes")
    (folder,) = package.submodule_search_locations
    source = ast.parse(Path(folder, "training_args.py").read_text(encoding="utf-8"))
    (found,) = (node for node in source.body if isinstance(node, ast.ClassDef) and node.name == "TrainingArguments")
    fields = [node for node in found.body if isinstance(node, ast.AnnAssign)]
    names = [field.target.id for field in fields if "init=False" not in ast.unparse(field)]
    return USUAL | {name: "" for name in names if name not in USUAL}


def parse(
    given: Mapping[str, list[str]], subclass: "Callable[[], type[TrainingArguments]] | None" = None
) -> "TrainingArguments":
    """Parse the words of each key into TrainingArguments; its new attribute `given` holds the keys.

    subclass: returns the class to make in place of TrainingArguments. Raises UserError.
    """
    if not any(given.get("output_dir", [])):
        raise UserError("`output_dir` is missing: name the folder for what this run makes")
    from transformers import HfArgumentParser, TrainingArguments

    class Parser(HfArgumentParser):
        error = KeyParser.error

    try:
        parser = Parser(subclass() if subclass else TrainingArguments)
        (arguments,) = parser.parse_args_into_dataclasses(words_of(OURS | given))
        # `accelerate launch` gives the precision in the environment alone, and the Trainer computes in it.
        arguments.bf16, arguments.fp16 = (arguments.mixed_precision == kind for kind in ("bf16", "fp16"))
        check_training(arguments)
        _check_parts(arguments)
    except UserError:
        raise
    except Exception as error:  # the library and what it loads raise many types
        raise UserError(f"the training arguments are not valid: {one_line(error)}") from None
    arguments.given = tuple(given)
    return arguments


def check_training(args: "TrainingArguments") -> None:
    """Raise UserError for arguments that the Trainer would refuse late, or that distillation would ignore."""
    if args.n_gpu > 1:
        raise UserError("one process sees several GPUs: use `accelerate launch`, or set CUDA_VISIBLE_DEVICES to one")
    if os.environ.keys() >= set(LAUNCHED) and int(os.environ["WORLD_SIZE"]) > args.world_size:
        raise UserError(
            f"{os.environ['WORLD_SIZE']} processes were launched, and each would train alone, as no GPU is found: "
            "add `--use_cpu true`, or launch one process"
        )
    if args.fp16 and args.device.type == "cpu":
        raise UserError("`fp16` has no effect on a CPU: leave it out, or set `bf16: true`")
    if args.push_to_hub and not args.hub_model_id:
        raise UserError("`push_to_hub` needs `hub_model_id`, the repository to push to")
    for name in COUNTS:
        if getattr(args, name) is not None and getattr(args, name) < 1:
            raise UserError(f"`{name}` must be at least 1, got {getattr(args, name)}")
    for name in ("seed", "data_seed"):
        if not 0 <= (getattr(args, name) or 0) < SEEDS:
            raise UserError(f"`{name}` must lie between 0 and 2 ** 32 - 1, got {getattr(args, name)}")
    if args.dataloader_persistent_workers and not args.dataloader_num_workers:
        raise UserError("`dataloader_persistent_workers` needs `dataloader_num_workers`: give a number, or leave it")
    check_output(args.output_dir)
    for name in ("bf16_full_eval", "fp16_full_eval"):
        if getattr(args, name):
            raise UserError(f"`{name}` would also save the model in half precision: leave it out")
    for name, off in (("label_smoothing_factor", 0), ("neftune_noise_alpha", None), ("use_liger_kernel", False)):
        if getattr(args, name) != off:
            raise UserError(f"`{name}` has no effect on the losses here: leave it out")
    if args.save_only_model:
        raise UserError("`save_only_model` makes checkpoints that cannot be resumed: leave it out")


def _check_parts(args: "TrainingArguments") -> None:
    """Make optimiser, schedule, and loggers once: the Trainer would fail only after the models have been loaded."""
    import torch
    from transformers import Trainer, get_scheduler
    from transformers.integrations import get_reporting_integration_callbacks

    for callback in get_reporting_integration_callbacks(args.report_to):
        callback()
    kind, options = Trainer.get_optimizer_cls_and_kwargs(args)
    if kind.__module__.startswith("torch."):  # others need the layers of a model
        kind([torch.zeros(1)], **options)
    optimizer, options = torch.optim.SGD([torch.zeros(1)]), {"scheduler_specific_kwargs": args.lr_scheduler_kwargs}
    steps = {"num_warmup_steps": args.get_warmup_steps(2), "num_training_steps": 2}
    get_scheduler(args.lr_scheduler_type, optimizer, **steps, **options)

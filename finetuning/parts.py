"""The parts of a benchmark: train, validation, test, and perhaps one without labels to submit."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distillation.config.recipe import UserError
from finetuning.demo.resolve import FOLDER, demo_data
from finetuning.splits import held_out, without_repeats
from finetuning.tasks.base import Encoded, Row, Task

logger = logging.getLogger(__name__)

DEMO = "demo"  # what `data_dir` says to mean the embedded one


@dataclass(frozen=True)
class Part:
    """One part of a benchmark: its rows, and as inputs of a model."""

    rows: Sequence[Row]
    encoded: Encoded


def is_demo(data_dir: str) -> bool:
    """Whether these are data that we made ourselves: scores on them are none of the benchmark."""
    return data_dir == DEMO or Path(data_dir).absolute().is_relative_to(FOLDER.absolute())


def read_parts(task: Task, data_dir: str) -> tuple[dict[str, list], dict[str, Any]]:
    """The rows of `train`, `validation`, `test`, and perhaps `submission`, and facts about them for the results.

    Raises UserError for a part that is missing or empty.
    """
    parts = task.read(str(demo_data(task.name)) if data_dir == DEMO else data_dir)
    for name in ("train", "test"):
        if not parts.get(name):
            raise UserError(f"`data_dir` {data_dir!r} has no examples for {name}")
    left_out: dict[str, int] = {}
    if task.texts_are_examples:
        parts["train"], left_out = without_repeats(
            parts["train"], task.texts, lambda row: tuple(task.references([row])), parts["test"]
        )
    if not parts.get("validation"):
        logger.info("%s: no validation part; a tenth of train, always the same, serves", task.name)
        parts["train"], parts["validation"] = held_out(parts["train"], task.texts)
    if not parts["train"]:
        raise UserError(f"`data_dir` {data_dir!r} has too few different texts to set some aside for validation")
    sizes = {name: len(part) for name, part in parts.items()}
    logger.info("%s: %s; left out of train: %s", task.name, sizes, left_out or "none")
    absent = set(task.labels) - {label for row in parts["train"] for label in task.labels_of(row)}
    if absent:
        logger.warning("%s: train has no example of %s", task.name, ", ".join(sorted(absent)))
    known = {task.texts(row) for row in parts["train"]}
    facts = {"task": task.name, "metric": task.selects, "per_cent": task.per_cent, "split": task.split}
    facts |= {"examples": sizes, "left_out": left_out}
    facts |= {"demo": is_demo(data_dir), "dataset": None if data_dir == DEMO or Path(data_dir).exists() else data_dir}
    return parts, facts | {"texts_also_in_train": sum(task.texts(row) in known for row in parts["test"])}

"""The parts of a benchmark: train, validation, test, and perhaps one without labels to submit.

The test part is reported and chooses nothing: its texts leave the training part, and where a benchmark has no
validation part, a tenth of the training part serves.
"""

import functools
import logging
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distillation.config.command_line import DEMO
from distillation.config.errors import UserError
from finetuning.formats.locate import is_demo
from finetuning.tasks.base import Encoded, Row, Task

logger = logging.getLogger(__name__)

VALIDATION_SHARE = 0.1
SPLIT_SEED = 0  # one validation part for all runs, so that their scores compare

Texts = Callable[[Row], tuple[str, ...]]


@dataclass(frozen=True)
class Part:
    """One part of a benchmark: its rows, and as inputs of a model."""

    rows: Sequence[Row]
    encoded: Encoded


@functools.lru_cache(maxsize=1)  # several models are trained on the same
def read_parts(task: Task, data_dir: str) -> tuple[dict[str, list], dict[str, Any]]:
    """The rows of `train`, `validation`, `test`, and perhaps `submission`, and facts about them for the results.
    Raises UserError for a part that is missing or empty.
    """
    parts = task.read(data_dir)
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
    facts = {"task": task.name, "metric": task.primary_metric, "per_cent": task.per_cent, "split": task.split}
    facts |= {"examples": sizes, "left_out": left_out}
    facts |= {"demo": is_demo(data_dir), "dataset": None if data_dir == DEMO or Path(data_dir).exists() else data_dir}
    return parts, facts | {"texts_also_in_train": sum(task.texts(row) in known for row in parts["test"])}


def without_repeats(
    rows: Sequence[Row], texts: Texts, answer: Callable[[Row], Hashable], tested: Sequence[Row]
) -> tuple[list[Row], dict[str, int]]:
    """The rows to train on, and how many were left out: texts `in_test`, `repeated`, or `conflicting`.

    Of rows with the same texts and one answer the first stays; where they have different answers, none does.
    """
    in_test = {texts(row) for row in tested}
    answers = defaultdict(set)
    for row in rows:
        answers[texts(row)].add(answer(row))
    left_out = {"in_test": 0, "repeated": 0, "conflicting": 0}
    kept, seen = [], set()
    for row in rows:
        key = texts(row)
        if key in in_test:
            left_out["in_test"] += 1
        elif len(answers[key]) > 1:
            left_out["conflicting"] += 1
        elif key in seen:
            left_out["repeated"] += 1
        else:
            kept.append(row)
            seen.add(key)
    return kept, left_out


def held_out(rows: Sequence[Row], texts: Texts) -> tuple[list[Row], list[Row]]:
    """The rows without a seeded tenth, and that tenth, at least. The order is kept.

    Rows that share a text stay together, and with these all that share one with them.
    """
    groups = joined([texts(row) for row in rows])
    sizes = Counter(groups)
    names = sorted(sizes)
    random.Random(SPLIT_SEED).shuffle(names)
    chosen, size = set(), 0
    while size < VALIDATION_SHARE * len(rows):
        chosen.add(names[-1])
        size += sizes[names.pop()]
    parts: tuple[list[Row], list[Row]] = ([], [])
    for row, group in zip(rows, groups, strict=True):
        parts[group in chosen].append(row)
    return parts


def joined(sets: Sequence[tuple[str, ...]]) -> list[str]:
    """For each set of texts the name of its group, the first text of all sets that hang together with it."""
    parent = {text: text for texts in sets for text in texts}

    def root(text: str) -> str:
        while parent[text] != text:
            parent[text] = text = parent[parent[text]]  # halves the way for the next who asks
        return text

    for first, *others in sets:
        for text in others:
            low, high = sorted((root(first), root(text)))
            parent[high] = low
    return [root(texts[0]) for texts in sets]

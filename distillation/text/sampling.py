"""Chooses lines of a corpus: those that are held out, and samples that represent all."""

import logging

from datasets import Dataset
from datasets.fingerprint import Hasher

from distillation.config.corpus import CorpusArguments
from distillation.config.errors import UserError
from distillation.text.reading import load_lines

logger = logging.getLogger(__name__)

SAMPLE = 100_000  # lines or examples that represent a corpus


def load_split(arguments: CorpusArguments) -> tuple[Dataset, Dataset]:
    """The lines of the corpus that are not held out, and held-out lines: `validation_file`, or some of the corpus."""
    lines = load_lines(arguments, arguments.train_file, arguments.dataset_name)
    if arguments.validation_file:
        held_out = load_lines(arguments, arguments.validation_file, None)
        return without_repeats(lines, held_out), held_out
    return split_validation(lines, arguments.validation_lines)


def load_held_out(arguments: CorpusArguments) -> Dataset:
    """The held-out lines of `load_split`; no other file is read if `validation_file` names one."""
    if arguments.validation_file:
        return load_lines(arguments, arguments.validation_file, None)
    return load_split(arguments)[1]


def split_validation(lines: Dataset, validation_lines: int) -> tuple[Dataset, Dataset]:
    """Lines to train on, and held-out lines: at most a tenth of the corpus.

    The choice depends on no seed, so that runs compare. No training line repeats a held-out one.
    """
    size = min(validation_lines, len(lines) // 10)
    if size < 1:
        raise UserError(
            f"the corpus has {len(lines)} usable lines: too few to set some aside; "
            "give at least 10, or name a `validation_file`"
        )
    split = lines.train_test_split(test_size=size, seed=0)
    return without_repeats(split["train"], split["test"]), split["test"]


def without_repeats(lines: Dataset, held_out: Dataset) -> Dataset:
    """The lines that are not held out. Raises UserError if there is none."""
    texts = set(held_out["text"][:])
    others = lines.filter(
        lambda batch: [text not in texts for text in batch],
        input_columns="text",
        batched=True,
        new_fingerprint=Hasher.hash(("without_repeats", lines._fingerprint, held_out._fingerprint)),
        desc="Leaving out held-out lines",
    )
    if not len(others):
        raise UserError("every line to train on is also held out: add text, or hold out others (`validation_file`)")
    if len(others) < len(lines):
        logger.info("%s lines are left out of training: they are held out", f"{len(lines) - len(others):,}")
    return others


def evenly_spaced(rows: Dataset, count: int) -> Dataset:
    """At most `count` rows, evenly spaced."""
    return rows.select(range(0, len(rows), -(-len(rows) // count)))

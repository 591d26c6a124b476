"""Files and Hub data sets become cleaned lines of text."""

import glob
import logging
import os
import re
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
from datasets import Dataset, Features, IterableDataset, Value, concatenate_datasets, load_dataset
from datasets.exceptions import DatasetGenerationError

from distillation.config.arguments import DataArguments
from distillation.config.errors import UserError, one_line

logger = logging.getLogger(__name__)

# File endings and the builder of `datasets` that reads them. Bytes that are not UTF-8 become U+FFFD, then nothing.
FORMATS = {
    ".txt": ("text", {"encoding_errors": "replace"}),
    # "utf8" and not "utf-8": under the latter name the builder takes the bytes as they are, and reading them fails.
    ".jsonl": ("json", {"encoding": "utf8", "encoding_errors": "replace"}),
    ".csv": ("csv", {"encoding_errors": "replace", "keep_default_na": False}),
    ".parquet": ("parquet", {}),
}
SAMPLE = 100_000  # lines or examples that stand for a whole corpus
LONG_LINE = 1_000_000  # characters; longer lines are counted, and cut like any other
# What the readers of `datasets` raise, wrapped in the first where they read the whole, as it is where they stream.
UNREADABLE = (DatasetGenerationError, OSError, EOFError, ValueError, TypeError, zlib.error)
UNREADABLE += (RecursionError, StopIteration)  # of JSON: lists in lists, no value at all
NO_ROWS = ("corresponds to no data", "at least one example")  # and of a corpus with nothing in it

_UNUSABLE = re.compile("[\ufffd\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def load_lines(arguments: DataArguments, files: str | None, dataset_name: str | None) -> Dataset:
    """Cleaned, non-empty lines of text, as a dataset with the one column `text`."""
    source = files or dataset_name
    parts = read_parts(arguments, files, dataset_name)
    lines = concatenate_datasets([_text_of(part, arguments.text_column, source) for part in parts])
    cleaned = lines.map(
        clean,
        batched=True,
        num_proc=arguments.preprocessing_num_workers,
        features=Features({"text": Value("string"), "flaw": Value("int8")}),
        desc="Cleaning",
    )
    flaws = cleaned.with_format("numpy")["flaw"][:] if len(cleaned) else np.zeros(0, int)
    usable = cleaned.select(np.flatnonzero(flaws != EMPTY)).remove_columns("flaw")
    warn_of_flaws(source, count_flaws(flaws))
    if not len(usable):
        raise nothing_usable(source)
    return usable


def read_parts(
    arguments: DataArguments, files: str | None, dataset_name: str | None, streaming: bool = False
) -> list[Dataset] | list[IterableDataset]:
    """What `datasets` makes of a corpus, one part for each format: whole, or to be read as it is needed."""
    if (files is None) == (dataset_name is None):
        raise UserError("name one corpus: `train_file` (a file, folder, or glob) or `dataset_name` (a Hub id)")
    if files:
        return _read_files(files, streaming)
    return [_read_hub(dataset_name, arguments.dataset_config_name, streaming)]


def check_column(column: str, columns: list[str], source: str) -> None:
    """Refuse a corpus without the column that holds the text."""
    if column not in columns:
        raise UserError(f"{source} has no column `{column}`; set `text_column` to one of {columns}")


def check_whole(arguments: DataArguments, what: str) -> None:
    """Refuse `streaming` where the corpus has to be there as a whole. what: for which purpose, and the remedy."""
    if arguments.streaming:
        raise UserError(f"`streaming` reads a corpus as training goes on, which does not serve {what}")


def _text_of(lines: Dataset, column: str, source: str) -> Dataset:
    """The one column `text`, of one type, so that files of several formats make one corpus."""
    check_column(column, lines.column_names, source)
    lines = lines.select_columns(column)
    if column != "text":
        lines = lines.rename_column(column, "text")
    try:
        return lines.cast_column("text", Value("string"))
    except (*UNREADABLE, pa.ArrowException) as error:  # lists, objects
        raise UserError(f"{source}: `text_column` {column!r} holds no text: {one_line(error)}") from None


EMPTY, INVALID, CONTROL, LONG = 1, 2, 4, 8
FLAWS = {
    "empty lines dropped": EMPTY,
    "lines with invalid UTF-8 mended": INVALID,
    "lines with NUL or control characters mended": CONTROL,
    "lines of over a million characters cut": LONG,
}


def clean(batch: dict[str, list]) -> dict[str, list]:
    """Mend the column `text` of a batch; `flaw` says what was wrong with each, as bits of `FLAWS`."""
    texts, flaws = [], []
    for value in batch["text"]:
        raw = "" if value is None else str(value)
        text = _UNUSABLE.sub("", raw).strip()
        flaw = INVALID * ("\ufffd" in raw) + CONTROL * (len(_UNUSABLE.findall(raw)) > raw.count("\ufffd"))
        flaw += LONG * (len(text) > LONG_LINE)
        texts.append(text)
        flaws.append(flaw if text else EMPTY)
    return {"text": texts, "flaw": flaws}


def count_flaws(flaws: np.ndarray) -> Counter:
    """How many lines have each of the `FLAWS`."""
    return Counter({name: int((flaws & bit > 0).sum()) for name, bit in FLAWS.items()})


def warn_of_flaws(source: str, counts: Counter) -> None:
    """Say what was mended and dropped, if anything was."""
    if any(counts.values()):
        logger.warning("%s: %s", source, ", ".join(f"{n:,} {name}" for name, n in counts.items() if n))


def nothing_usable(source: str) -> UserError:
    """Of a corpus without text."""
    return UserError(f"{source} has no usable line of text; see `train_file`, `dataset_name`, and `text_column`")


def _read_files(pattern: str, streaming: bool) -> list[Dataset] | list[IterableDataset]:
    if os.path.isdir(pattern):
        files = sorted(str(file) for file in Path(pattern).rglob("*") if file.is_file() and _ending(file.name))
    else:  # a file may have a name that reads as a pattern
        files = [pattern] if os.path.isfile(pattern) else sorted(filter(os.path.isfile, _matching(pattern)))
    if not files:
        raise UserError(f"no corpus at {pattern!r}: give a {', '.join(FORMATS)} (or .gz) file, a folder, or a glob")
    groups: dict[str, list[str]] = {}
    for file in files:
        ending = _ending(file)
        if ending is None:
            raise UserError(f"{file}: a corpus file ends in {', '.join(FORMATS)}, or one of these and .gz")
        if Path(file).stat().st_size:
            groups.setdefault(ending, []).append(file)
    if not groups:
        raise UserError(f"{pattern!r} has no usable line of text: every file is empty")
    parts = []
    for ending, group in groups.items():
        builder, options = FORMATS[ending]
        try:
            parts.append(load_dataset(builder, data_files=group, split="train", streaming=streaming, **options))
        except UNREADABLE as error:
            raise unreadable(pattern, builder, error) from None
    return parts


def _matching(pattern: str) -> list[str]:
    try:
        return glob.glob(pattern, recursive=True)
    except (OSError, ValueError, re.error):  # a name that none can have
        return []


def unreadable(source: str, builder: str, error: Exception) -> UserError:
    """Of a corpus that a reader of `datasets` cannot read, with what it has to say."""
    reason = one_line(error.__cause__ or error)
    if any(sign in reason for sign in NO_ROWS):
        return nothing_usable(source)
    return UserError(f"corpus {source!r} cannot be read as {builder}: {reason}")


def _ending(name: str) -> str | None:
    bare = str(name).removesuffix(".gz")
    return next((ending for ending in FORMATS if bare.endswith(ending)), None)


def _read_hub(name: str, configuration: str | None, streaming: bool) -> Dataset | IterableDataset:
    try:
        return load_dataset(name, configuration, split="train", streaming=streaming)
    except Exception as error:  # the hub client raises many types; all mean that this id gave no data
        raise UserError(f"dataset_name {name!r} cannot be loaded: {one_line(error)}") from None


def hold_out(lines: Dataset, validation_lines: int) -> tuple[Dataset, Dataset]:
    """Set lines aside, a tenth of the corpus at most. The choice depends on no seed, so that runs compare."""
    size = min(validation_lines, len(lines) // 10)
    if size < 1:
        raise UserError(
            f"the corpus has {len(lines)} usable lines: too few to set some aside; "
            "give at least 10, or name a `validation_file`"
        )
    split = lines.train_test_split(test_size=size, seed=0)
    return split["train"], split["test"]


def spread(rows: Dataset, count: int) -> Dataset:
    """At most `count` rows, evenly spread."""
    return rows.select(range(0, len(rows), -(-len(rows) // count)))

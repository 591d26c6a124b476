"""Files and Hub data sets become cleaned lines of text."""

import glob
import logging
import os
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
from datasets import Dataset, Features, IterableDataset, Value, concatenate_datasets, load_dataset

from distillation.config.arguments import DataArguments
from distillation.config.errors import LocalError, UserError, one_line

logger = logging.getLogger(__name__)

# File endings and the builder of `datasets` that reads them. Bytes that are not UTF-8 become U+FFFD, then nothing.
FORMATS = {
    ".txt": ("text", {"encoding_errors": "replace"}),
    # "utf8" and not "utf-8": under the latter name the builder takes the bytes as they are, and reading them fails.
    ".jsonl": ("json", {"encoding": "utf8", "encoding_errors": "replace"}),
    ".csv": ("csv", {"encoding_errors": "replace", "keep_default_na": False}),
    ".parquet": ("parquet", {}),
}
COMPRESSED = (".gz", ".zst")
LONG_LINE = 1_000_000  # characters; longer lines are counted, and cut like any other
NO_ROWS = ("corresponds to no data", "at least one example")  # what `datasets` says of a corpus with nothing in it
EMPTY, INVALID, CONTROL, LONG = FLAWS = (
    "empty lines dropped",
    "lines with invalid UTF-8 mended",
    "lines with NUL or control characters mended",
    "lines of over a million characters cut",
)

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
        features=Features({"text": Value("string")} | {flaw: Value("bool") for flaw in FLAWS}),
        desc="Cleaning",
    )
    flaws = cleaned.select_columns(list(FLAWS)).with_format("numpy")[:]
    warn_of_flaws(source, count_flaws(flaws))
    usable = cleaned.select_columns("text").select(np.flatnonzero(~flaws[EMPTY]))
    if not len(usable):
        raise nothing_usable(source)
    return usable


def read_parts(
    arguments: DataArguments, files: str | None, dataset_name: str | None, streaming: bool = False
) -> list[Dataset] | list[IterableDataset]:
    """The data sets of a corpus, one for each file format; streaming: read when they are iterated."""
    if (files is None) == (dataset_name is None):
        raise UserError("name one corpus: `train_file` (a file, folder, or glob) or `dataset_name` (a Hub id)")
    if files is None:
        try:
            return [load_dataset(dataset_name, arguments.dataset_config_name, split="train", streaming=streaming)]
        except Exception as error:  # the hub client raises many types; all mean that this id gave no data
            raise UserError(f"dataset_name {dataset_name!r} cannot be loaded: {one_line(error)}") from None
    parts = []
    for ending, group in _files_by_format(files).items():
        builder, options = FORMATS[ending]
        with readable(files, builder):
            parts.append(load_dataset(builder, data_files=group, split="train", streaming=streaming, **options))
    return parts


@contextmanager
def readable(source: str, builder: str) -> Iterator[None]:
    """Whatever a reader of `datasets` raises becomes a UserError that names the corpus."""
    try:
        yield
    except Exception as error:
        reason = one_line(error.__cause__ or error)
        if any(sign in reason for sign in NO_ROWS):
            raise nothing_usable(source) from None
        raise LocalError(f"corpus {source!r} cannot be read as {builder}: {reason}") from None


def check_column(column: str, columns: list[str], source: str) -> None:
    """Refuse a corpus without the column that holds the text."""
    if column not in columns:
        raise UserError(f"{source} has no column `{column}`; set `text_column` to one of {columns}")


def refuse_streaming(arguments: DataArguments, what: str) -> None:
    """Raise UserError if the key `streaming` is set. what: the purpose that needs all lines, and the remedy."""
    if arguments.streaming:
        raise UserError(f"`streaming` reads a corpus as training goes on, which does not serve {what}")


def clean(batch: dict[str, list]) -> dict[str, list | np.ndarray]:
    """Mend the column `text` of a batch; a column for each of the `FLAWS` says which lines had it."""
    texts, flaws = [], {flaw: np.zeros(len(batch["text"]), bool) for flaw in FLAWS}
    for row, value in enumerate(batch["text"]):
        raw = "" if value is None else str(value)
        unusable = _UNUSABLE.findall(raw)
        text = (_UNUSABLE.sub("", raw) if unusable else raw).strip()
        texts.append(text)
        if text:
            flaws[INVALID][row] = "\ufffd" in unusable
            flaws[CONTROL][row] = any(character != "\ufffd" for character in unusable)
            flaws[LONG][row] = len(text) > LONG_LINE
        else:
            flaws[EMPTY][row] = True
    return {"text": texts, **flaws}


def count_flaws(columns: dict[str, np.ndarray]) -> Counter:
    """How many lines have each of the `FLAWS`."""
    return Counter({flaw: int(columns[flaw].sum()) for flaw in FLAWS})


def warn_of_flaws(source: str, counts: Counter) -> None:
    """Log what was mended and dropped, if anything was."""
    if any(counts.values()):
        logger.warning("%s: %s", source, ", ".join(f"{n:,} {name}" for name, n in counts.items() if n))


def nothing_usable(source: str) -> UserError:
    """The error of a corpus without text."""
    return LocalError(f"{source} has no usable line of text; see `train_file`, `dataset_name`, and `text_column`")


def _text_of(lines: Dataset, column: str, source: str) -> Dataset:
    """The one column `text`, of one type, so that files of several formats make one corpus."""
    check_column(column, lines.column_names, source)
    lines = lines.select_columns(column)
    if column != "text":
        lines = lines.rename_column(column, "text")
    try:
        return lines.cast_column("text", Value("string"))
    except (ValueError, TypeError, pa.ArrowException) as error:  # lists, objects
        raise UserError(f"{source}: `text_column` {column!r} holds no text: {one_line(error)}") from None


def _files_by_format(pattern: str) -> dict[str, list[str]]:
    """The files of a path or glob that are not empty, by their endings in `FORMATS`."""
    if os.path.isdir(pattern):
        files = sorted(str(file) for file in Path(pattern).rglob("*") if file.is_file() and _ending(file.name))
    else:  # a file may have a name that reads as a pattern
        files = [pattern] if os.path.isfile(pattern) else sorted(filter(os.path.isfile, _matching(pattern)))
    endings = f"{', '.join(FORMATS)}, or one of these and {' or '.join(COMPRESSED)}"
    if not files:
        raise UserError(f"no corpus at {pattern!r}: give a file, a folder, or a glob of files that end in {endings}")
    groups: dict[str, list[str]] = {}
    for file in files:
        ending = _ending(file)
        if ending is None:
            raise UserError(f"{file}: a corpus file ends in {endings}")
        if os.path.getsize(file):
            groups.setdefault(ending, []).append(file)
    if not groups:
        raise UserError(f"{pattern!r} has no usable line of text: every file is empty")
    return groups


def _matching(pattern: str) -> list[str]:
    try:
        return glob.glob(pattern, recursive=True)
    except (OSError, ValueError, re.error):  # a name that none can have
        return []


def _ending(name: str) -> str | None:
    bare = name.removesuffix(next(filter(name.endswith, COMPRESSED), ""))
    return next(filter(bare.endswith, FORMATS), None)

"""Files and Hub data sets become cleaned lines of text, in one data set or block by block."""

import glob
import logging
import os
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset, Features, IterableDataset, List, Value, concatenate_datasets, load_dataset

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
BLOCK = 10_000  # lines of a stream that are shuffled together
LONG_LINE = 1_000_000  # characters; longer lines are counted, and cut like any other
NO_ROWS = ("corresponds to no data", "at least one example")  # messages of `datasets` for a corpus without rows
EMPTY = "empty lines dropped"
INVALID = "lines with invalid UTF-8 mended"
CONTROL = "lines with NUL or control characters mended"
LONG = "lines of over a million characters cut"

_UNUSABLE = re.compile("[\ufffd\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def load_lines(arguments: DataArguments, files: str | None, dataset_name: str | None) -> Dataset:
    """Cleaned, non-empty lines of text, as a dataset with the one column `text`."""
    source = files or dataset_name
    parts = read_parts(arguments, files, dataset_name)
    lines = concatenate_datasets([_select_text(part, arguments.text_column, source) for part in parts])
    features = Features({"text": Value("string"), "flaws": List(Value("string"))})
    processes = arguments.preprocessing_num_workers
    cleaned = lines.map(clean, batched=True, num_proc=processes, features=features, desc="Cleaning")
    flaws = pc.list_flatten(cleaned.data.column("flaws")).to_pylist()
    warn_of_flaws(source, Counter({EMPTY: len(lines) - len(cleaned)}) + Counter(flaws))
    if not len(cleaned):
        raise nothing_usable(source)
    return cleaned.select_columns("text")


def read_parts(
    arguments: DataArguments, files: str | None, dataset_name: str | None, streaming: bool = False
) -> list[Dataset] | list[IterableDataset]:
    """The data sets of a corpus, one for each file format. streaming: they are read when they are iterated."""
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
    """Turn any error of a reader of `datasets` into a UserError that names the corpus."""
    try:
        yield
    except Exception as error:
        reason = one_line(error.__cause__ or error)
        if any(sign in reason for sign in NO_ROWS):
            raise nothing_usable(source) from None
        raise LocalError(f"corpus {source!r} cannot be read as {builder}: {reason}") from None


def refuse_streaming(arguments: DataArguments, what: str) -> None:
    """Raise UserError if the key `streaming` is set. what: the purpose that needs all lines, and the remedy."""
    if arguments.streaming:
        raise UserError(f"`streaming` reads a corpus as training goes on, which does not serve {what}")


def clean(batch: dict[str, list]) -> dict[str, list]:
    """Mend the column `text` and drop its empty lines; the column `flaws` lists what was mended in each line."""
    texts, flaws = [], []
    for value in batch["text"]:
        raw = "" if value is None else str(value)
        unusable = set(_UNUSABLE.findall(raw))
        if text := _UNUSABLE.sub("", raw).strip():
            found = {INVALID: "\ufffd" in unusable, CONTROL: unusable - {"\ufffd"}, LONG: len(text) > LONG_LINE}
            texts.append(text)
            flaws.append([flaw for flaw, is_there in found.items() if is_there])
    return {"text": texts, "flaws": flaws}


def clean_lines(values: list[Any]) -> tuple[list[str], Counter]:
    """The usable lines among some, and how many lines have each flaw."""
    cleaned = clean({"text": values})
    empty = len(values) - len(cleaned["text"])
    return cleaned["text"], Counter({EMPTY: empty}) + Counter(chain.from_iterable(cleaned["flaws"]))


def warn_of_flaws(source: str, counts: Counter) -> None:
    """Log how many lines were mended and dropped, if any were."""
    if counts:
        logger.warning("%s: %s", source, ", ".join(f"{n:,} {flaw}" for flaw, n in counts.items()))


def nothing_usable(source: str) -> UserError:
    """The error of a corpus without text."""
    return LocalError(f"{source} has no usable line of text; see `train_file`, `dataset_name`, and `text_column`")


class Source:
    """The raw lines of a corpus by file and block, read from the disk each time."""

    def __init__(self, arguments: DataArguments, block: int = BLOCK):
        """block: lines of a block. Raises UserError for an unreadable corpus, or one without the column of texts."""
        self.name = arguments.train_file or arguments.dataset_name
        self.column = arguments.text_column
        self.block = block
        for part in (parts := read_parts(arguments, arguments.train_file, arguments.dataset_name, streaming=True)):
            with readable(self.name, part.info.builder_name):
                row = next(iter(part), {self.column: None})
            _check_column(self.column, list(row), self.name)
        self.files = [(part, index) for part in parts for index in range(part.num_shards)]

    def __len__(self) -> int:
        return len(self.files)

    def blocks(self, file: int) -> Iterator[pa.ChunkedArray]:
        """The lines of a file, `block` at a time."""
        part, index = self.files[file]
        with readable(self.name, part.info.builder_name):
            lines = part.shard(part.num_shards, index).select_columns(self.column).with_format("arrow")
            for table in lines.iter(self.block):
                yield table[self.column].cast(pa.string())


def first_lines(source: Source, count: int) -> list[str]:
    """The first usable lines: at least `count`, or all there are. Raises UserError if there is none."""
    lines, flaws = [], Counter()
    for block in chain.from_iterable(map(source.blocks, range(len(source)))):
        usable, found = clean_lines(block.to_pylist())
        lines, flaws = lines + usable, flaws + found
        if len(lines) >= count:
            break
    if not lines:
        raise nothing_usable(source.name)
    warn_of_flaws(f"the first lines of {source.name}", flaws)
    return lines


def _check_column(column: str, columns: list[str], source: str) -> None:
    if column not in columns:
        raise UserError(f"{source} has no column `{column}`; set `text_column` to one of {columns}")


def _select_text(lines: Dataset, column: str, source: str) -> Dataset:
    """The one column `text`, of one type, so that files of several formats make one corpus."""
    _check_column(column, lines.column_names, source)
    try:
        return lines.select_columns(column).rename_columns({column: "text"}).cast_column("text", Value("string"))
    except (ValueError, TypeError, pa.ArrowException) as error:  # lists, objects
        raise UserError(f"{source}: `text_column` {column!r} holds no text: {one_line(error)}") from None


def _files_by_format(pattern: str) -> dict[str, list[str]]:
    """The files of a path or glob that are not empty, by their endings in `FORMATS`."""
    endings = f"{', '.join(FORMATS)}, or one of these and {' or '.join(COMPRESSED)}"
    if os.path.isdir(pattern):
        files = [str(file) for file in Path(pattern).rglob("*") if file.is_file() and _ending(file.name)]
    else:  # the name of a file may read as a glob
        files = [pattern] if os.path.isfile(pattern) else filter(os.path.isfile, glob.glob(pattern, recursive=True))
    groups: dict[str | None, list[str]] = {}
    for file in sorted(files):
        groups.setdefault(_ending(file), []).append(file)
    if not groups:
        raise UserError(f"no corpus at {pattern!r}: give a file, a folder, or a glob of files that end in {endings}")
    if None in groups:
        raise UserError(f"{groups[None][0]}: a corpus file ends in {endings}")
    groups = {ending: [file for file in group if os.path.getsize(file)] for ending, group in groups.items()}
    if not any(groups.values()):
        raise UserError(f"{pattern!r} has no usable line of text: every file is empty")
    return {ending: group for ending, group in groups.items() if group}


def _ending(name: str) -> str | None:
    bare = name.removesuffix(next(filter(name.endswith, COMPRESSED), ""))
    return next(filter(bare.endswith, FORMATS), None)

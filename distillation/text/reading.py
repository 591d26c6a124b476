"""Files and Hub data sets become cleaned lines of text, in one data set or block by block."""

import errno
import itertools
import logging
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.compute as pc
import regex
from datasets import Dataset, Features, IterableDataset, List, Value, load_dataset
from datasets.fingerprint import Hasher

from distillation.config.corpus import CorpusArguments, DataArguments
from distillation.config.errors import NOT_WRITTEN, LocalError, UserError, one_line
from distillation.text.files import (
    MOST_DAMAGED,
    check_column,
    check_file,
    corpus_files,
    digest,
    explain_read_errors,
    read_rows,
    text_of,
    texts_of,
)

logger = logging.getLogger(__name__)

FORMAT = 5  # of cleaned lines; raise it to make cached ones stale
BLOCK = 10_000  # lines of a stream that are shuffled together
TOGETHER = 1000  # lines that are cleaned together
LONG_LINE = 1_000_000  # characters; longer lines are counted, and cut like any other
EMPTY = "empty lines dropped"
UNREADABLE = "lines dropped that cannot be read"
INVALID = "lines with invalid UTF-8 mended"
CONTROL = "lines with NUL or control characters mended"
DECOMPOSED = "lines with decomposed letters composed (NFC)"
LONG = "lines of over a million characters cut"

_UNUSABLE = re.compile("[\ufffd\x00-\x08\x0e-\x1b\x7f]")
_VISIBLE = regex.compile(r"[^\s\p{C}]")  # WordPiece makes no token of others, such as soft hyphens
_SPACES = re.compile("[\x0b\x0c\x1c-\x1f\x85]")  # white space that BERT's normaliser would take away
_BLOCKS = Features({"text": List(Value("string")), "flaws": List(Value("string"))})


def load_lines(arguments: CorpusArguments, files: str | None, dataset_name: str | None) -> Dataset:
    """Cleaned, non-empty lines of text, as a dataset with the one column `text`.

    They are cached by the content of the files, not by paths and times.
    """
    _check_named_once(files, dataset_name)
    source, column = files or dataset_name, arguments.text_column
    if files is not None:
        names = corpus_files(files)
        for name in names:
            check_file(name, column)
        made_of = (FORMAT, column, [digest(name) for name in names])
        blocks = _cached(names, column, Hasher.hash(made_of))
    else:
        lines = _load_hub(arguments, dataset_name)
        check_column(column, lines.column_names, source)
        blocks = lines.map(
            _batch_block,
            fn_kwargs={"column": column},
            batched=True,
            batch_size=TOGETHER,
            num_proc=arguments.preprocessing_num_workers,
            remove_columns=lines.column_names,
            features=_BLOCKS,
            new_fingerprint=Hasher.hash((FORMAT, column, lines._fingerprint)),
            desc="Cleaning",
        )
    features = Features({"text": Value("string")})
    lines = blocks.map(_lines_of, batched=True, batch_size=10, remove_columns=["flaws"], features=features)
    counts = pc.value_counts(pc.list_flatten(blocks.data.column("flaws"))).to_pylist()
    flaws = Counter({one["values"]: one["counts"] for one in counts})
    check_usable(source, flaws, len(lines))
    return lines


def _check_named_once(files: str | None, dataset_name: str | None) -> None:
    if (files is None) == (dataset_name is None):
        raise UserError("name one corpus: `train_file` (a file, folder, or glob) or `dataset_name` (a Hub id)")
    # `datasets` would cache it by path and time, which another corpus at the same place may share.
    if dataset_name is not None and os.path.exists(dataset_name):
        raise UserError(
            f"`dataset_name` {dataset_name!r} is a path, no Hub id: name the files of its training part in "
            "`train_file`"
        )


def _load_hub(arguments: CorpusArguments, name: str, streaming: bool = False) -> Dataset | IterableDataset:
    try:
        return load_dataset(name, arguments.dataset_config_name, split="train", streaming=streaming)
    except Exception as error:  # the hub client raises many types; all mean that this id gave no data
        _check_cache(error)
        raise UserError(f"`dataset_name` {name!r} cannot be loaded: {one_line(error)}") from None


def _cached(names: list[str], column: str, fingerprint: str) -> Dataset:
    """The cleaned blocks of files."""
    try:
        made = {"files": names, "column": column}
        # A block is written at once: a thousand of them would fill memory, and be more than Arrow takes in a column.
        return Dataset.from_generator(
            _clean_blocks, _BLOCKS, gen_kwargs=made, fingerprint=fingerprint, writer_batch_size=1
        )
    except Exception as error:
        for cause in (error, error.__cause__):
            if isinstance(cause, UserError):
                raise cause from None
        _check_cache(error)
        raise


def _clean_blocks(files: list[str], column: str) -> Iterator[dict[str, list[str]]]:
    for file in files:
        rows = read_rows(file, column)
        while block := list(itertools.islice(rows, TOGETHER)):
            yield _block(texts_of(file, block, column))
        yield _block([])  # `datasets` needs a row


def _block(values: list[Any]) -> dict[str, list[str]]:
    lines, flaws = clean_lines(values)
    return {"text": lines, "flaws": list(flaws.elements())}


def _batch_block(batch: dict[str, list], column: str) -> dict[str, list[list[str]]]:
    return {name: [values] for name, values in _block(list(map(text_of, batch[column]))).items()}


def _lines_of(blocks: dict[str, list[list[str]]]) -> dict[str, list[str]]:
    return {"text": list(itertools.chain.from_iterable(blocks["text"]))}


def _check_cache(error: Exception) -> None:
    """Raise LocalError for an error of writing to the cache."""
    for cause in (error, error.__cause__, error.__context__):
        if isinstance(cause, OSError) and cause.errno in NOT_WRITTEN | {errno.ENOTDIR}:
            raise LocalError(
                f"the cache of `datasets` in {datasets.config.HF_DATASETS_CACHE} cannot be written "
                f"({cause.strerror}): set HF_HOME in the environment to a folder with room"
            ) from None


def clean_lines(values: Iterable[Any]) -> tuple[list[str], Counter]:
    """The usable lines, mended, and how many lines have each flaw."""
    lines, flaws = [], Counter()
    for value in values:
        raw = "" if value is None else _SPACES.sub(" ", str(value))
        kept, unusable = _UNUSABLE.subn("", raw)
        composed = unicodedata.normalize("NFC", kept)
        text = composed.lstrip("\ufeff").strip()  # joined files have byte order marks inside
        if unusable and unusable >= len(text):
            flaws[UNREADABLE] += 1
        elif not _VISIBLE.search(text):
            flaws[EMPTY] += 1
        else:
            lines.append(text)
            invalid = raw.count("\ufffd")
            found = {INVALID: invalid, CONTROL: unusable > invalid, DECOMPOSED: composed != kept}
            found[LONG] = len(text) > LONG_LINE
            flaws.update(flaw for flaw, is_there in found.items() if is_there)
    return lines, flaws


def warn_of_flaws(source: str, flaws: Counter) -> None:
    """Log how many lines were mended and dropped, if any were."""
    if flaws:
        logger.warning("%s: %s", source, ", ".join(f"{n:,} {flaw}" for flaw, n in flaws.items()))


def check_usable(source: str, flaws: Counter, lines: int) -> None:
    """Warn of flaws. Raises UserError where no line is left, or too many are lost. lines: how many are left."""
    warn_of_flaws(source, flaws)
    if not lines:
        raise nothing_usable(source)
    share = flaws[UNREADABLE] / (flaws[UNREADABLE] + lines)
    if share > MOST_DAMAGED:
        raise LocalError(
            f"corpus {source!r}: {share:.0%} of the lines cannot be read: are they damaged, in another encoding than "
            "UTF-8, or no texts in the column `text_column`?"
        )


def nothing_usable(source: str) -> UserError:
    """The error for a corpus without text."""
    return LocalError(f"{source} has no usable line of text: name another corpus, or another `text_column`")


class Source:
    """The raw lines of a corpus by file and block, read from the disk each time."""

    def __init__(self, arguments: DataArguments, block: int = BLOCK):
        """block: lines of a block. Raises UserError for an unreadable corpus, or one without the column of texts."""
        _check_named_once(arguments.train_file, arguments.dataset_name)
        self.name = arguments.train_file or arguments.dataset_name
        self.column = arguments.text_column
        self.block = block
        self.hub = None
        if arguments.train_file is None:
            self.hub = _load_hub(arguments, self.name, streaming=True)
            with explain_read_errors(self.name):
                check_column(self.column, list(next(iter(self.hub), {self.column: None})), self.name)
            self.files = [f"{self.name} {index}" for index in range(self.hub.num_shards)]
        else:
            self.files = corpus_files(self.name)
            for file in self.files:
                check_file(file, self.column)

    def __len__(self) -> int:
        return len(self.files)

    def blocks(self, file: int) -> Iterator[Sequence[Any]]:
        """The rows of a file, `block` at a time, still raw: most workers skip most of them."""
        if self.hub is None:
            rows = read_rows(self.files[file], self.column)
            while block := list(itertools.islice(rows, self.block)):
                yield block
        else:
            with explain_read_errors(self.name):
                lines = self.hub.shard(self.hub.num_shards, file).select_columns(self.column).with_format("arrow")
                for table in lines.iter(self.block):
                    yield table[self.column].cast(pa.string())

    def texts(self, file: int, rows: Sequence[Any]) -> list[str | None]:
        """The texts of rows that `blocks` gave."""
        return rows.to_pylist() if self.hub is not None else texts_of(self.files[file], rows, self.column)


def first_lines(source: Source, count: int) -> list[str]:
    """The first usable lines: at least `count`, or all there are. Raises UserError if there is none."""
    lines, flaws = [], Counter()
    for file, rows in ((number, rows) for number in range(len(source)) for rows in source.blocks(number)):
        usable, found = clean_lines(source.texts(file, rows))
        lines += usable
        flaws += found
        if len(lines) >= count:
            break
    check_usable(f"the first lines of {source.name}", flaws, len(lines))
    return lines

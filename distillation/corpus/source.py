"""The raw lines of a corpus too large to hold, in blocks; and what is known of it from its first lines."""

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from distillation.config.arguments import DataArguments
from distillation.config.errors import LocalError
from distillation.text.reading import (
    EMPTY,
    UNREADABLE,
    check_column,
    clean,
    count_flaws,
    nothing_usable,
    read_parts,
    unreadable,
    warn_of_flaws,
)

BLOCK = 10_000  # lines that are shuffled together: what a shard holds in memory
EXAMINED = 20_000  # lines at the start that stand for the corpus where it is judged


class Source:
    """The raw lines of a corpus by file and block, read anew whenever they are asked for."""

    def __init__(self, arguments: DataArguments, block: int = BLOCK):
        """block: lines of a block.

        Raises UserError for a missing or unreadable file, or one without the column that holds the text.
        """
        self.name = arguments.train_file or arguments.dataset_name
        self.column = arguments.text_column
        self.block = block
        parts = read_parts(arguments, arguments.train_file, arguments.dataset_name, streaming=True)
        for part in parts:
            with_row = _readable(iter(part), self.name, part.info.builder_name)
            check_column(self.column, list(next(with_row, {self.column: None})), self.name)
        self._files = [(part, index) for part in parts for index in range(part.num_shards)]

    def __len__(self) -> int:
        return len(self._files)

    def blocks(self, file: int) -> Iterator[pa.ChunkedArray]:
        """The lines of a file, `block` at a time."""
        part, index = self._files[file]
        lines = part.shard(part.num_shards, index).select_columns(self.column).with_format("arrow")
        texts = (table[self.column].cast(pa.string()) for table in lines.iter(self.block))
        yield from _readable(texts, self.name, part.info.builder_name)


def _readable(rows: Iterator, source: str, builder: str) -> Iterator:
    """The same rows; what a reader raises becomes a UserError."""
    try:
        yield from rows
    except (*UNREADABLE, KeyError, pa.ArrowException) as error:  # KeyError: a later file has other columns
        raise LocalError(str(unreadable(source, builder, error))) from None


def usable(texts: list[str | None]) -> tuple[list[str], np.ndarray, Counter]:
    """Cleaned lines without the empty ones, where they were among the given ones, and how many had which flaw."""
    cleaned = clean({"text": texts})
    flaws = np.array(cleaned["flaw"], dtype=int)
    kept = np.flatnonzero(flaws != EMPTY)
    return [cleaned["text"][index] for index in kept], kept, count_flaws(flaws)


def is_held_out(file: int, lines: np.ndarray, aside: int) -> np.ndarray:
    """Which lines of a file are for evaluation: every tenth of the first `aside` of the first file."""
    return (file == 0) & (lines < aside) & (lines % 10 == 9)


def first_lines(source: Source, aside: int) -> tuple[list[str], list[str]]:
    """The first usable lines to train on, `EXAMINED` or all there are, and all that are held out.

    Raises UserError for a corpus without a usable line.
    """
    first, held_out, flaws = [], [], Counter()
    blocks = ((file, *block) for file in range(len(source)) for block in enumerate(source.blocks(file)))
    for file, block, lines in blocks:
        texts, indices, found = usable(lines.to_pylist())
        flaws += found
        apart = is_held_out(file, indices + block * source.block, aside)
        for text, is_apart in zip(texts, apart, strict=True):
            (held_out if is_apart else first).append(text)
        if len(first) >= EXAMINED and (file or (block + 1) * source.block >= aside):
            break
    if not first:
        raise nothing_usable(source.name)
    warn_of_flaws(f"the first lines of {source.name}", flaws)
    return first[:EXAMINED], held_out

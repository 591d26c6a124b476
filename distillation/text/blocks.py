"""The raw lines of a corpus too large to hold, read block by block."""

from collections import Counter
from collections.abc import Iterator

import pyarrow as pa

from distillation.config.arguments import DataArguments
from distillation.text.reading import (
    check_column,
    clean,
    count_flaws,
    nothing_usable,
    read_parts,
    readable,
    warn_of_flaws,
)

BLOCK = 10_000  # lines that are shuffled together


class Source:
    """The raw lines of a corpus by file and block, read anew whenever they are asked for."""

    def __init__(self, arguments: DataArguments, block: int = BLOCK):
        """block: lines of a block. Raises UserError for an unreadable corpus, or one without the column of texts."""
        self.name = arguments.train_file or arguments.dataset_name
        self.column = arguments.text_column
        self.block = block
        parts = read_parts(arguments, arguments.train_file, arguments.dataset_name, streaming=True)
        for part in parts:
            with readable(self.name, part.info.builder_name):
                row = next(iter(part), {self.column: None})
            check_column(self.column, list(row), self.name)
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
    """The first usable lines, at least `count` or all there are. Raises UserError where there is none."""
    lines, flaws = [], Counter()
    for block in (block for file in range(len(source)) for block in source.blocks(file)):
        cleaned = clean({"text": block.to_pylist()})
        lines += filter(None, cleaned["text"])
        flaws += count_flaws(cleaned)
        if len(lines) >= count:
            break
    if not lines:
        raise nothing_usable(source.name)
    warn_of_flaws(f"the first lines of {source.name}", flaws)
    return lines

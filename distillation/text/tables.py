"""The columns and rows of CSV and TSV files, as programs and spreadsheets write them."""

import csv
import io
import itertools
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from distillation.config.errors import UserError

csv.field_size_limit(2**31 - 1)  # a text may be a book


class Csv(NamedTuple):
    """A CSV file that is open. rows: the cells of each, and why it cannot be read, if so; blank lines are none."""

    columns: list[str]
    rows: Iterator[tuple[list[str], str]]
    delimiter: str


def read_csv(file: str, lines: io.TextIOWrapper, delimiters: str) -> Csv:
    """file: what messages call it; delimiters: of those that the header has equally often, the first is meant."""
    head = [lines.readline()]
    if declared := re.fullmatch(r'"?sep=(.)"?\s*', head[0]):  # Excel's own line, which names the delimiter
        head, delimiters = ["\n", lines.readline()], declared[1]
    names = re.sub('"[^"]*"', "", head[-1])  # a quoted one may hold any of them
    delimiter = max(delimiters, key=names.count)
    reader = csv.reader(itertools.chain(head, lines), delimiter=delimiter, strict=True)
    columns = next(filter(None, reader), [])
    while columns.count("") > 1 and not columns[-1]:  # Excel writes cells that were used once
        columns.pop()
    return Csv(columns, _rows(file, reader, len(columns)), delimiter)


def _rows(file: str, reader: Any, width: int) -> Iterator[tuple[list[str], str]]:
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "unexpected end" in str(error):  # the quote has taken the rest of the file
                raise UserError(f"{file}:{line}: a quote opens here and never closes: close or double it") from None
            yield [], f"no CSV ({error})"
            continue
        while len(cells) > width and not cells[-1]:
            cells.pop()
        if cells:
            yield cells, f"{len(cells)} cells of {width}" if len(cells) != width else ""

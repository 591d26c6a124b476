"""Tables of any length, row by row: CSV, TSV, JSON Lines, Parquet, or a text a line; packed or not, or from `-`."""

import codecs
import io
import itertools
import json
import logging
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from distillation.config.corpus import COMPRESSED
from distillation.config.errors import UserError
from distillation.text.files import (
    FORMATS,
    TABLES,
    encoding_of,
    explain_read_errors,
    format_of,
    open_csv,
    opened,
    parquet,
    telling_bytes,
)
from distillation.text.tables import Csv

STDIN = "-"
MARK = "\ufeff"  # of byte order
HEAD_ROWS = 1000  # JSON Lines whose keys are the columns

logger = logging.getLogger(__name__)


class Row(NamedTuple):
    """The cells by column, and why it cannot be read, if so."""

    cells: dict[str, Any]
    problem: str = ""


@dataclass(frozen=True)
class Table:
    """Columns and rows, which can be read once. A CSV file made of it should have its `delimiter`, and, where it came
    from Excel, the `mark` at its start without which Excel reads no UTF-8."""

    columns: list[str]
    rows: Iterator[Row]
    delimiter: str = ","
    mark: str = ""


def open_table(source: str) -> Table:
    """Open a file, or standard input: JSON Lines if its first line is an object, else a text a line, in column `text`.

    Blank lines are no rows, except of texts. Raises UserError for what cannot be read, at once or at the row.
    """
    with explain_read_errors(source):
        table = _standard_input() if source == STDIN else _file(source)
    return replace(table, rows=_guarded(source, table.rows))


def _guarded(source: str, rows: Iterable[Row]) -> Iterator[Row]:
    with explain_read_errors(source):
        yield from rows


def _file(file: str) -> Table:
    kind = format_of(file)
    if kind is None:
        packings = " or ".join(COMPRESSED)
        endings = f"{', '.join(FORMATS)}, perhaps with {packings}"
        raise UserError(f"{file}: name a file that ends in {endings}; save a spreadsheet as `CSV UTF-8`")
    if kind == ".parquet":
        content = parquet(file)
        rows = (Row(cells) for batch in content.iter_batches(HEAD_ROWS) for cells in batch.to_pylist())
        return Table(content.schema_arrow.names, rows)
    head = telling_bytes(file)
    encoding = encoding_of(file, head)
    if not encoding and (damaged := codecs.getincrementaldecoder("utf-8")("replace").decode(head).count("\ufffd")):
        logger.warning("%s: %d characters are no UTF-8 and become U+FFFD: save it as UTF-8", file, damaged)
    mark = MARK * (bool(encoding) or head.startswith(codecs.BOM_UTF8))
    if kind in TABLES:
        return _csv(file, open_csv(file, encoding), mark)
    return replace((_json_lines if kind == ".jsonl" else _texts)(opened(file, "\n", encoding)), mark=mark)


def _standard_input() -> Table:
    if sys.stdin is None:
        raise UserError("`input` is -, and standard input is closed: pipe texts into it")
    lines = io.TextIOWrapper(sys.stdin.buffer, "utf-8-sig", "replace", "\n")
    first = lines.readline()
    is_json = first.lstrip().startswith("{") and not _json(first).problem
    return (_json_lines if is_json else _texts)(itertools.chain([first] * bool(first), lines))


def _texts(lines: Iterable[str]) -> Table:
    return Table(["text"], (Row({"text": line.rstrip("\r\n")}) for line in lines))


def _json_lines(lines: Iterable[str]) -> Table:
    rows = (_json(line) for line in lines if line.strip())
    first = list(itertools.islice(rows, HEAD_ROWS))
    return Table(list(dict.fromkeys(key for row in first for key in row.cells)), itertools.chain(first, rows))


def _json(line: str) -> Row:
    try:
        cells = json.loads(line, strict=False)  # control characters do no harm
    except (ValueError, RecursionError) as error:
        return Row({}, f"no JSON ({error})")
    return Row(cells) if isinstance(cells, dict) else Row({}, f"a {type(cells).__name__}, no object")


def _csv(file: str, table: Csv, mark: str) -> Table:
    columns = table.columns
    if repeated := {name for name in columns if columns.count(name) > 1}:
        raise UserError(f"{file}: two columns have the name {min(repeated)!r}: rename one")
    last = len(columns) - 1  # the column that takes what a row has too much

    def row(cells: list[str], problem: str) -> Row:
        cells = cells[:last] + [table.delimiter.join(cells[last:])] * (len(cells) > last)
        return Row(dict(zip(columns, cells, strict=False)), problem)

    return Table(columns, itertools.starmap(row, table.rows), ";" if table.delimiter == ";" else ",", mark)

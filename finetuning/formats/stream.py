"""Tables of any length, row by row: CSV, TSV, JSON Lines, Parquet, or a text a line; packed or not, or from `-`."""

import codecs
import csv
import io
import itertools
import json
import logging
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from distillation.config.arguments import COMPRESSED
from distillation.config.errors import UserError
from distillation.text.files import (
    HEAD,
    check_encoding,
    explain_read_errors,
    opened,
    packing,
    parquet,
    unpacked,
)

STDIN = "-"
FORMATS = (".csv", ".tsv", ".jsonl", ".parquet", ".txt")
HEAD_ROWS = 1000  # JSON Lines whose keys are the columns

logger = logging.getLogger(__name__)


class Row(NamedTuple):
    """The cells by column, and why it cannot be read, if so."""

    cells: dict[str, Any]
    problem: str = ""


@dataclass(frozen=True)
class Table:
    """Columns and rows, which can be read once; delimiter: what a CSV file made of it should have."""

    columns: list[str]
    rows: Iterator[Row]
    delimiter: str = ","


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
    bare = file.lower().removesuffix(packing(file) or "")
    kind = next(filter(bare.endswith, FORMATS), None)
    if kind is None:
        packings = " or ".join(COMPRESSED)
        endings = f"{', '.join(FORMATS)}, perhaps with {packings}"
        raise UserError(f"{file}: name a file that ends in {endings}; save a spreadsheet as `CSV UTF-8`")
    if kind == ".parquet":
        content = parquet(file)
        rows = (Row(cells) for batch in content.iter_batches(HEAD_ROWS) for cells in batch.to_pylist())
        return Table(content.schema_arrow.names, rows)
    head = telling_bytes(file)
    encoding = encoding_of_excel(head)
    if encoding is None:
        check_encoding(file, head)
        if damaged := codecs.getincrementaldecoder("utf-8")("replace").decode(head).count("\ufffd"):
            logger.warning("%s: %d characters are no UTF-8 and become U+FFFD: save it as UTF-8", file, damaged)
    if kind in (".csv", ".tsv"):
        # Excel writes semicolons where the comma is for decimals. One column has none, and its texts have commas.
        delimiters = "\t,;" if kind == ".tsv" else ",;\t"
        return _csv(file, opened(file, "", encoding or "utf-8-sig"), delimiters)
    return (_json_lines if kind == ".jsonl" else _texts)(opened(file, "\n", encoding or "utf-8-sig"))


def telling_bytes(file: str) -> bytes:
    """The first part of a file that is not ASCII, which tells its encoding, and what stands around it."""
    with unpacked(file) as content:
        before, head = b"", content.read(HEAD)
        while head and head.isascii() and b"\0" not in head:  # UTF-16 is full of NUL
            before, head = head, content.read(HEAD)
        return before + head + content.read(HEAD)


def encoding_of_excel(head: bytes) -> str | None:
    """UTF-16 with its mark, or CP1251, in which Excel writes Russian; None for another encoding."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    text = head.decode("cp1251", "replace")  # of another encoding it would have few small letters, or йtй for été
    letters = re.findall("(?<![A-Za-z])[а-яё](?![A-Za-z])", text)
    return "cp1251" if 2 * len(letters) > len(re.findall("[^\0-\x7f]", text)) else None


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


def _csv(file: str, lines: io.TextIOWrapper, delimiters: str) -> Table:
    head = [lines.readline()]
    if told := re.fullmatch(r'"?sep=(.)"?\s*', head[0]):  # Excel's own line, which names the delimiter
        head, delimiters = ["\n", lines.readline()], told[1]
    names = re.sub('"[^"]*"', "", head[-1])  # a quoted one may hold any of them
    delimiter = max(delimiters, key=names.count)  # of equal ones the first
    reader = csv.reader(itertools.chain(head, lines), delimiter=delimiter, strict=True)
    columns = next(filter(None, reader), [])
    while columns.count("") > 1 and not columns[-1]:  # Excel writes cells that were used once
        columns.pop()
    if repeated := {name for name in columns if columns.count(name) > 1}:
        raise UserError(f"{file}: two columns have the name {min(repeated)!r}: rename one")
    return Table(columns, _csv_rows(file, reader, columns), ";" if delimiter == ";" else ",")


def _csv_rows(file: str, reader: Any, columns: list[str]) -> Iterator[Row]:
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "unexpected end" in str(error):
                raise UserError(f"{file}:{line}: a quote opens here and never closes: close or double it") from None
            yield Row({}, f"no CSV ({error})")
            continue
        if cells:
            while len(cells) > len(columns) and not cells[-1]:
                cells.pop()
            problem = f"{len(cells)} cells of {len(columns)}" if len(cells) != len(columns) else ""
            yield Row(dict(zip(columns, cells, strict=False)), problem)

"""CSV files with a header, and the line of what is broken; tables of any kind."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from distillation.config.errors import UserError
from distillation.text.files import TABLES, format_of
from finetuning.formats.locate import read_text


def rows(path: Path, columns: Mapping[str, str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The place and the cells of each row of a table that `stream` reads, numbered from 1.

    columns: those that must be there, each with the key that names it.
    Raises UserError for a table without one, without rows, or with a damaged row.
    """
    from finetuning.formats.stream import open_table  # its libraries take a while

    table, number = open_table(str(path)), 0
    for number, row in enumerate(table.rows, start=1):
        if row.problem:
            remedy = "or quote its texts" if format_of(str(path)) in TABLES else "one object a line"
            raise UserError(f"{path}, row {number}: {row.problem}; mend the row, {remedy}")
        if number == 1:
            check_columns(columns, table.columns, path)
        yield f"{path}, row {number}", row.cells
    if not number:
        raise UserError(f"{path} has no rows: name a file that has some")


def check_columns(columns: Mapping[str, str], known: Iterable[str], path: Path | str) -> None:
    """Raise UserError that names the columns that a table has, if it lacks one. columns: each with its key."""
    for column, named_by in columns.items():
        if column not in known:
            if known == ["text"] and str(path).lower().endswith(".txt"):
                leave = "leave `text_column` out, or " * (named_by == "text_column")
                raise UserError(f"{path} is plain text, without columns: {leave}name a table, such as .csv or .jsonl")
            has = ", ".join(repr(one) for one in known if one) or "none"
            alike = [one for one in known if one.strip().lower() == column.strip().lower()]
            remedy = f"did you mean {alike[0]!r}?" if alike else f"set `{named_by}` to one"
            raise UserError(f"{path} has no column `{column}`; it has {has}: {remedy}")


def as_text(cell: Any) -> str | None:
    """What a cell says: nothing for none, and for NaN. 1.0 is 1: the numbers of a column with gaps are written so.
    None for lists, objects, and bytes, which are no text."""
    if isinstance(cell, list | dict | bytes):
        return None
    if cell is None or cell != cell:
        return ""
    return str(int(cell) if isinstance(cell, float) and cell.is_integer() else cell)


def records(path: Path, columns: Sequence[str], **choices: Sequence[str]) -> Iterator[dict[str, str]]:
    """The cells of each row, by column; lines with nothing on them are passed over.

    columns: those that must be there, and not be blank; choices: of a column, what may stand in it.
    Raises UserError for a row that does not fit, by the line that it ends on, for quotes that do not close, by the
    line that they open on, and for no rows.
    """
    # Texts may hold line breaks: without newline="" they would be translated, and a split by lines would cut.
    reader = csv.DictReader(io.StringIO(read_text(path), newline=""), strict=True)
    last = 0
    try:
        if missing := [column for column in columns if column not in (reader.fieldnames or ())]:
            raise UserError(f"{path}:1: the header has no column `{missing[0]}`; make it {','.join(columns)}")
        header = last = reader.line_num
        for cells in reader:
            last = reader.line_num
            if None in cells or None in cells.values():
                raise UserError(f"{path}:{last}: not {len(reader.fieldnames)} cells; quote texts that hold commas")
            for column in columns:
                if cells[column] not in choices.get(column, cells.values()):
                    known = ", ".join(choices[column])
                    raise UserError(f"{path}:{last}: {column} {cells[column]!r} is none of {known}")
                if not cells[column].strip():
                    raise UserError(f"{path}:{last}: the {column} is blank; fill it in or delete the row")
            yield cells
    except csv.Error as error:
        remedy = "mend the row's quotes or fetch the file again"
        raise UserError(f"{path}:{last + 1}: no CSV ({error}); {remedy}") from None
    if last == header:
        raise UserError(f"{path}: no rows below the header; fetch the file again")


def write(path: Path, columns: Sequence[str], rows: Iterable[Sequence]) -> Path:
    """Write such a file; its path."""
    with path.open("w", encoding="utf-8", newline="") as file:
        # By default Python 3.11 would leave a text unquoted whose only line break is a CR, which reads as two rows.
        csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows([columns, *rows])
    return path

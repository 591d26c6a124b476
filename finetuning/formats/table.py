"""Tables with a row an example: CSV files, of any delimiter, JSON lines, Parquet; and the line of what is broken."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from distillation.config.errors import UserError
from finetuning.formats.locate import read_text
from finetuning.formats.values import json_lines

DELIMITERS = ",;\t"  # Excel's depends on the country
ENDINGS = (".csv", ".tsv", ".jsonl", ".parquet")


def rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The place and the cells of each row of a file that ends in one of ENDINGS, perhaps packed as .gz or .zst.

    columns: those that must be there. Raises UserError for a file of another kind, without such a column, without
    rows, or damaged, by the line.
    """
    from distillation.text.files import COMPRESSED, explain_read_errors, parquet

    kind = next((suffix for suffix in reversed(path.suffixes) if suffix.lower() not in COMPRESSED), "").lower()
    if kind in (".csv", ".tsv"):
        yield from _cells(path, columns)
    elif kind == ".parquet":
        with explain_read_errors(str(path)):
            table = parquet(str(path))
            check_columns(columns, table.schema_arrow.names, path)
            found = table.read().to_pylist()
        yield from ((f"{path}: row {number}", cells) for number, cells in enumerate(found, start=1))
    elif kind == ".jsonl":
        found = list(json_lines(path))
        if wrong := [place for place, cells in found if not isinstance(cells, dict)]:
            raise UserError(f"{wrong[0]}: no object with {', '.join(columns)}; mend the line")
        check_columns(columns, dict.fromkeys(name for _, cells in found for name in cells), path)
        yield from found
    else:
        remedy = "save it in Excel as `CSV UTF-8`" if kind in (".xlsx", ".xls", ".ods") else "convert it"
        raise UserError(f"{path}: a table ends in {', '.join(ENDINGS)}, or one of these and .gz or .zst: {remedy}")


def records(path: Path, columns: Sequence[str], **choices: Sequence[str]) -> Iterator[dict[str, str]]:
    """The cells of each row of a CSV file, by column; lines with nothing on them are passed over.

    columns: those that must be there, and not be blank; choices: of a column, what may stand in it.
    Raises UserError for a row that does not fit, by the line that it ends on, and as `rows`.
    """
    for place, cells in _cells(path, columns):
        for column in columns:
            if cells[column] not in choices.get(column, cells.values()):
                raise UserError(f"{place}: {column} {cells[column]!r} is none of {', '.join(choices[column])}")
            if not cells[column].strip():
                raise UserError(f"{place}: the {column} is blank; fill it in or delete the row")
        yield cells


def _cells(path: Path, columns: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """The place and the cells of each row. Raises UserError for quotes that do not close by the line they open on."""
    text = read_text(path)
    headers = {mark: next(csv.reader(io.StringIO(text, newline=""), delimiter=mark), []) for mark in DELIMITERS}
    mark = max(headers, key=lambda mark: (set(columns) <= set(headers[mark]), len(headers[mark])))
    check_columns(columns, headers[mark], path)
    # Texts may hold line breaks: without newline="" they would be translated, and a split by lines would cut.
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True, delimiter=mark)
    last = 0
    try:
        header = last = reader.line_num if reader.fieldnames else 0
        for cells in reader:
            last = reader.line_num
            if None in cells or None in cells.values():
                raise UserError(f"{path}:{last}: not {len(reader.fieldnames)} cells; quote texts that hold {mark!r}")
            yield f"{path}:{last}", cells
    except csv.Error as error:
        remedy = "mend the row's quotes or fetch the file again"
        raise UserError(f"{path}:{last + 1}: no CSV ({error}); {remedy}") from None
    if last == header:
        raise UserError(f"{path}: no rows below the header; fetch the file again")


def check_columns(columns: Iterable[str], known: Iterable[str], path: Path | str) -> None:
    """Raise UserError that names the columns that a table has, if it lacks one."""
    if missing := [column for column in columns if column not in known]:
        raise UserError(f"{path} has no column `{missing[0]}`; it has {', '.join(known) or 'none'}")


def write(path: Path, columns: Sequence[str], rows: Iterable[Sequence]) -> Path:
    """Write such a file, and its folder where there is none; its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        # By default Python 3.11 would leave a text unquoted whose only line break is a CR, which reads as two rows.
        csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows([columns, *rows])
    return path

"""CSV files with a header, and the line of what is broken."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from distillation.config.errors import UserError
from finetuning.formats.locate import read_text


def records(path: Path, columns: Sequence[str], **choices: Sequence[str]) -> Iterator[dict[str, str]]:
    """The cells of each row, by column; lines with nothing on them are passed over.

    columns: those that must be there, and not be blank; choices: of a column, what may stand in it.

    Raises UserError, by its line, for a row that does not fit, for quotes that do not close, and for no rows.
    """
    lines = _lines(path)
    number, header = next(lines, (1, []))
    missing = [column for column in columns if column not in header]
    if missing:
        raise UserError(f"{path}:{number}: the header has no column `{missing[0]}`; make it {','.join(columns)}")
    first = number
    for number, values in lines:
        place = f"{path}:{number}"
        if len(values) != len(header):
            raise UserError(f"{place}: {len(values)} cells and not {len(header)}; quote texts that hold commas")
        cells = dict(zip(header, values, strict=True))
        for column, known in choices.items():
            if cells[column] not in known:
                raise UserError(f"{place}: {column} {cells[column]!r} is none of {', '.join(known)}; mend the row")
        for column in columns:
            if not cells[column].strip():
                raise UserError(f"{place}: the {column} is blank; fill it in or delete the row")
        yield cells
    if number == first:
        raise UserError(f"{path}:{number}: no rows below the header; fetch the file again")


def write(path: Path, columns: Sequence[str], rows: Iterable[Sequence]) -> Path:
    """Write such a file, and its folder where there is none; its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        # By default Python 3.11 would leave a text unquoted whose only line break is a CR, which reads as two rows.
        csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows([columns, *rows])
    return path


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The line that each row begins on, and its cells.

    Raises UserError by that line where quotes do not close: a file that was cut would else lose its end unsaid.
    """
    # Texts may hold line breaks: without newline="" they would be translated, and a split by lines would cut.
    reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    while True:
        number = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            remedy = "mend its quotes or fetch the file again"
            raise UserError(f"{path}:{number}: the row that begins here is no CSV ({error}); {remedy}") from None
        if cells is None:
            return
        if cells:
            yield number, cells

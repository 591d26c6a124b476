"""A file of answers that grows by whole blocks, so that an interrupted run can go on behind the last of them."""

import csv
import io
import json
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from distillation.config.errors import UserError
from distillation.runs.files import read_json, write_json

FORMATS = (".jsonl", ".csv", ".tsv")

logger = logging.getLogger(__name__)


class AnswerFile:
    """Writes `PATH.part`, and in `PATH.run.json` what it is made with and how far it is; the whole becomes `PATH`.

    blocks: how many are written; finished: whether `PATH` was complete before.
    """

    def __init__(self, path: str, columns: Sequence[str], delimiter: str, settings: Mapping[str, Any], resume: bool):
        """columns, delimiter: of a CSV file; settings: which a run that goes on has to share.
        Raises UserError for other settings than those of the run to go on with, or of the finished one."""
        self.path, self.columns, self.settings = Path(path), columns, dict(settings)
        self.part, self.record = Path(f"{path}.part"), Path(f"{path}.run.json")
        self.delimiter = {".csv": delimiter, ".tsv": "\t"}.get(self.path.suffix.lower())  # None of JSON Lines
        self.blocks, size = 0, 0
        begun = resume and self.part.exists()
        self.finished = resume and not begun and self.path.exists()
        if begun or self.finished:
            found = self._found()
            self.blocks, size = found["blocks"], found["bytes"]
            if begun and self.part.stat().st_size < size:
                raise UserError(f"`resume`: {self.part} has lost what was written: leave `resume` out")
        elif resume:
            logger.info("`resume`: %s was not begun: it is from the start", path)
        if not self.finished:
            # Before the record is written: a record without a part means a finished file.
            self.file = open(self.part, "r+b" if size else "wb")
            self.file.truncate(size)
            self.file.seek(size)
            self._note(size)

    def _found(self) -> dict[str, Any]:
        """The record of the run to go on with."""
        if not self.record.exists():
            how = f"which says how {self.path} was made"
            raise UserError(f"`resume`: {self.record} is gone, {how}: leave `resume` out")
        found = read_json(self.record)
        if others := sorted(key for key in self.settings if found["settings"].get(key) != self.settings[key]):
            names = ", ".join(f"`{key}`" for key in others)
            raise UserError(f"`resume`: {self.path} was made with other {names}: repeat these, or leave `resume` out")
        return found

    def _note(self, size: int) -> None:
        write_json(self.record, {"blocks": self.blocks, "bytes": size, "settings": self.settings})

    def write_header(self, mark: str = "") -> None:
        """The names of the columns, of a CSV file. mark: stands before them."""
        if self.delimiter:
            self._write(mark.encode() + self._lines([dict(zip(self.columns, self.columns, strict=True))]))

    def write_block(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Cells by column. Raises OSError if there is no room."""
        self._write(self._lines(rows))
        self.blocks += 1
        self._note(self.file.tell())

    def finish(self) -> None:
        """Give the file its name."""
        self.file.close()
        os.replace(self.part, self.path)

    def _write(self, lines: bytes) -> None:
        try:
            self.file.write(lines)
            self.file.flush()
        except OSError as error:
            error.filename = str(self.part)  # for the message
            raise

    def _lines(self, rows: Sequence[Mapping[str, Any]]) -> bytes:
        if self.delimiter is None:
            return b"".join(map(_json_line, rows))
        text = io.StringIO()
        # All cells: by default Python 3.11 leaves one unquoted whose only line break is a CR, which reads as two rows.
        writer = csv.writer(text, delimiter=self.delimiter, lineterminator="\n", quoting=csv.QUOTE_ALL)
        writer.writerows([_cell(row.get(column)) for column in self.columns] for row in rows)
        return text.getvalue().encode("utf-8", "replace")


def _json_line(row: Mapping[str, Any]) -> bytes:
    line = _json(row) + "\n"
    try:
        return line.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which the input has as an escape too
        return (json.dumps(json.loads(line)) + "\n").encode()


def _cell(value: Any) -> Any:
    return _json(value) if isinstance(value, list | dict) else value


def _json(value: Any) -> str:
    """JSON has no NaN and no Infinity, which Parquet has."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    if "NaN" in text or "Infinity" in text:
        text = json.dumps(json.loads(text, parse_constant=lambda name: None), ensure_ascii=False)
    return text

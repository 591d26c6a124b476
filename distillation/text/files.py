"""Finds the files of a corpus, checks their formats and encodings, and reads their rows. Only the column of texts is
read and checked."""

import codecs
import glob
import hashlib
import io
import itertools
import json
import logging
import math
import os
import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import charset_normalizer
import pyarrow as pa
import pyarrow.parquet as pq

from distillation.config.corpus import COMPRESSED
from distillation.config.errors import LocalError, UserError, one_line
from distillation.text.tables import Csv, read_csv

logger = logging.getLogger(__name__)

FORMATS = {".txt": "text", ".jsonl": "json", ".csv": "csv", ".tsv": "tsv", ".parquet": "parquet"}
TABLES = (".csv", ".tsv")
SET_COLUMN = "set `text_column`, which all files share, to one of"  # the remedy for a column that is not there
LOST = "\ufffd"  # stands for a row whose text cannot be read
HEAD = 2**20  # bytes at its start that tell the encoding of a file
JUDGED = 10_000  # JSON lines that are searched for the column
MOST_DAMAGED = 0.1  # the largest share of lines that may be unreadable
# Files that systems and editors leave in folders, and files about a corpus.
_HIDDEN = re.compile(r"\.|~\$|(__MACOSX|\$RECYCLE\.BIN|RECYCLER|[#@]recycle|#snapshot|@eaDir)$", re.IGNORECASE)
_ABOUT = re.compile(
    r"(readme|licen[cs]es?|copying|notice|changelog|citation|checksums?|(md5|sha\d+)sums?)(?![^\W_]).*\.txt",
    re.IGNORECASE,
)


def corpus_files(pattern: str) -> list[str]:
    """The files of a path or glob that are not empty. Raises UserError if there is none, or one of another format.

    Hidden files, and files about the corpus such as a README, are left out of a folder or a glob.
    """
    endings = f"{', '.join(FORMATS)}, or one of these and {' or '.join(COMPRESSED)}"
    files, others = [pattern] if os.path.isfile(pattern) else [], []  # a file's name may look like a glob
    if not files:
        is_folder = os.path.isdir(pattern)
        found = Path(pattern).rglob("*") if is_folder else map(Path, glob.glob(pattern, recursive=True))
        for path in sorted(path for path in found if path.is_file() and (format_of(path) or not is_folder)):
            unnamed = set(path.parts) - set(Path(pattern).parts)
            if not any(map(_HIDDEN.match, unnamed)):
                is_about = _ABOUT.match(path.name) and not _ABOUT.match(Path(pattern).name)
                (others if is_about else files).append(str(path))
    if not files:
        raise UserError(f"no corpus at {pattern!r}: give a file, a folder, or a glob of files that end in {endings}")
    for file in files:
        if format_of(file) is None:
            raise UserError(f"{file}: a corpus file ends in {endings}")
    files = [file for file in files if os.path.getsize(file)]
    if not files:
        raise UserError(f"{pattern!r} has no usable line of text: every file is empty")
    if files != [pattern]:
        shown = ", ".join(files[:5]) + ", ..." * (len(files) > 5)
        left_out = f"; left out for their names: {', '.join(others)}" if others else ""
        logger.info("corpus %r: %d files are read: %s%s", pattern, len(files), shown, left_out)
    return files


def check_file(file: str, column: str, remedy: str = SET_COLUMN) -> None:
    """Raise UserError for a file in another encoding, without such a column, or that cannot be read. remedy: what to
    do with the columns that it has.

    Plain text has no columns: its lines are the texts, whatever the column of the files beside it is called.
    """
    with explain_read_errors(file):
        kind = format_of(file)
        if kind == ".parquet":
            columns = parquet(file).schema_arrow.names
        elif kind in TABLES:
            columns = open_csv(file, encoding_of(file, telling_bytes(file))).columns
        else:
            with unpacked(file) as content:
                check_encoding(file, content.read(HEAD))
            columns = _json_columns(file, column) if kind == ".jsonl" else []
    check_column(column, columns or [column], file, remedy)  # where none can be read, `text_column` is not the cause


def check_column(column: str, columns: list[str], source: str, remedy: str = SET_COLUMN) -> None:
    """Raise UserError for a corpus without the column of texts."""
    if column not in columns:
        raise UserError(f"{source} has no column `{column}`; {remedy} {columns}")


def digest(file: str) -> str:
    """A hash of a file's content, with the format that it is read in."""
    with open(file, "rb") as content:
        return f"{format_of(file)} {packing(file)} {hashlib.file_digest(content, 'sha256').hexdigest()}"


def read_rows(file: str, column: str) -> Iterator[str]:
    """The raw rows of a file; `texts_of` makes texts of them. Raises UserError for a damaged file."""
    with explain_read_errors(file):
        kind = format_of(file)
        if kind == ".parquet":
            # Without threads: the thread pool of pyarrow does not survive a fork.
            for batch in parquet(file).iter_batches(1000, columns=[column], use_threads=False):
                yield from _parquet_texts(batch[column])
        elif kind in TABLES:
            table = open_csv(file, encoding_of_excel(telling_bytes(file)))
            place = (table.columns or [column]).index(column)
            yield from (LOST if problem else cells[place] for cells, problem in table.rows)
        else:  # JSON lines end with line feeds only
            with opened(file, newline="\n" if kind == ".jsonl" else None) as lines:
                yield from (line.rstrip("\n") for line in lines)


def texts_of(file: str, rows: list[str], column: str) -> list[str]:
    """The texts of rows; `LOST` for one that has none."""
    return [_json_text(row, column) for row in rows] if format_of(file) == ".jsonl" else rows


@contextmanager
def explain_read_errors(source: str) -> Iterator[None]:
    """Turn any error of a reader into a UserError that names the corpus."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        kind = FORMATS.get(format_of(source), "a data set")
        why = one_line(error.__cause__ or error)
        remedy = f"; it may be cut short, or is no {packing(source)}" if packing(source) else ""
        raise LocalError(f"{source!r} cannot be read as {kind}: {why}{remedy}") from None


def packing(name: str | Path) -> str | None:
    """The ending that says how a file is compressed, None if it is not."""
    return next(filter(str(name).lower().endswith, COMPRESSED), None)


def format_of(name: str | Path) -> str | None:
    """The ending that says in which format a file is, None if it is in no known one."""
    bare = str(name).lower().removesuffix(packing(name) or "")
    return next(filter(bare.endswith, FORMATS), None)


def unpacked(file: str) -> pa.NativeFile:
    """The bytes of a file, compressed or not."""
    return pa.input_stream(file, compression=COMPRESSED.get(packing(file)))


def opened(file: str, newline: str | None, encoding: str | None = None) -> io.TextIOWrapper:
    """Opened as text, by default UTF-8: bytes that are none become U+FFFD, and a byte order mark is dropped."""
    return io.TextIOWrapper(unpacked(file), encoding or "utf-8-sig", "replace", newline)


def open_csv(file: str, encoding: str | None) -> Csv:
    """A table that is open; encoding: None for UTF-8."""
    # Excel writes semicolons where the comma is for decimals. One column has none, and its texts have commas.
    return read_csv(file, opened(file, "", encoding), "\t,;" if format_of(file) == ".tsv" else ",;\t")


def parquet(file: str) -> pq.ParquetFile:
    """A Parquet file; one that is compressed as a whole is read into memory."""
    return pq.ParquetFile(pa.BufferReader(unpacked(file).read()) if packing(file) else file)


def _json_columns(file: str, column: str) -> list[str]:
    """The columns of the first lines of a file, up to the one that has `column`."""
    columns: dict[str, None] = {}
    with opened(file, newline="") as lines:
        for line in itertools.islice(lines, JUDGED):
            row = _json(line)
            columns |= dict.fromkeys(row if isinstance(row, dict) else [])
            if column in columns:
                break
    return list(columns)


def telling_bytes(file: str) -> bytes:
    """The first part of a file that is not ASCII, which tells its encoding, and what stands around it."""
    with unpacked(file) as content:
        before, head = b"", content.read(HEAD)
        while head and head.isascii() and b"\0" not in head:  # UTF-16 is full of NUL
            before, head = head, content.read(HEAD)
        return before + head + content.read(HEAD)


def encoding_of(file: str, head: bytes) -> str | None:
    """The encoding in which Excel wrote a file, None for UTF-8. Raises UserError for another."""
    encoding = encoding_of_excel(head)
    if encoding is None:
        check_encoding(file, head)
    return encoding


def encoding_of_excel(head: bytes) -> str | None:
    """UTF-16 with its mark, or CP1251, in which Excel writes Russian; None for another encoding."""
    if head.startswith(codecs.BOM_UTF8):  # where other letters follow, `check_encoding` refuses them
        return None
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    with suppress(UnicodeDecodeError):  # the tests below take a while
        codecs.getincrementaldecoder("utf-8")().decode(head)
        return None
    # Of another encoding it would have few small letters, йtй for été, or ждЮт for ждёт (of a Mac). A stray byte is no
    # word: it must not turn all UTF-8 below it into other letters.
    text = head.decode("cp1251", "replace")
    letters = re.findall("(?<![A-Za-z])[а-яё](?![A-Za-z])", text)
    is_russian = 2 * len(letters) > len(re.findall("[^\0-\x7f]", text)) and re.search("(?<![A-Za-z])[а-яё]{2}", text)
    is_mac = len(re.findall("[а-яё][ЮЯ]", text)) > len(re.findall("[ёя]", text))
    return "cp1251" if is_russian and not is_mac else None


def check_encoding(file: str, head: bytes) -> None:
    """Raise UserError for text in another encoding. Single damaged bytes are mended, but here no text would be left.

    In such a file most characters beyond ASCII are not valid UTF-8; UTF-16 is full of NUL.
    """
    if head.startswith(b"\x1f\x8b"):
        raise UserError(f"{file} is compressed by gzip, which its name does not say: name it {file}.gz")
    text = head.decode("utf-8", "replace")
    unpack = f"{COMPRESSED[packing(file)]} -dc" if packing(file) else "cat"
    convert = f"convert it, `{unpack} {shlex.quote(file)} | iconv -f {{}} -t {{}} > NEW-FILE`"
    if wrong := _encoded_twice(text[: 2**16].splitlines()):
        raise UserError(
            f"corpus file {file} is UTF-8 that a program has read as {wrong} and encoded again: "
            + convert.format("UTF-8", wrong)
        )
    lines = text.splitlines()
    damaged = sum("\ufffd" in line or "\0" in line for line in lines)
    bad, good = text.count("\ufffd") + text.count("\0"), len(re.findall("[^\0-\x7f\ufffd]", text))
    if bad <= good or damaged <= MOST_DAMAGED * len(lines):
        return
    place = re.search(rb"[\0\x80-\xff]", head).start()
    telling = head[head.rfind(b"\n", 0, place) + 1 :].removeprefix(codecs.BOM_UTF8)  # lines above are ASCII: a header
    guesses = list(charset_normalizer.from_bytes(telling[: 2**16]))  # the best first; of equal ones the commonest
    commonest = ("cp1251", "cp1252")
    guess = min(guesses, key=lambda one: (one.chaos > guesses[0].chaos, one.encoding not in commonest), default=None)
    encoding = guess.encoding.replace("_", "-").upper() if guess else "ITS-ENCODING"
    encoding = re.sub("(?<=UTF-..)-", "", encoding)  # UTF-16-LE is UTF-16LE to iconv
    shown = f"{encoding} (it then has {str(guess).split(chr(10))[0][:60].strip()!r})" if guess else "another encoding"
    save = "save it as UTF-8, in a spreadsheet as `CSV UTF-8`, or "
    raise UserError(f"{file} is no UTF-8 but probably {shown}: {save}{convert.format(encoding, 'UTF-8')}")


def _encoded_twice(lines: list[str]) -> str | None:
    """The encoding as which a program has read UTF-8, so that Мама became РњР°РјР° or ÐœÐ°Ð¼Ð°; None if it has not.

    Undone, such a line has half as many characters beyond ASCII, and any other line has none left.
    """
    for encoding in ("CP1251", "CP1252", "LATIN1"):
        undone = [line.encode(encoding, "ignore").decode("utf-8", "ignore") for line in lines]
        pairs = [[len(re.findall("[^\0-\x7f]", text)) for text in pair] for pair in zip(lines, undone, strict=True)]
        if sum(3 * after >= before > 0 for before, after in pairs) > MOST_DAMAGED * len(lines):
            return encoding
    return None


def _parquet_texts(values: pa.Array) -> list[str]:
    try:
        values = values if pa.types.is_binary(values.type) else values.cast(pa.string())
    except pa.ArrowException:  # lists, objects
        return [LOST] * len(values)
    # Decoded here: writers do not check that their strings are UTF-8.
    return [
        "" if value is None else value.decode("utf-8", "replace") for value in values.cast(pa.binary()).to_pylist()
    ]


def _json(line: str) -> Any:
    try:
        return json.loads(line, strict=False)  # control characters are mended later
    except (ValueError, RecursionError):
        return None


def _json_text(line: str, column: str) -> str:
    if not line.strip():
        return ""
    row = _json(line)
    return text_of(row.get(column)) if isinstance(row, dict) else LOST


def text_of(value: Any) -> str:
    """A value of a row as a text; `LOST` for what is none, such as a list."""
    if value is None or isinstance(value, float) and not math.isfinite(value):  # pandas writes NaN for no text
        return ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    # A lone surrogate, such as half of an emoji, is no character.
    return re.sub("[\ud800-\udfff]", "\ufffd", value) if isinstance(value, str) else LOST

"""Corpora that are empty, torn, of another format or encoding, or of columns that hold no text."""

import functools
import io
import json
import random
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.fuzz.case import EITHER, REFUSED, Case, Cases, Entry, Make
from tests.fuzz.damage import DAMAGES, STAND_INS, gz, mutated

Content = bytes | Callable[[Path], None]


@functools.cache
def by_hand(lines: tuple[str, ...]) -> dict[str, tuple[str, Content, str]]:
    """By a name for each: file, content, and what has to become of it."""
    text = "".join(f"{line}\n" for line in lines).encode()
    rows = _lines({"text": line} for line in lines)
    table = "".join(f'"{line}"\n' for line in ["text", *lines]).encode()
    parquet, count = _parquet({"text": lines}), len(lines)
    formats = {"txt": text, "jsonl": rows, "csv": table, "parquet": parquet, "txt.gz": gz(text)}
    found: dict[str, tuple[str, Content, str]] = {
        f"{ending}-{name}": (f"corpus.{ending}", damage(content), EITHER)
        for ending, content in formats.items()
        for name, damage in DAMAGES.items()
    }
    found |= {name: ("corpus.txt", make, REFUSED if name != "locked" else EITHER) for name, make in STAND_INS.items()}
    columns = {
        "lists": ([[line] for line in lines], REFUSED),
        "objects": ([{"a": line} for line in lines], REFUSED),
        "numbers": (list(range(count)), EITHER),
        "nulls": ([None] * count, REFUSED),
    }
    for name, (column, expected) in columns.items():
        found[f"parquet-of-{name}"] = "corpus.parquet", _parquet({"text": column}), expected
        found[f"jsonl-of-{name}"] = "corpus.jsonl", _lines({"text": value} for value in column), expected
    return found | {
        "gz-that-is-none": ("corpus.txt.gz", text, REFUSED),
        "gz-of-gz": ("corpus.txt.gz", gz(gz(text)), EITHER),
        "parquet-of-bytes": ("corpus.parquet", _parquet({"text": [b"\xff\xfe"] * count}), EITHER),
        "parquet-of-other-columns": ("corpus.parquet", _parquet({"line": lines}), REFUSED),
        "jsonl-of-everything": ("corpus.jsonl", _lines({"text": x} for x in [*lines, 7, None, [1], {}]), EITHER),
        "jsonl-of-other-columns": ("corpus.jsonl", _lines({"line": line} for line in lines), REFUSED),
        "jsonl-of-columns-that-change": (
            "corpus.jsonl",
            rows + _lines({"text": line, "n": i} for i, line in enumerate(lines)),
            EITHER,
        ),
        "csv-with-more-cells": ("corpus.csv", table + b'"a","b","c"\n', EITHER),
        "csv-of-a-header": ("corpus.csv", b"text\n", REFUSED),
        "one-line": ("corpus.txt", lines[0].encode(), EITHER),
        "of-control-characters": ("corpus.txt", b"\x01\x02\n\x7f\n" * 50, REFUSED),
        "of-another-alphabet": ("corpus.txt", "東京都は日本の首都\n".encode() * 50, EITHER),
        "of-combining-marks": ("corpus.txt", ("е" + "\u0301" * 300 + "\n").encode() * 50, EITHER),
        "of-special-tokens": ("corpus.txt", b"[MASK] [PAD] [UNK] [CLS]\n" * 50, EITHER),
        "of-another-ending": ("corpus.docx", text, REFUSED),
        "a-word-without-end": ("corpus.txt", text + "ж".encode() * 3_000_000, EITHER),
    }


def corpora(entry: Entry, lines: tuple[str, ...]) -> Cases:
    """Every corpus for every key that names one; for `train_file` also as it is streamed."""
    for key in entry.corpora:
        for name, (file, content, expected) in by_hand(lines).items():
            yield Case(entry, f"{key}-{name}", {key: f"{{here}}/{file}"}, _making(file, content), expected)
            if entry.trains and key == "train_file":
                streamed = {key: f"{{here}}/{file}", "streaming": "true"}
                if entry.name.endswith("run_teacher"):
                    streamed["tokenizer_name_or_path"] = "{good}/teacher"
                yield Case(entry, f"streaming-{name}", streamed, _making(file, content))
        yield Case(entry, f"{key}-an-empty-folder", {key: "{here}/corpus"}, _making("corpus/notes.md", b"n"), REFUSED)
        yield Case(entry, f"{key}-no-such-column", {key: "{good}/corpus.txt", "text_column": "line"})


def drawn(entry: Entry, lines: tuple[str, ...], draw: random.Random) -> Case:
    """A corpus of any format with bytes cut, flipped, or inserted."""
    bare = [content for content in by_hand(lines).values() if isinstance(content[1], bytes)]
    file, content, _ = draw.choice([content for content in bare if 0 < len(content[1]) < 10**6])
    key, content = draw.choice(entry.corpora), mutated(content, draw)
    changes = {key: f"{{here}}/{file}"}
    if entry.name == "distillation.run" and draw.random() < 0.3:
        changes["streaming"] = "true"
    return Case(entry, f"corpus-{file}", changes, _making(file, content))


def _making(file: str, content: Content) -> Make:
    def make(good: Path, here: Path) -> None:
        path = here / file
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content) if isinstance(content, bytes) else content(path)

    return make


def _lines(rows) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def _parquet(columns: dict[str, list]) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()

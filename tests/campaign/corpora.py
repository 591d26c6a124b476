"""Corpora that are empty, torn, of another format or encoding, or of columns that hold no text."""

import functools
import io
import json
import random
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.campaign.case import EITHER, REFUSED, Case, Cases, Entry, Make
from tests.campaign.damage import DAMAGES, STAND_INS, gz, mutated

Content = bytes | Callable[[Path], None]


@functools.cache
def by_hand(lines: tuple[str, ...]) -> dict[str, tuple[str, Content, str]]:
    """File, content, and what has to become of it; None for the file names the corpus itself."""
    text = "".join(f"{line}\n" for line in lines).encode()
    rows = "".join(json.dumps({"text": line}, ensure_ascii=False) + "\n" for line in lines).encode()
    table = "".join(f'"{line}"\n' for line in ["text", *lines]).encode()
    parquet = _parquet({"text": lines})
    found: dict[str, tuple[str, Content, str]] = {}
    for name, damage in DAMAGES.items():
        found[f"txt-{name}"] = "corpus.txt", damage(text), EITHER
    for name in ("empty", "cut", "cut-at-the-end", "utf-16", "bom", "zeros", "noise", "invalid-utf-8", "a-web-page"):
        found[f"jsonl-{name}"] = "corpus.jsonl", DAMAGES[name](rows), EITHER
        found[f"csv-{name}"] = "corpus.csv", DAMAGES[name](table), EITHER
        found[f"parquet-{name}"] = "corpus.parquet", DAMAGES[name](parquet), EITHER
        found[f"gz-{name}"] = "corpus.txt.gz", DAMAGES[name](gz(text)), EITHER
    for name, stand_in in STAND_INS.items():
        found[name] = "corpus.txt", stand_in, REFUSED if name not in ("locked",) else EITHER
    return found | {
        "gz-of-nothing": ("corpus.txt.gz", gz(b""), REFUSED),
        "gz-that-is-none": ("corpus.txt.gz", text, REFUSED),
        "gz-of-gz": ("corpus.txt.gz", gz(gz(text)), EITHER),
        "gz-in-the-middle": ("corpus.jsonl.gz", gz(rows)[:-20], EITHER),
        "parquet-of-lists": ("corpus.parquet", _parquet({"text": [[line] for line in lines]}), REFUSED),
        "parquet-of-objects": ("corpus.parquet", _parquet({"text": [{"a": line} for line in lines]}), REFUSED),
        "parquet-of-numbers": ("corpus.parquet", _parquet({"text": list(range(len(lines)))}), EITHER),
        "parquet-of-bytes": ("corpus.parquet", _parquet({"text": [b"\xff\xfe"] * len(lines)}), EITHER),
        "parquet-of-nulls": ("corpus.parquet", _parquet({"text": [None] * len(lines)}), REFUSED),
        "parquet-of-dates": ("corpus.parquet", _dates(len(lines)), EITHER),
        "parquet-without-rows": ("corpus.parquet", _parquet({"text": []}), REFUSED),
        "parquet-of-other-columns": ("corpus.parquet", _parquet({"line": lines}), REFUSED),
        "jsonl-of-lists": ("corpus.jsonl", _lines({"text": [line]} for line in lines), REFUSED),
        "jsonl-of-objects": ("corpus.jsonl", _lines({"text": {"a": line}} for line in lines), REFUSED),
        "jsonl-of-nulls": ("corpus.jsonl", _lines({"text": None} for line in lines), REFUSED),
        "jsonl-of-numbers": ("corpus.jsonl", _lines({"text": 7} for line in lines), EITHER),
        "jsonl-of-everything": ("corpus.jsonl", _lines({"text": x} for x in [*lines, 7, None, [1], {}]), EITHER),
        "jsonl-of-words": ("corpus.jsonl", _lines(lines), REFUSED),
        "jsonl-of-rows-in-a-list": ("corpus.jsonl", json.dumps([{"text": line} for line in lines]).encode(), EITHER),
        "jsonl-of-other-columns": ("corpus.jsonl", _lines({"line": line} for line in lines), REFUSED),
        "jsonl-of-columns-that-change": (
            "corpus.jsonl",
            rows + _lines({"text": line, "n": i} for i, line in enumerate(lines)),
            EITHER,
        ),
        "jsonl-of-huge-numbers": ("corpus.jsonl", rows + b'{"text": 1e999}\n{"text": 9' + b"9" * 400 + b"}\n", EITHER),
        "jsonl-of-deep-lists": ("corpus.jsonl", b'{"text": ' + b"[" * 3000 + b"]" * 3000 + b"}\n", REFUSED),
        "csv-of-other-columns": ("corpus.csv", table.replace(b'"text"', b'"line"', 1), REFUSED),
        "csv-with-more-cells": ("corpus.csv", table + b'"a","b","c"\n', EITHER),
        "csv-with-an-open-quote": ("corpus.csv", table + b'"a\n', EITHER),
        "csv-of-a-header": ("corpus.csv", b"text\n", REFUSED),
        "csv-of-one-column-twice": ("corpus.csv", b"text,text\na,b\n" * 30, EITHER),
        "csv-of-numbers": ("corpus.csv", b"text\n" + b"7\n" * 60, EITHER),
        "one-line": ("corpus.txt", lines[0].encode(), EITHER),
        "nine-lines": ("corpus.txt", "\n".join(lines[:9]).encode(), EITHER),
        "one-letter-a-line": ("corpus.txt", "а\n".encode() * 50, EITHER),
        "of-marks": ("corpus.txt", b"...\n!!!\n" * 50, EITHER),
        "of-control-characters": ("corpus.txt", b"\x01\x02\n\x7f\n" * 50, REFUSED),
        "of-another-alphabet": ("corpus.txt", "東京都は日本の首都\n".encode() * 50, EITHER),
        "of-emoji": ("corpus.txt", "🙂👍🏽🇷🇺\n".encode() * 50, EITHER),
        "of-combining-marks": ("corpus.txt", ("е" + "\u0301" * 300 + "\n").encode() * 50, EITHER),
        "of-special-tokens": ("corpus.txt", b"[MASK] [PAD] [UNK] [CLS]\n" * 50, EITHER),
        "of-another-ending": ("corpus.docx", text, REFUSED),
        "of-an-upper-case-ending": ("corpus.TXT", text, EITHER),
        "a-word-without-end": ("corpus.txt", text + "ж".encode() * 3_000_000, EITHER),
    }


def corpora(entry: Entry, lines: tuple[str, ...]) -> Cases:
    """Every corpus for every key that names one; the first also as it is streamed, and in a folder and a glob."""
    for key in entry.corpora:
        for name, (file, content, expected) in by_hand(lines).items():
            yield Case(entry, f"{key}-{name}", {key: f"{{here}}/{file}"}, _making(file, content), expected)
            if entry.name in ("distillation.run", "distillation.run_teacher") and key == "train_file":
                streamed = {key: f"{{here}}/{file}", "streaming": "true"}
                streamed |= {"tokenizer_name_or_path": "{good}/teacher"} if entry.tokenizers[0][0] == "t" else {}
                yield Case(entry, f"streaming-{name}", streamed, _making(file, content))
        if entry.name.endswith("run_vocabulary"):
            long = "слово ".encode() * 5_000_000
            yield Case(entry, f"{key}-fifty-megabytes", {key: "{here}/corpus.txt"}, _making("corpus.txt", long))
        yield Case(entry, f"{key}-an-empty-folder", {key: "{here}/corpus"}, _making("corpus/notes.md", b"n"), REFUSED)
        yield Case(entry, f"{key}-one-of-two-torn", {key: "{here}/*.gz"}, _making_two(lines), EITHER)
        yield Case(entry, f"{key}-two-formats", {key: "{here}/*.*"}, _making_two(lines, "b.jsonl"), EITHER)
        yield Case(entry, f"{key}-no-such-column", {key: "{good}/corpus.txt", "text_column": "line"}, None, EITHER)


def drawn(entry: Entry, lines: tuple[str, ...], draw: random.Random) -> Case:
    """A corpus of any format with bytes cut, flipped, or inserted."""
    bare = [content for content in by_hand(lines).values() if isinstance(content[1], bytes)]
    some = [content for content in bare if 0 < len(content[1]) < 10**6]
    file, content, _ = draw.choice(some)
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


def _making_two(lines: tuple[str, ...], other: str = "b.txt.gz") -> Make:
    text = "".join(f"{line}\n" for line in lines).encode()

    def make(good: Path, here: Path) -> None:
        (here / "a.txt.gz").write_bytes(gz(text))
        (here / other).write_bytes(gz(text)[:-30] if other.endswith("gz") else _lines({"text": x} for x in lines))

    return make


def _lines(rows) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def _parquet(columns: dict[str, list]) -> bytes:
    return _written(pa.table(columns))


def _dates(count: int) -> bytes:
    return _written(pa.table({"text": pa.array(range(count), pa.timestamp("s"))}))


def _written(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()

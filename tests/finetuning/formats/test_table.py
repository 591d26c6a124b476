"""CSV files come out whole, and one that is damaged is refused by its line."""

import csv
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distillation.config.errors import UserError
from distillation.text import files
from finetuning.formats import table

COLUMNS, LABELS = ("label", "text"), ("skip", "speech")
KEYS = {"label": "label_column", "text": "text_column"}


ROWS = [{"label": "skip", "text": "да; и, \t"}, {"label": "speech", "text": "«ё»\nй"}]


def read(path, content):
    (path / "a.csv").write_bytes(content.encode())
    return list(table.records(path / "a.csv", COLUMNS, label=LABELS))


def test_columns_go_by_name(tmp_path):
    for content in ("text,label\nда,skip\n", "\ufefflabel,text\r\nskip,да\r\n", 'label,text\n\n"skip","да"'):
        assert read(tmp_path, content) == [{"label": "skip", "text": "да"}]


def packed(kind):
    """The ROWS as a file of a kind."""
    delimiter = {".tsv": "\t", ".semicolons.csv": ";"}.get(kind.removesuffix(".zst"), ",")
    file = io.StringIO(newline="")
    csv.writer(file, delimiter=delimiter).writerows([COLUMNS, *(row.values() for row in ROWS)])
    if ".jsonl" in kind:
        file = io.StringIO("".join(json.dumps(row) + "\n" for row in ROWS))
    content = file.getvalue().encode({".cp1251.csv": "cp1251", ".utf16.csv": "utf-16"}.get(kind, "utf-8-sig"))
    if kind == ".parquet":
        pq.write_table(pa.Table.from_pylist(ROWS), sink := pa.BufferOutputStream())
        return sink.getvalue().to_pybytes()
    return pa.Codec("zstd").compress(content).to_pybytes() if kind.endswith(".zst") else content


@pytest.mark.parametrize(
    "kind", [".csv", ".tsv", ".tsv.zst", ".semicolons.csv", ".cp1251.csv", ".utf16.csv", ".jsonl", ".parquet"]
)
def test_tables_of_every_kind(tmp_path, kind):
    """Excel writes semicolons, byte order marks, CP1251, and UTF-16."""
    (tmp_path / f"a{kind}").write_bytes(packed(kind))
    assert [dict(cells) for _, cells in table.rows(tmp_path / f"a{kind}", KEYS)] == ROWS
    with pytest.raises(UserError, match="no column `review`; it has 'label', 'text'"):
        list(table.rows(tmp_path / f"a{kind}", {"review": "text_column"}))


@pytest.mark.parametrize("content", ["sep=;\r\n{}", '"sep=;"\r\n{}', "{}", "{0:;}", "{0:;;}"])
def test_what_excel_adds_to_a_table(tmp_path, content):
    """A line that names the delimiter; empty columns, behind all rows or behind those that had a cell there once."""

    class Lines(str):
        def __format__(self, more):
            return self.replace("\r\n", f"{more}\r\n")

    content = content.format(Lines("label;text\r\nskip;да, но\r\n")) + "speech;кот;;\r\n"
    (tmp_path / "a.csv").write_text(content, encoding="utf-8", newline="")
    found = [(cells["label"], cells["text"]) for _, cells in table.rows(tmp_path / "a.csv", KEYS)]
    assert found == [("skip", "да, но"), ("speech", "кот")]
    (tmp_path / "a.csv").write_text(content + "skip;пёс;;или нет\r\n", encoding="utf-8", newline="")
    with pytest.raises(UserError, match="row 3: 4 cells of "):
        list(table.rows(tmp_path / "a.csv", KEYS))


def test_an_encoding_that_shows_late(tmp_path, monkeypatch, caplog):
    """The first rows may be in English. Where too little is damaged to tell another encoding, the log says so: é is
    no Russian word, and nothing is made up."""
    monkeypatch.setattr(files, "HEAD", 100)
    (tmp_path / "a.csv").write_bytes("\n".join(["label,text", *["skip,yes"] * 50, "speech,кот"]).encode("cp1251"))
    assert [cells["text"] for _, cells in table.rows(tmp_path / "a.csv", KEYS)] == [*["yes"] * 50, "кот"]
    assert not caplog.messages
    (tmp_path / "a.csv").write_bytes("\n".join(["label,text", *["skip,yes"] * 50, "speech,café", ""]).encode("cp1252"))
    assert [cells["text"] for _, cells in table.rows(tmp_path / "a.csv", KEYS)][-1] == "caf\ufffd"
    assert "1 characters are no UTF-8" in caplog.text


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [("a.tsv", "text\nДа, но; нет\n", "Да, но; нет"), ("a.csv", '"text";"a, b, c"\nДа, но;1\n', "Да, но")],
)
def test_commas_of_texts_and_names_separate_nothing(tmp_path, name, content, text):
    (tmp_path / name).write_text(content, encoding="utf-8")
    assert [cells["text"] for _, cells in table.rows(tmp_path / name, {"text": "text_column"})] == [text]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.xlsx", b"PK", "save a spreadsheet as `CSV UTF-8`"),
        ("a.txt", b"a", "is plain text, without columns"),
        ("a.jsonl", b'{"label": 1, "text": "a"}\n[1]\n', "a.jsonl, row 2: a list, no object"),
        ("a.csv", "label,text\nskip,а\nskip,б,в\n".encode(), "a.csv, row 2: 3 cells of 2; .*quote its texts"),
        ("a.csv", 'label,text\nskip,а\nskip,"б\nskip,в\n'.encode(), "a.csv:3: a quote opens here and never closes"),
        ("a.csv", b"label,text\n", "a.csv has no rows"),
        ("a.csv", b"label,text,text\n", "two columns have the name 'text'"),
        ("a.parquet", b"PAR1", "cannot be read as parquet"),
        (
            "a.csv",
            ("label,text\n" + "skip,слово и дело\n" * 9).encode("koi8-r"),
            "a.csv is no UTF-8 but probably",
        ),
    ],
)
def test_tables_that_are_refused(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        list(table.rows(tmp_path / name, KEYS))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", ":1: the header has no column `label`; make it label,text"),
        ('label,text\nskip,"а\nб"\nskip,да,нет\n', ":4: not 2 cells; quote texts that hold commas"),
        ("label,text\nskip,да\nsad,да\n", ":3: label 'sad' is none of skip, speech"),
        ('label,text\nskip,"\n "\n', ":3: the text is blank; fill it in or delete the row"),
        ('label,text\nskip,"а\nб"\nskip,"cut\nhere\n', ":4: no CSV (unexpected end of data); mend the row's quotes"),
    ],
)
def test_damaged_files_are_refused_by_line(tmp_path, content, message):
    """A file that was cut would else be a smaller benchmark, and a wrong label one more class."""
    with pytest.raises(UserError) as caught:
        read(tmp_path, content)
    assert f"a.csv{message}" in str(caught.value) and "\n" not in str(caught.value)


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0")).filter(str.strip), min_size=1))
def test_what_is_written_is_read_back(tmp_path_factory, texts):
    """Commas, quotes and every kind of line break, which a reader of lines or with translation would change."""
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    assert table.write(path, COLUMNS, [("skip", text) for text in texts]) == path
    found = list(table.records(path, COLUMNS, label=LABELS))
    assert [(cells["label"], cells["text"]) for cells in found] == [("skip", text) for text in texts]

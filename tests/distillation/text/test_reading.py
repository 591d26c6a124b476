"""Corpora are read whole from every format, mended where they are damaged, and refused by name."""

import csv
import gzip
import json
import logging
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset

from distillation.config.arguments import DataArguments
from distillation.config.errors import UserError
from distillation.corpus.examples import tokenize
from distillation.text import reading as lines
from distillation.text.reading import hold_out, load_lines
from distillation.vocabularies.wordpiece import SPECIAL_TOKENS, build_tokenizer

LINES = ["Мама мыла раму.", 'Кавычки " и, запятые; ёж — йод', "NA", "null", "1999", "The end"]


def write(path, lines):
    """Write lines in the format that the file's name says."""
    name = path.name.removesuffix(".gz")
    if name.endswith(".parquet"):
        pq.write_table(pa.table({"text": lines, "other": list(range(len(lines)))}), path)
        return path
    with gzip.open(path, "wt", encoding="utf-8", newline="") if path.suffix == ".gz" else open(path, "w") as file:
        if name.endswith(".csv"):
            writer = csv.writer(file)
            writer.writerows([("other", "text"), *enumerate(lines)])
        elif name.endswith(".jsonl"):
            file.writelines(json.dumps({"other": 1, "text": line}, ensure_ascii=False) + "\n" for line in lines)
        else:
            file.writelines(f"{line}\n" for line in lines)
    return path


def read(path, **keys):
    return load_lines(DataArguments(**keys), str(path), None)["text"][:]


@pytest.mark.parametrize("name", ["c.txt", "c.txt.gz", "c.jsonl", "c.jsonl.gz", "c.csv", "c.csv.gz", "c.parquet"])
def test_every_format_gives_the_same_lines(tmp_path, name):
    """A reader that guesses types would turn "1999" into a number and "NA" into nothing."""
    assert read(write(tmp_path / name, LINES)) == LINES


def test_folders_and_globs_give_the_lines_of_all_their_files(tmp_path):
    """A folder of shards, some of them deeper, is one corpus; what is no corpus file there is passed over."""
    (tmp_path / "deep").mkdir()
    for name, line in {"b.txt": "второй", "a.txt.gz": "первый", "deep/c.jsonl": "третий"}.items():
        write(tmp_path / name, [line])
    (tmp_path / "notes.md").write_text("не корпус")
    (tmp_path / "empty.txt").touch()
    assert sorted(read(tmp_path)) == ["второй", "первый", "третий"]
    assert read(tmp_path / "*.txt*") == ["первый", "второй"]
    assert read(tmp_path / "**/*.jsonl") == ["третий"]


def test_files_of_several_formats_are_one_corpus(tmp_path):
    """Each format has types of its own, and other columns may contradict each other: only the text counts."""
    write(tmp_path / "a.jsonl", LINES[:2])
    write(tmp_path / "b.csv", LINES[2:4])
    write(tmp_path / "c.parquet", LINES[4:])
    (tmp_path / "d.jsonl").write_text("")
    assert sorted(read(tmp_path)) == sorted(LINES)


def test_text_column_is_taken_by_name(tmp_path):
    """Otherwise a table with several texts would train on the wrong one."""
    path = tmp_path / "c.jsonl"
    path.write_text('{"title": "имя", "body": "тело"}\n')
    assert read(path, text_column="body") == ["тело"]
    with pytest.raises(UserError, match=r"no column `text`; set `text_column`.*title.*body"):
        read(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("absent.txt", None, "absent.txt"),
        ("c.docx", "слова", r"c\.docx: a corpus file ends in"),
        ("c.txt", "", "every file is empty"),
        ("c.txt", "\n \n\t\n\u00a0\n\x00\n", "no usable line"),
        ("c.jsonl", '{"text": "целая"}\n{"text": "разор', "cannot be read as json"),
        ("c.jsonl", "не json вовсе\n", "cannot be read as json"),
        ("c.csv", "text\nодна\nдве,три,четыре\n", "cannot be read as csv"),
        ("c.parquet", "не parquet", "cannot be read as parquet"),
        ("c.txt.gz", "не gzip", "cannot be read as text|no usable line"),
    ],
)
def test_unreadable_corpora_are_refused_by_name(tmp_path, monkeypatch, name, content, message):
    """A traceback from inside a library tells nobody which key or file to mend, and half a file is no corpus."""
    monkeypatch.chdir(tmp_path)
    if content is not None:
        (tmp_path / name).write_text(content)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match=message) as caught:
        read(tmp_path / name)
    assert "\n" not in str(caught.value) and name in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("damage", [lambda b: b[:-20], lambda b: b[:400] + b"\0" * 40 + b[440:]], ids=["cut", "torn"])
def test_damaged_archives_are_refused_by_name(tmp_path, corpus_file, damage):
    """A download that broke off would otherwise end in a traceback, or train on half a corpus."""
    path = tmp_path / "c.txt.gz"
    path.write_bytes(damage(corpus_file.read_bytes()))
    with pytest.raises(UserError, match=r"c\.txt\.gz.* cannot be read as text"):
        read(path)


@pytest.mark.parametrize("column", [[["a"]] * 20, [{"a": "b"}] * 20], ids=["lists", "objects"])
def test_a_column_without_text_is_refused_by_name(tmp_path, column):
    pq.write_table(pa.table({"text": column}), tmp_path / "c.parquet")
    with pytest.raises(UserError, match="c.parquet: `text_column` 'text' holds no text"):
        read(tmp_path / "c.parquet")


@pytest.mark.parametrize("name", ["absent.txt", "dangling.txt", "ж" * 200 + ".txt", "a\0b.txt", "[.txt"])
def test_what_is_no_file_is_refused_by_name(tmp_path, name):
    (tmp_path / "dangling.txt").symlink_to(tmp_path / "nothing")
    with pytest.raises(UserError, match="no corpus at"):
        read(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "content"), [("c.txt.gz", gzip.compress(b"", mtime=0)), ("c.csv", b"text\n"), ("c.jsonl", b"\n")], ids=str
)
def test_a_file_without_a_row_has_no_usable_line(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match="no usable line"):
        read(tmp_path / name)


def test_one_corpus_is_named_and_not_two():
    """Two sources would leave it open which one was trained on."""
    for files, name in ((None, None), ("a.txt", "b")):
        with pytest.raises(UserError, match="`train_file`.*`dataset_name`"):
            load_lines(DataArguments(), files, name)


def test_bad_bytes_are_mended_and_counted(tmp_path, caplog):
    """One bad byte in a web crawl must not stop a run of days, nor reach the model unsaid."""
    path = tmp_path / "c.txt"
    path.write_bytes("целая\nби\xfcта\n".encode("cp1251", "replace") + "цел\0ая\n\n  \nда\r\n".encode())
    with caplog.at_level(logging.WARNING, "distillation"):
        found = read(path)
    assert found[-2:] == ["целая", "да"]  # the lines in cp1251 have no letter left
    path.write_bytes("до".encode() + b"\xff\xfe" + "м\nцел\0ая\n\n  \nда\r\n".encode())
    caplog.clear()
    with caplog.at_level(logging.WARNING, "distillation"):
        assert read(path) == ["дом", "целая", "да"]
    (message,) = caplog.messages
    assert str(path) in message
    assert "2 empty lines dropped" in message
    assert "1 lines with invalid UTF-8 mended" in message
    assert "1 lines with NUL or control characters mended" in message


@pytest.mark.parametrize(
    ("name", "row"), [("c.txt", b"%s\n"), ("c.jsonl", b'{"text": "%s"}\n'), ("c.csv", b'"%s"\n')], ids=str
)
def test_bad_bytes_are_survived_in_every_text_format(tmp_path, name, row):
    """The readers of `datasets` differ: that of JSON lets bad bytes through until something reads the column."""
    lines = [b"text"] if name == "c.csv" else []
    rows = b"".join(row % text for text in [*lines, "целая".encode(), "до".encode() + b"\xff\xfe" + "м".encode()])
    (tmp_path / name).write_bytes(rows)
    assert read(tmp_path / name) == ["целая", "дом"]


@pytest.mark.parametrize("word", ["издательство ", "ж"])
def test_lines_of_ten_megabytes_are_cut_and_counted(tmp_path, caplog, word):
    """A whole book on one line, or ten megabytes without a space, must neither hang nor be lost."""
    tokenizer = build_tokenizer([*SPECIAL_TOKENS, "издательство", "до", "после"], 64)
    line = (word * (5 * 2**20 // len(word))).strip()  # a Cyrillic letter takes two bytes
    path = write(tmp_path / "c.txt", ["до", line, "после"])
    with caplog.at_level(logging.WARNING, "distillation"):
        lines = load_lines(DataArguments(), str(path), None)
    assert lines["text"][:] == ["до", line, "после"]
    assert "1 lines of over a million characters cut" in caplog.text
    examples = tokenize(lines, [tokenizer], "word", max_length=64)
    assert max(examples["length"][:]) <= 64
    covered = sum(sum(sizes) for sizes in examples["unit_characters"])
    assert covered == len("до" + line.replace(" ", "") + "после")


def test_lines_set_aside_depend_on_no_seed_and_are_a_tenth_at_most():
    """Runs with other seeds compare only on the same held-out lines, and a small corpus must stay one."""
    lines = Dataset.from_dict({"text": list(map(str, range(57)))})
    np.random.seed(1)
    train, first = hold_out(lines, 2000)
    np.random.seed(2)
    assert hold_out(lines, 2000)[1]["text"][:] == first["text"][:]
    assert len(first) == 5
    assert sorted([*train["text"], *first["text"]]) == sorted(lines["text"])
    assert len(hold_out(lines, 3)[1]) == 3
    with pytest.raises(UserError, match="`validation_file`"):
        hold_out(Dataset.from_dict({"text": list("123456789")}), 2000)


def test_hub_failures_name_the_key(monkeypatch):
    """Without a network the message must say which id was wanted."""
    with pytest.raises(UserError, match="dataset_name 'nobody/nothing' cannot be loaded"):
        load_lines(DataArguments(), None, "nobody/nothing")
    monkeypatch.setattr(lines, "load_dataset", lambda *a, **k: SimpleNamespace(column_names=["a"]))
    with pytest.raises(UserError, match="nobody/nothing has no column `text`"):
        load_lines(DataArguments(), None, "nobody/nothing")

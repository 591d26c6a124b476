"""Corpora of every format are read completely, mended where they are damaged, and refused by name."""

import gzip

import fsspec
import pandas as pd
import pytest
from datasets import Dataset

from distillation.config.corpus import DataArguments
from distillation.config.errors import UserError
from distillation.corpus.examples import Encoder, tokenize
from distillation.text import reading
from distillation.text.reading import Source, first_lines, load_lines
from distillation.vocabularies.wordpiece import SPECIAL_TOKENS, build_tokenizer

LINES = ["Мама мыла раму.", 'Кавычки " и, запятые; ёж — йод', "NA", "null", "1999", "The end"]


def write(path, lines):
    """Write lines in the format that the file's name says."""
    table, kind = pd.DataFrame({"other": range(len(lines)), "text": lines}), path.name.split(".")[1]
    if kind == "parquet":
        table.to_parquet(path)
        return path
    with fsspec.open(path, "wt", compression="infer", encoding="utf-8", newline="") as file:
        if kind in ("csv", "tsv"):
            table.to_csv(file, index=False, sep="," if kind == "csv" else "\t")
        elif kind == "jsonl":
            table.to_json(file, orient="records", lines=True, force_ascii=False)
        else:
            file.writelines(f"{line}\n" for line in lines)
    return path


def read(path, **keys):
    return load_lines(DataArguments(**keys), str(path), None)["text"][:]


def test_files_folders_and_globs_of_every_format_give_their_lines(tmp_path):
    """A reader that guesses types would turn "1999" into a number and "NA" into nothing. Other columns may contradict
    each other: only the text counts."""
    (tmp_path / "deep").mkdir()
    names = ["a.txt", "b.txt.gz", "c.jsonl.gz", "deep/d.jsonl", "e.csv", "f.parquet", "g.tsv"]
    for name in names:
        assert read(write(tmp_path / name, LINES)) == LINES
    (tmp_path / "notes.md").write_text("не корпус")
    (tmp_path / "empty.jsonl").touch()
    assert sorted(read(tmp_path)) == sorted(LINES * len(names))
    assert read(tmp_path / "*.txt*") == LINES * 2
    assert read(tmp_path / "**/*.jsonl") == LINES


def test_page_breaks_and_vertical_tabs_part_words(tmp_path):
    """Texts from PDF and word processors have them. BERT's normaliser would take them away."""
    assert read(write(tmp_path / "c.jsonl", ["а\x0bб\x0cв\x1cг\x85д"])) == ["а б в г д"]


def test_text_column_is_taken_by_name(tmp_path):
    """Otherwise a table with several texts would train on the wrong one."""
    path = tmp_path / "c.jsonl"
    path.write_text('{"title": "имя", "body": "тело"}\n')
    assert read(path, text_column="body") == ["тело"]
    with pytest.raises(UserError, match=r"no column `text`; set `text_column`.*title.*body"):
        read(path)
    with pytest.raises(UserError, match="`dataset_name` 'nobody/nothing' cannot be loaded"):  # there is no network
        load_lines(DataArguments(), None, "nobody/nothing")


def test_plain_text_has_no_columns(tmp_path):
    """So it goes with tables of any column, in one folder, or as `validation_file`."""
    write(tmp_path / "c.txt", LINES)
    (tmp_path / "d.csv").write_text("id;body\n1;тело\n")
    assert read(tmp_path / "c.txt", text_column="body") == LINES
    assert read(tmp_path, text_column="body") == [*LINES, "тело"]
    assert first_lines(Source(DataArguments(train_file=str(tmp_path), text_column="body")), 100) == [*LINES, "тело"]


def test_a_column_of_the_hub_that_holds_no_texts_is_refused(monkeypatch):
    """Their Python forms would be trained on. Numbers are texts, and NaN is none."""
    hub = Dataset.from_dict({"tokens": [["Где", "стол"]] * 3, "body": ["Где стол?", None, "7"], "n": [7.5, None, 1]})
    monkeypatch.setattr(reading, "load_dataset", lambda *_, split, streaming: hub)
    for column, texts in {"body": ["Где стол?", "7"], "n": ["7.5", "1.0"]}.items():
        assert load_lines(DataArguments(text_column=column), None, "a/b")["text"][:] == texts
    with pytest.raises(UserError, match="100% of the lines cannot be read|no usable line"):
        load_lines(DataArguments(text_column="tokens"), None, "a/b")


@pytest.mark.parametrize("load", [lambda data: load_lines(data, None, data.dataset_name), Source])
def test_a_folder_is_no_hub_id(load, tmp_path):
    """`datasets` caches a folder by its path and time, which another corpus at the same place may share."""
    write(tmp_path / "c.txt", LINES)
    with pytest.raises(UserError, match="is a path, no Hub id: name the files.*`train_file`"):
        load(DataArguments(dataset_name=str(tmp_path)))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("[.txt", None, "no corpus at"),
        ("c.docx", "слова", r"c\.docx: a corpus file ends in"),
        ("c.txt", "", "every file is empty"),
        ("c.txt", "\n \n\t\n\u00a0\n\x00\n", "no usable line"),
        ("c.txt", "\u200b\n\u200b \u00ad\n", "no usable line"),  # of nothing that is seen: it has no token
        ("c.txt.gz", gzip.compress(b"", mtime=0), "no usable line"),
        ("c.csv", "text\n", "no usable line"),
        ("c.jsonl", '{"text": "целая"}\n{"text": "разор', "50% of the lines cannot be read"),
        ("c.txt.gz", gzip.compress(b"text\n" * 2000, mtime=0)[:-20], "cannot be read as text"),
        ("c.jsonl", '{"text": ["а"]}\n', "no usable line.*`text_column`"),
        ("c.csv", "text\nодна\nдве,три\n", "50% of the lines cannot be read"),
        ("c.csv", 'text\nодна\n"открыта\nдве\n', "c.csv:3: a quote opens here and never closes"),
        ("c.parquet", "не parquet", "cannot be read as parquet"),
    ],
)
def test_unreadable_corpora_are_refused_by_name(tmp_path, name, content, message):
    """A traceback from inside a library tells nobody which key or file to mend, and half a file is no corpus."""
    if content is not None:
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=message) as caught:
        read(tmp_path / name)
    assert "\n" not in str(caught.value) and name in str(caught.value)


@pytest.mark.parametrize(
    ("name", "row"), [("c.txt", b"%s\n"), ("c.jsonl", b'{"text": "%s"}\n'), ("c.csv", b'"%s"\n')], ids=str
)
def test_bad_bytes_are_mended_and_counted(tmp_path, caplog, name, row):
    """One bad byte must neither stop a run of days nor reach the model unsaid. The readers of `datasets` differ: that
    of JSON lets bad bytes through until something reads the column."""
    nul = b"\\u0000" if name == "c.jsonl" else b"\0"
    texts = ["целая".encode(), "до".encode() + b"\xff\xfe" + "м".encode(), b" ", "д".encode() + nul + "а ".encode()]
    (tmp_path / name).write_bytes(b"".join(row % text for text in [b"text"] * (name == "c.csv") + texts))
    assert read(tmp_path / name) == ["целая", "дом", "да"]
    (message,) = caplog.messages
    assert str(tmp_path / name) in message
    assert all(f"1 {flaw}" in message for flaw in ("empty lines", "lines with invalid UTF-8", "lines with NUL"))


@pytest.mark.parametrize("word", ["издательство ", "ж"])
def test_lines_of_megabytes_are_cut_and_counted(tmp_path, caplog, word):
    """A whole book on one line, or megabytes without a space, must neither hang nor be lost."""
    tokenizer = build_tokenizer([*SPECIAL_TOKENS, "издательство", "до", "после"])
    line = (word * (3 * 2**19 // len(word))).strip()
    path = write(tmp_path / "c.txt", ["до", line, "после"])
    lines = load_lines(DataArguments(), str(path), None)
    assert lines["text"][:] == ["до", line, "после"]
    assert "1 lines of over a million characters cut" in caplog.text
    examples = tokenize(lines, Encoder([tokenizer], "word", 64))
    assert max(examples["length"][:]) <= 64
    assert sum(map(sum, examples["word_characters"])) == len("до" + line.replace(" ", "") + "после")

"""Which files are a corpus, and what of their rows is text: nothing beside it matters, and nothing is lost unsaid."""

import gzip
import os
import re
import unicodedata

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from distillation.config.corpus import DataArguments
from distillation.config.errors import UserError
from distillation.text import files, reading
from distillation.text.reading import Source, first_lines
from tests.distillation.text.test_reading import LINES, read, write

TEXT = "".join(f"Повар рисует {n} книг, а кошка ждёт чай у реки.\n" for n in range(50))
FRENCH = "L'été dernier, nous avons mangé des pâtes à la crème près du château.\n" * 50


def source(path):
    return Source(DataArguments(train_file=str(path)))


@pytest.mark.parametrize("name", ["c.txt", "c.jsonl.gz", "c.parquet"])
def test_the_cache_knows_a_corpus_by_what_it_holds(tmp_path, monkeypatch, name):
    """Archives with fixed times and some network mounts leave another corpus at the same path and time."""
    for lines in (["первая", "одна"], ["вторая", "иная"]):
        os.utime(write(tmp_path / name, lines), (10**9, 10**9))
        assert read(tmp_path / name) == lines
    monkeypatch.setattr(reading, "read_rows", None)
    assert read((tmp_path / name).rename(tmp_path / f"moved-{name}")) == lines


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1251", "utf-16"])
@pytest.mark.parametrize("name", ["c.csv", "c.tsv", "c.csv.gz", "c.csv.zst"])
def test_tables_of_spreadsheets_are_read(tmp_path, caplog, encoding, name):
    """Excel writes semicolons and CP1251. With the wrong delimiter whole rows would be the texts of a lone column."""
    content, path = f"id;text;label\n{TEXT}".replace("Повар", "7;Повар").replace(".\n", ".;1\n"), tmp_path / name
    packing = {".gz": "gzip", ".zst": "zstd"}.get(path.suffix)
    content = content.replace(";", "\t" if ".tsv" in name else ";").encode(encoding)
    path.write_bytes(pa.compress(content, packing, asbytes=True) if packing else content)
    assert read(path) == first_lines(source(path), 100) == TEXT.splitlines() and not caplog.messages
    for take in (read, lambda path, **keys: Source(DataArguments(train_file=str(path), **keys))):
        with pytest.raises(UserError, match=r"no column `body`; set `text_column`.*\['id', 'text', 'label'\]"):
            take(path, text_column="body")


@pytest.mark.parametrize(
    ("text", "written", "found"),
    [
        (TEXT, "cp1251", "cp1251"),
        (f"\ufeff{TEXT}", "utf-16-le", "utf-16"),
        (TEXT, "utf-8", None),
        (f"п»ї{TEXT}", "cp1251", None),  # the mark of UTF-8 before it: letters of the first column's name
        (TEXT, "koi8-r", None),
        (TEXT, "mac-cyrillic", None),  # its small letters but ё and я are those of CP1251
        (FRENCH, "cp1252", None),
        ("menu à la carte\n", "cp1252", None),  # a stray letter; what follows may be UTF-8
        ("Я да ты\n", "cp1251", "cp1251"),
    ],
)
def test_which_files_are_taken_for_those_of_excel(text, written, found):
    """A wrong guess would train on letters that nobody wrote."""
    assert files.encoding_of_excel(text.encode(written)) == found


@pytest.mark.parametrize("take", [read, source])
@pytest.mark.parametrize("name", ["c.txt", "c.txt.gz", "folder"])
@pytest.mark.parametrize(
    ("encoding", "named", "text"),
    [
        *[(encoding, encoding, TEXT) for encoding in ("cp1251", "koi8-r", "utf-16", "mac-cyrillic")],
        *[("utf-16-le", "utf-16le", text) for text in (TEXT, FRENCH)],  # without a byte order mark
        ("cp1252", "(cp|iso8859-)[0-9]+", FRENCH),  # several spell these letters alike
    ],
)
def test_another_encoding_is_refused_with_the_command_that_converts(tmp_path, take, name, encoding, named, text):
    """Mended as single bytes are, its lines would be commas and spaces."""
    content, path = text.encode(encoding), tmp_path / name
    if name == "folder":  # one among files that are right
        path.mkdir()
        write(path / "a.txt", LINES * 200)
        (path / "b.txt").write_bytes(content)
    else:
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    with pytest.raises(UserError) as caught:
        take(path)
    assert re.search(rf"(?i)\| iconv -f {named} -t utf-8", str(caught.value)) and text[:4] in str(caught.value)


def test_the_mark_of_utf_8_before_other_letters_is_not_read(tmp_path):
    (tmp_path / "c.txt").write_text(f"п»ї{TEXT}", "cp1251")
    with pytest.raises(UserError, match=r"has 'Повар .*iconv -f CP1251"):
        read(tmp_path / "c.txt")


@pytest.mark.parametrize("encoding", ["CP1251", "CP1252", "LATIN1"])
def test_text_that_was_encoded_twice_is_refused(tmp_path, encoding):
    """Мама as РњР°РјР° is valid UTF-8, and would be learnt. The message has the command that undoes it."""
    path, damaged = tmp_path / "c.txt", TEXT.encode().decode(encoding, "ignore").encode()
    path.write_bytes(TEXT.encode() * 4 + damaged)
    with pytest.raises(UserError, match=f"has read as {encoding} .* iconv -f UTF-8 -t {encoding} > NEW-FILE"):
        read(path)
    path.write_text("Café à la crème, 5 € №\nŒuvre\nд’Артаньян\n東京\n")
    assert len(read(path)) == 4


def test_lines_in_another_encoding_are_dropped_and_counted(tmp_path, caplog):
    """Of a few among many no letter would be left. Too many behind a part that is right are refused."""
    path, other = tmp_path / "c.txt", TEXT.encode("cp1251").splitlines(keepends=True)[0]
    path.write_bytes(TEXT.encode() + other)
    assert read(path) == TEXT.splitlines()
    assert "1 lines dropped that cannot be read" in caplog.text
    path.write_bytes(b"latin only\n" * 100_000 + other * 20_000)
    with pytest.raises(UserError, match="17% of the lines cannot be read"):
        read(path)


def test_hidden_files_and_texts_about_the_corpus_are_no_part_of_it(tmp_path, caplog):
    """Jupyter's copies bring held-out lines back, as network disks' trash does; macOS leaves a ._ file beside each,
    and Word a ~$ file; a licence is no text."""
    caplog.set_level("INFO", "distillation")
    hidden = [".ipynb_checkpoints/a.txt", "._a.txt", ".git/x.txt", "__MACOSX/a.txt", "$RECYCLE.BIN/$R1.txt"]
    hidden += ["#recycle/a.txt", "@Recycle/a.txt", "#snapshot/a.txt", "~$a.txt"]
    about = ["README.txt", "README_ru.txt", "deep/LICENSE-CC.txt", "LICENSES.txt", "SHA256SUMS.txt"]
    for name in ("a.txt", "b.jsonl", *hidden, *about, "licensed.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write(tmp_path / name, LINES[:1] if name in ("a.txt", "b.jsonl", "licensed.txt") else ["чужая"])
    assert read(tmp_path) == LINES[:1] * 3
    for shown in ("3 files are read: ", "licensed.txt; left out for their names: ", *about):
        assert shown in caplog.text
    assert read(tmp_path / "**/*.txt") == LINES[:1] * 2
    for name in ("README*.txt", "README.txt", ".git"):  # named, it is meant
        assert set(read(tmp_path / name)) == {"чужая"}


A = '{"text": "а"}\n'


@pytest.mark.parametrize(
    ("name", "content", "lines", "counted"),
    [
        ("c.jsonl", A + '{"text": "б", "n": 1}\n{"n": "x", "m": {"k": []}, "text": "в"}\n', "абв", []),
        ("c.jsonl", A + '{"text": 1999}\n', ["а", "1999"], []),
        ("c.jsonl", A + '{"text": NaN}\n', "а", ["1 empty"]),
        ("c.jsonl", A * 20 + '{"text": 0}\n{"text": false}\n', "а" * 20 + "0", ["1 lines dropped"]),
        ("c.jsonl", A * 20 + '{"text": ["б"]}\n{"text": {"n": 1}}\n', "а" * 20, ["2 lines dropped"]),
        ("c.jsonl", A * 20 + '{"text": "разор', "а" * 20, ["1 lines dropped"]),
        ("c.jsonl", '{"text": "а\\ud83dб"}\n{"text": null}\n\n', ["аб"], ["1 lines with invalid", "2 empty"]),
        ("c.csv", "text,n\n" + "а,1\n" * 20 + 'б,в,2\n"а"б,3\n', "а" * 20, ["2 lines dropped"]),
        ("c.TXT", "\ufeffа\nб\n\ufeffв\n", "абв", []),
        ("c.csv", "\ufefftext\nа\n", "а", []),
        ("c.jsonl", "\ufeff" + A, "а", []),
        ("c.txt", unicodedata.normalize("NFD", "йод\nёж\nон\n"), ["йод", "ёж", "он"], ["2 lines with decomposed"]),
    ],
)
def test_what_is_strange_in_one_row_does_not_touch_the_others(tmp_path, caplog, name, content, lines, counted):
    """A number made all lines JSON escapes, and half of an emoji, or a column that changes its type, ended a run."""
    (tmp_path / name).write_bytes(content.encode())
    for take in (read, lambda path: first_lines(source(path), 100)):
        caplog.clear()
        assert take(tmp_path / name) == list(lines)
        assert all(flaw in caplog.text for flaw in counted) and bool(counted) == bool(caplog.messages)


def test_damaged_bytes_in_parquet_are_mended(tmp_path):
    """A writer does not check what it calls a string."""
    damaged = pa.array([b"\xd0\xb4\xd0\xbe\xff\xd0\xbc", None]).buffers()
    strings = pa.StringArray.from_buffers(2, damaged[1], damaged[2], damaged[0])
    pq.write_table(pa.table({"text": strings, "other": [[1], [2]]}), tmp_path / "c.parquet")
    assert read(tmp_path / "c.parquet") == ["дом"]


@pytest.mark.parametrize(("ending", "packing"), [(".gz", "gzip"), (".zst", "zstd")])
def test_archives_of_several_parts_are_read_to_their_end_and_torn_ones_refused(tmp_path, ending, packing):
    """Joined archives have parts, and those of packers that work in parallel."""
    path, part = tmp_path / f"c.txt{ending}", pa.compress(TEXT.encode(), packing, asbytes=True)
    path.write_bytes(part * 2)
    assert read(path) == TEXT.splitlines() * 2 == first_lines(source(path), 10**6)
    path.write_bytes(part + part[:-6])
    with pytest.raises(UserError, match="cannot be read as text"):
        read(path)


def test_a_cache_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    """It is no fault of the corpus."""
    path, cache = write(tmp_path / "c.txt", ["строка, которую ещё никто не читал"]), tmp_path / "file" / "cache"
    cache.parent.touch()
    monkeypatch.setattr(reading.datasets.config, "HF_DATASETS_CACHE", str(cache))
    with pytest.raises(UserError, match="the cache of `datasets` in .*file.cache cannot be written .*: set HF_HOME"):
        read(path)

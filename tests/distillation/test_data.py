"""Corpus reading, and the laws of cutting lines into examples and units."""

import csv
import functools
import gzip
import json
import logging
import unicodedata
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from distillation import data
from distillation.arguments import DataArguments
from distillation.data import check_unknown, hold_out, load_corpus, load_lines, tokenize
from distillation.recipe import RecipeError
from distillation.vocabulary import SPECIAL_TOKENS, build_tokenizer

LINES = ["Мама мыла раму.", 'Кавычки " и, запятые; ёж — йод', "NA", "null", "1999", "The end"]

# Pieces of text in which tokenizers disagree about what a character or a word is.
PIECES = [
    *"абвёйиЁЙяЯ",
    *"abcXYZ",
    *"0123",
    *" .,—-'\"«»…",
    *("е\u0308", "и\u0306", "о\u0301", "а\u0323\u0301", "а\u0301\u0323"),  # combining marks, in both orders
    *("\u00ad", "\u00a0", "\u200b", "\u200d", "\ufeff", "\u2003", "\u2028"),  # hyphens and spaces that do not look so
    *("👩\u200d👩\u200d👧", "🏳️\u200d🌈", "❤️", "👍🏽"),
    *("ﬁ", "½", "™", "ﷺ", "中", "か\u3099", "한", "\U0001d400"),
    *("стол", "студент", " студенты ", "Где ", " увидел", "журнал", "  "),
]
texts = st.lists(st.sampled_from(PIECES) | st.characters(exclude_categories=["Cs"]), min_size=1, max_size=25)
texts = texts.map("".join).map(lambda text: data._clean({"text": [text]})["text"][0]).filter(bool)
slow = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


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


def as_dataset(*lines):
    return Dataset.from_dict({"text": list(lines)})


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
    with pytest.raises(RecipeError, match=r"no column `text`; set `text_column`.*title.*body"):
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
    with pytest.raises(RecipeError, match=message) as caught:
        read(tmp_path / name)
    assert "\n" not in str(caught.value) and name in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("damage", [lambda b: b[:-20], lambda b: b[:400] + b"\0" * 40 + b[440:]], ids=["cut", "torn"])
def test_damaged_archives_are_refused_by_name(tmp_path, corpus_file, damage):
    """A download that broke off would otherwise end in a traceback, or train on half a corpus."""
    path = tmp_path / "c.txt.gz"
    path.write_bytes(damage(corpus_file.read_bytes()))
    with pytest.raises(RecipeError, match=r"c\.txt\.gz.* cannot be read as text"):
        read(path)


def test_one_corpus_is_named_and_not_two():
    """Two sources would leave it open which one was trained on."""
    for files, name in ((None, None), ("a.txt", "b")):
        with pytest.raises(RecipeError, match="`train_file`.*`dataset_name`"):
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


def test_load_corpus_joins_the_steps(corpus_file, corpus_lines, tokenizer):
    """What is set aside must not be trained on, and both parts are read by the same tokenizer."""
    corpus = load_corpus(DataArguments(train_file=str(corpus_file), max_length=64), [tokenizer], "token")
    aside = corpus.validation_lines["text"][:]
    assert len(aside) == 40 and set(aside) < set(corpus_lines)
    assert [tokenizer.encode(line) for line in aside] == corpus.validation["input_ids"][:]
    trained = {tuple(ids) for ids in corpus.train["input_ids"]}
    assert trained == {tuple(tokenizer.encode(line)) for line in set(corpus_lines) - set(aside)}


def test_validation_file_leaves_the_corpus_whole(tmp_path, corpus_file, tokenizer):
    """With held-out text of its own a corpus must lose no line."""
    held_out = write(tmp_path / "v.txt", ["Где стол?", "Где столы?"])
    arguments = DataArguments(train_file=str(corpus_file), validation_file=str(held_out))
    corpus = load_corpus(arguments, [tokenizer], "token")
    assert (len(corpus.train), corpus.validation_lines["text"][:]) == (400, ["Где стол?", "Где столы?"])


def test_lines_set_aside_depend_on_no_seed_and_are_a_tenth_at_most():
    """Runs with other seeds compare only on the same held-out lines, and a small corpus must stay one."""
    lines = as_dataset(*map(str, range(57)))
    np.random.seed(1)
    train, first = hold_out(lines, 2000)
    np.random.seed(2)
    assert hold_out(lines, 2000)[1]["text"][:] == first["text"][:]
    assert len(first) == 5
    assert sorted([*train["text"], *first["text"]]) == sorted(lines["text"])
    assert len(hold_out(lines, 3)[1]) == 3
    with pytest.raises(RecipeError, match="`validation_file`"):
        hold_out(as_dataset(*"123456789"), 2000)


def test_a_tokenizer_of_another_language_is_refused(corpus_lines):
    """Its student would learn to predict the unknown token, and its losses would look excellent."""
    latin = build_tokenizer([*SPECIAL_TOKENS, ".", "?", "—", *"abc"], 64)
    examples = tokenize(as_dataset(*corpus_lines), [latin], "word", 64)
    with pytest.raises(RecipeError, match=r"\d% of the corpus are unknown tokens.*`max_unknown` \(0.05\)"):
        check_unknown(examples, "input_ids", latin, 0.05)
    check_unknown(examples, "input_ids", latin, 1.0)


def test_unknown_tokens_up_to_the_limit_pass():
    """Hand-worked: one token of five is unknown, special tokens included."""
    small = build_tokenizer([*SPECIAL_TOKENS, "да", "нет"], 64)
    examples = tokenize(as_dataset("да 中 нет"), [small], "word", 64)
    check_unknown(examples, "input_ids", small, 0.2)
    with pytest.raises(RecipeError, match="20.0%"):
        check_unknown(examples, "input_ids", small, 0.19)


def test_a_literal_example():
    """Hand-worked: "ёж-йод" is three words, "ёж" of two tokens; the ids of one line count up from its own base."""
    small = build_tokenizer([*SPECIAL_TOKENS, "ё", "##ж", "-", "йод", "съел"], 64)
    rows = tokenize(as_dataset("йод", "ёж-йод съел"), [small], "word", 64)
    assert rows["id"][:] == [0, 2**24]
    assert rows["input_ids"][:] == [[2, 8, 3], [2, 5, 6, 7, 8, 9, 3]]
    assert rows["units"][:] == [[-1, 0, -1], [-1, 0, 0, 1, 2, 3, -1]]
    assert rows["unit_characters"][:] == [[3], [2, 1, 3, 4]]
    assert rows["length"][:] == [3, 7]
    tokens = tokenize(as_dataset("ёж-йод съел"), [small], "token", 64)
    assert tokens["units"][:] == [[-1, 0, 1, 2, 3, 4, -1]]
    assert tokens["unit_characters"][:] == [[1, 1, 1, 3, 4]]


def test_a_token_across_a_word_border_grows_the_unit():
    """Hand-worked: the second tokenizer has "-йо" as one token, so "ёж-йод" can only be hidden as "ёж" and "-йод"."""
    text = "ёж-йод съел"
    spans = [[(0, 1), (1, 2), (2, 3), (3, 6), (7, 11)], [(0, 2), (2, 5), (5, 6), (6, 11)]]
    units = data._units(text, [np.array(s) for s in spans], "word")
    # " съел" with its space straddles only the start of "съел", so the unit grows to the end of "йод".
    assert units.tolist() == [[0, 2], [2, 6], [6, 11]]
    assert data._units(text, [np.array([(0, 3), (3, 6), (7, 11)])], "word").tolist() == [[0, 3], [3, 6], [7, 11]]


def test_equal_inputs_are_read_from_the_cache(corpus_file, corpus_lines, monkeypatch):
    """Tokenizing a large corpus takes hours: once. A stale cache would train on examples of another recipe."""
    build = functools.partial(build_tokenizer, [*SPECIAL_TOKENS, *"абвгдеё"], 64)
    lines = load_lines(DataArguments(), str(corpus_file), None)
    first = tokenize(lines, [build()], "word", 16)
    others = [
        tokenize(lines, [build()], "word", 17),
        tokenize(lines, [build()], "token", 16),
        tokenize(lines, [build_tokenizer([*SPECIAL_TOKENS, *"абв"], 64)], "word", 16),
    ]
    assert len({x._fingerprint for x in [first, *others]}) == 4
    monkeypatch.setattr(data, "_encode", lambda *args, **keys: pytest.fail("tokenized again"))
    lines = load_lines(DataArguments(), str(corpus_file), None)
    again = tokenize(lines, [build()], "word", 16)
    assert again._fingerprint == first._fingerprint
    assert again["input_ids"][:] == first["input_ids"][:]


@pytest.fixture(scope="session")
def readers(tokenizer, byte_tokenizer, unigram_tokenizer):
    return {"WordPiece": tokenizer, "byte-level BPE": byte_tokenizer, "Unigram": unigram_tokenizer}


KINDS = ["WordPiece", "byte-level BPE", "Unigram"]


@pytest.mark.parametrize("unit", ["word", "token"])
@pytest.mark.parametrize("kind", KINDS)
@slow
@given(text=texts.flatmap(lambda a: st.integers(1, 4).map(lambda n: " ".join([a] * n))), length=st.integers(26, 40))
def test_the_cuts_of_a_line_hold_all_its_tokens_once(readers, kind, unit, text, length):
    """A token lost or shown twice at a cut would change what the corpus says."""
    tokenizer = readers[kind]
    rows = tokenize(as_dataset(text), [tokenizer], unit, length)
    whole = tokenizer(text, add_special_tokens=False)["input_ids"]
    if not whole:
        return
    assert [i for ids in rows["input_ids"] for i in ids[1:-1]] == whole
    for ids, units, sizes, total in zip(
        rows["input_ids"], rows["units"], rows["unit_characters"], rows["length"], strict=True
    ):
        assert len(ids) == len(units) == total <= length
        assert (ids[0], units[0], ids[-1], units[-1]) == (tokenizer.cls_token_id, -1, tokenizer.sep_token_id, -1)
        assert set(units) <= set(range(-1, len(sizes)))
        assert min(sizes) > 0
    assert rows["id"][:] == list(range(len(rows)))


@pytest.mark.parametrize("kind", KINDS)
@slow
@given(
    words=st.lists(st.sampled_from(["студент", "стол", "и", "в,", "журнал-газета", "я" * 70]), min_size=1, max_size=60)
)
def test_cuts_fall_between_words_wherever_a_word_fits(readers, kind, words):
    """Half a word at an example's end is hidden or predicted without the other half."""
    text, tokenizer = " ".join(words), readers[kind]
    rows = tokenize(as_dataset(text), [tokenizer], "word", 24)
    offsets = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    ends = np.cumsum([len(ids) - 2 for ids in rows["input_ids"]])
    starts = [0, *ends[:-1]]
    # Where a token holds the space before its word, a new word begins with that space.
    spaced = [i for i, (a, b) in enumerate(offsets) if a and (text[a] == " " or text[a - 1] == " ") and b > a]
    for start, end in zip(starts, ends, strict=True):
        if end < len(offsets) and end not in spaced:
            assert not [i for i in spaced if start < i <= min(start + 22, len(offsets))]


@pytest.mark.parametrize("kinds", [KINDS[:2], KINDS[1:], KINDS[::-2]], ids=" and ".join)
@slow
@given(text=texts)
def test_units_are_the_same_characters_to_both_tokenizers(readers, kinds, text):
    """A word hidden from the student but half shown to the teacher would give the answer away."""
    pair = [readers[kind] for kind in kinds]
    rows = tokenize(as_dataset(text), pair, "word", 2000)
    spans = [reader(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"] for reader in pair]
    # What one tokenizer drops (control characters, a lone joiner) cannot be hidden from it.
    shown = [{start for start, _ in found} for found in spans]
    units = [span for span in slow_units(text, spans) if all(starts & set(range(*span)) for starts in shown)]
    assert len(rows) == bool(units)
    if not units:
        return
    (row,) = rows
    assert row["unit_characters"] == [end - start for start, end in units]
    for column, found in zip(("units", "teacher_units"), spans, strict=True):
        assert row[column][0] == row[column][-1] == -1
        for unit, (start, end) in zip(row[column][1:-1], found, strict=True):
            assert unit == next((i for i, (a, b) in enumerate(units) if a <= start < b), -1)
            if unit >= 0:
                assert units[unit][0] <= start and end <= units[unit][1]
            else:
                dropped = any(not starts & set(range(start, end)) for starts in shown)
                assert text[start:end].isspace() or start == end or dropped


def slow_units(text, spans):
    """Words by character, joined with their neighbours over every border that lies inside a token."""
    words, start = [], None
    for i, c in enumerate(text):
        alone = unicodedata.category(c).startswith("P") or (c.isascii() and c.isprintable() and not c.isalnum())
        alone = alone and c != " "
        if start is not None and (alone or c.isspace()):
            words.append((start, i))
            start = None
        if alone:
            words.append((i, i + 1))
        elif start is None and not c.isspace():
            start = i
    words += [] if start is None else [(start, len(text))]
    tokens = [span for found in spans for span in found]
    borders = sorted({border for word in words for border in word})
    borders = [border for border in borders if not any(a < border < b for a, b in tokens)]
    grown = {(max(b for b in borders if b <= word[0]), min(b for b in borders if b >= word[1])) for word in words}
    return sorted(grown)


@pytest.mark.parametrize("length", [16, 33])
def test_both_tokenizations_are_cut_at_the_same_characters(readers, corpus_lines, length):
    """With cuts of their own, the two models would read different texts in one row."""
    text = " ".join(corpus_lines[:40])
    rows = tokenize(as_dataset(text, "да"), [readers["WordPiece"], readers["byte-level BPE"]], "word", length)
    assert max(max(map(len, rows[c])) for c in ("input_ids", "teacher_input_ids")) <= length
    assert rows["length"][:] == [
        max(len(a), len(b)) for a, b in zip(rows["input_ids"], rows["teacher_input_ids"], strict=True)
    ]
    shown = [readers["byte-level BPE"].decode(ids[1:-1]) for ids in rows["teacher_input_ids"]]
    assert "".join(shown) == text + "да"
    for ids, part in zip(rows["input_ids"], shown, strict=True):
        assert ids == readers["WordPiece"].encode(part)


def test_lines_do_not_touch_each_other(readers):
    """Lines are read a batch at a time; none may know its neighbours."""
    lines = ["ёж съел", "— йод!", "中 да", "Где стол? " * 9]
    pair = list(readers.values())[:2]
    together = tokenize(as_dataset(*lines), pair, "word", 16)
    for index, line in enumerate(lines):
        alone = tokenize(as_dataset(line), pair, "word", 16)
        rows = [row for row in together if row["id"] // data.CUTS_PER_LINE == index]
        assert [row | {"id": row["id"] % data.CUTS_PER_LINE} for row in rows] == list(alone)


def test_processes_do_not_change_the_examples(corpus_file, tokenizer):
    """Ids that count from 0 in each process would give many lines the same mask."""
    lines = load_lines(DataArguments(), str(corpus_file), None)
    one = tokenize(lines, [tokenizer], "word", 20)
    two = tokenize(as_dataset(*lines["text"]), [tokenizer], "word", 20, num_proc=2)
    assert two["id"][:] == one["id"][:] and len(set(one["id"])) == len(one)
    assert two["input_ids"][:] == one["input_ids"][:]


def test_hub_failures_name_the_key(monkeypatch):
    """Without a network the message must say which id was wanted."""
    with pytest.raises(RecipeError, match="dataset_name 'nobody/nothing' cannot be loaded"):
        load_lines(DataArguments(), None, "nobody/nothing")
    monkeypatch.setattr(data, "load_dataset", lambda *a, **k: SimpleNamespace(column_names=["a"]))
    with pytest.raises(RecipeError, match="nobody/nothing has no column `text`"):
        load_lines(DataArguments(), None, "nobody/nothing")


def test_special_tokens_spelt_in_a_text_are_words(tokenizer):
    """A corpus about language models says "[MASK]"; its id would be a mask that was never drawn, and a label."""
    (example,) = tokenize(as_dataset("он [MASK] и [SEP] да"), [tokenizer], "word", 64)
    ids = example["input_ids"]
    assert tokenizer.mask_token_id not in ids
    assert ids.count(tokenizer.sep_token_id) == 1 and ids[-1] == tokenizer.sep_token_id


def test_characters_that_a_tokenizer_drops_are_no_unit(tokenizer, byte_tokenizer):
    """WordPiece drops a lone zero-width joiner: drawn, it would hide nothing from one of the models."""
    for tokenizers in ([tokenizer], [byte_tokenizer, tokenizer]):
        (example,) = tokenize(as_dataset("он \u200d да"), tokenizers, "word", 64)
        assert len(example["unit_characters"]) == 2
        assert {unit for unit in example["units"] if unit >= 0} == {0, 1}

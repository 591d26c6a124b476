"""brat documents: offsets that count line ends, surfaces that must fit, entities that overlap."""

import logging
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distillation.config.errors import UserError
from finetuning.formats import brat
from tests.finetuning.known import entities

SAME = {kind: kind for kind in ("PER", "ORG", "LOC", "GEOPOLIT", "MEDIA")}


def write(folder, name, text, *lines):
    """A document: its text as it is, its entities as `TYPE START END<TAB>SURFACE`, and complete lines."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.txt").write_bytes(text.encode())
    lines = [line if re.match(r"$|[#R]\d", line) else f"T1\t{line}" for line in lines]
    (folder / f"{name}.ann").write_bytes("".join(f"{line}\n" for line in lines).encode())


def read_one(folder, text, *lines):
    """Read a document through the folder of a split."""
    write(folder / "train", "а.б (!)", text, *lines)
    write(folder / "test", "other", "слово")
    return brat.read(folder, SAME)["train"][0]


@pytest.mark.parametrize(
    ("text", "entity", "restored", "surface"),
    [
        ("МОСКВА\r\n\r\nАнна", "PER 10 14\tАнна", "МОСКВА\r\n\r\nАнна", "Анна"),  # offsets count both characters
        ("МОСКВА\n\nАнна\n", "PER 10 14\tАнна", "МОСКВА\r\n\r\nАнна\r\n", "Анна"),  # copies often lack the CRs
        ("МОСКВА\n\nАнна\n", "PER 8 12\tАнна", "МОСКВА\n\nАнна\n", "Анна"),  # what fits stays
        ("Анна\r\nВега\r\n", "PER 0 11\tАнна  Вега ", "Анна\r\nВега\r\n", "Анна\r\nВега"),  # a line break as a space
    ],
)
def test_line_ends_are_those_that_were_annotated(tmp_path, text, entity, restored, surface):
    """Every entity after the first line would lie elsewhere."""
    row = read_one(tmp_path, text, entity)
    assert row["id"] == "а.б (!)" and row["text"] == restored
    assert [found for *_, found in entities(row, row["tags"])] == [surface]


OVERLAPPING = ("LOC 11 20\tкрае Руси", "ORG 2 15\tТульском крае", "LOC 2 15\tТульском крае")


@pytest.mark.parametrize(
    ("text", "lines", "tags"),
    [
        ("Анна\u0301 Вега", ["PER 0 5\tАнна\u0301"], "B-PER O"),  # a mark of stress is of its word
        ("Анна Вега", ["PER 5 9\tВега", "PER 0 4\tАнна"], "B-PER B-PER"),  # neighbours of one type stay two
        ("Анна Вега", ["#1\tA T1\tдля", "R1\tKnows Arg1:T1 Arg2:T2", "", "PER 0 4\tАнна"], "B-PER O"),  # other lines
        # Offsets that miss a word by a letter must not lose the entity, which takes the words it begins or ends in.
        ("Общество ТАСС", ["ORG 0 7\tОбществ", "MEDIA 9 13\tТАСС"], "B-ORG B-MEDIA"),
        ("корреспондентуТАСС", ["MEDIA 14 18\tТАСС"], "B-MEDIA"),
        ("в Тульском крае Руси", OVERLAPPING, "O B-ORG I-ORG O"),  # the longest stays, of equal ones the first
        ("Анна и Мария Вега", ["PER 0 4;13 17\tАнна Вега"], "B-PER I-PER I-PER I-PER"),  # of several pieces
        # Offsets that count UTF-16, bytes, or the byte order mark that the file had.
        ("👍 Анна 👍 Вега", ["PER 3 7\tАнна", "LOC 11 15\tВега"], "O B-PER O B-LOC"),
        ("а Анна Вега", ["PER 3 11\tАнна", "LOC 12 20\tВега"], "O B-PER B-LOC"),
        ("а Анна Вега", ["PER 3 7\tАнна", "LOC 8 12\tВега"], "O B-PER B-LOC"),
        ("а Анна Вега", ["PER 6 14\tАнна", "LOC 15 23\tВега"], "O B-PER B-LOC"),
    ],
)
def test_tags(tmp_path, caplog, text, lines, tags):
    caplog.set_level(logging.INFO)
    assert read_one(tmp_path, text, *lines)["tags"] == tags.split()
    assert ("2 entities dropped" in caplog.text) == ("dropped" in caplog.text) == (lines == OVERLAPPING)


@given(st.lists(st.tuples(st.integers(1, 3), st.sampled_from([None, *SAME])), min_size=1, max_size=8))
def test_entities_on_word_borders_come_back(tmp_path_factory, pieces):
    text, spans = "", []
    for length, kind in pieces:
        piece = " ".join(["слово", "вЪ", "x1"][:length])
        spans += [(kind, len(text), len(text) + len(piece), piece)] if kind else []
        text += f"{piece} "
    lines = [f"{kind} {start} {end}\t{surface}" for kind, start, end, surface in spans]
    row = read_one(tmp_path_factory.mktemp("brat"), text, *lines)
    assert entities(row, row["tags"]) == spans


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("PER 0 4\tАнны", "the text of 9 characters has 'Анна' at 0 4 and not 'Анны'"),
        ("PER 4 5\t ", "the text of 9 characters has ' ' at 4 5 and not ' '"),
        ("PER 11 13;5 9\tВега", "the text of 9 characters has '' at 11 9 and not 'Вега'"),
        ("PERSON 0 4\tАнна", "unknown entity type 'PERSON'; known are PER, ORG"),
        ("PER 0 2;5\tАн Вега", "expected `T1<TAB>TYPE START END<TAB>SURFACE`, got "),
    ],
)
def test_a_wrong_line_is_named(tmp_path, line, problem):
    with pytest.raises(UserError, match=re.escape(f"а.б (!).ann:2: {problem}")):
        read_one(tmp_path, "Анна Вега", "PER 0 4\tАнна", line)


def test_what_is_missing_is_named(tmp_path):
    """A document without its entities, or one that is left out, would change the score silently."""
    write(tmp_path / "train", "a", "слово")
    with pytest.raises(UserError, match="test has no document"):
        brat.read(tmp_path, SAME)
    for part in ("test", "valid"):
        write(tmp_path / part, "b", "слово")
    assert list(brat.read(tmp_path, SAME)) == ["train", "validation", "test"]
    for ending in (".ann", ".txt"):
        write(tmp_path / "train", "c", "слово")
        (tmp_path / "train" / f"c{ending}").unlink()
        with pytest.raises(UserError, match=f"c has no {ending}: a document is"):
            brat.read(tmp_path, SAME)


def test_documents_of_one_folder_are_split_the_same_way_always(tmp_path, caplog):
    """Scores of two runs are comparable only on one test split."""
    caplog.set_level(logging.INFO)
    write(tmp_path, "00", "слово")
    with pytest.raises(UserError, match="two at least"):
        brat.read(tmp_path, SAME)
    for documents, sizes in {2: [1, 1], 3: [1, 1, 1], 30: [24, 3, 3]}.items():
        names = [f"{index:02}" for index in range(documents)]
        for name in names:
            write(tmp_path, name, "слово")
        splits = {split: [row["id"] for row in rows] for split, rows in brat.read(tmp_path, SAME).items()}
        assert sorted(sum(splits.values(), [])) == names and [len(ids) for ids in splits.values()] == sizes
    assert "30 documents split by a fixed shuffle" in caplog.text
    assert splits["test"] == ["03", "10", "18"], "a new split makes old scores incomparable"


def test_what_a_mac_leaves_beside_each_file_is_no_document(tmp_path):
    """It is no UTF-8, and the whole set was refused."""
    for folder in (tmp_path / "train", tmp_path / "test"):
        write(folder, "1", "Анна ушла", "PER 0 4\tАнна")
        for ending in ("txt", "ann"):
            (folder / f"._1.{ending}").write_bytes(b"\0\5\x16\7\xff")
    assert [row["id"] for row in brat.read(tmp_path, SAME)["train"]] == ["1"]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "._1.ann").touch()
    assert brat.is_brat(tmp_path) and not brat.is_brat(tmp_path / "other")

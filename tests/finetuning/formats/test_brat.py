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
    """A document: its text as it is, its entities as `TYPE START END<TAB>SURFACE` or, of other kinds, whole lines."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.txt").write_bytes(text.encode())
    lines = [line if re.match(r"$|[#R]\d", line) else f"T1\t{line}" for line in lines]
    (folder / f"{name}.ann").write_bytes("".join(f"{line}\n" for line in lines).encode())


@pytest.fixture
def read_one(tmp_path):
    """Read a document through the folder of a split."""

    def read_one(text, *lines, types=SAME):
        write(tmp_path / "train", "а.б (!)", text, *lines)
        write(tmp_path / "test", "other", "слово")
        return brat.read(tmp_path, types)["train"][0]

    return read_one


def found(row):
    return [(kind, surface) for kind, _, _, surface in entities(row, row["tags"])]


def test_a_document_is_a_row(read_one):
    row = read_one("Анна Вега, ТАСС.\r\n", "PER 0 9\tАнна Вега", "MEDIA 11 15\tТАСС")
    assert row == {
        "id": "а.б (!)",
        "text": "Анна Вега, ТАСС.\r\n",
        "words": [[0, 4], [5, 9], [9, 10], [11, 15], [15, 16]],
        "tags": ["B-PER", "I-PER", "O", "B-MEDIA", "O"],
    }


@pytest.mark.parametrize(
    ("text", "entity", "restored"),
    [
        ("МОСКВА\r\n\r\nАнна", "PER 10 14\tАнна", "МОСКВА\r\n\r\nАнна"),  # offsets count both characters of a line end
        ("МОСКВА\n\nАнна\n", "PER 10 14\tАнна", "МОСКВА\r\n\r\nАнна\r\n"),  # copies often lack the CRs
        ("МОСКВА\n\nАнна\n", "PER 8 12\tАнна", "МОСКВА\n\nАнна\n"),  # what fits stays
    ],
)
def test_line_ends_are_those_that_were_annotated(read_one, text, entity, restored):
    """Every entity after the first line would lie elsewhere."""
    row = read_one(text, entity)
    assert row["text"] == restored and found(row) == [("PER", "Анна")]


def test_a_line_break_may_stand_as_a_space(read_one):
    assert found(read_one("Анна\r\nВега\r\n", "PER 0 11\tАнна  Вега ")) == [("PER", "Анна\r\nВега")]


NOTES = ("#1\tAnnotatorNotes T1\tдля T2", "R1\tKnows Arg1:T1 Arg2:T2", "")


@pytest.mark.parametrize(
    ("text", "lines", "tags"),
    [
        ("Анна Вега", ["PER 5 9\tВега", "PER 0 4\tАнна"], ["B-PER", "B-PER"]),  # neighbours of one type stay two
        ("Анна Вега", [*NOTES, "PER 0 4\tАнна"], ["B-PER", "O"]),  # lines of other kinds are no entities
        # Offsets that miss a word by a letter must not lose the entity, which takes the words it begins or ends in.
        ("Общество ТАСС", ["ORG 0 7\tОбществ", "MEDIA 9 13\tТАСС"], ["B-ORG", "B-MEDIA"]),
        ("корреспондентуТАСС", ["MEDIA 14 18\tТАСС"], ["B-MEDIA"]),
    ],
)
def test_tags(read_one, text, lines, tags):
    assert read_one(text, *lines)["tags"] == tags


def test_of_overlapping_entities_the_longer_stays(read_one, caplog):
    caplog.set_level(logging.INFO)
    row = read_one(
        "в Тульском крае Руси", "LOC 11 20\tкрае Руси", "ORG 2 15\tТульском крае", "LOC 2 15\tТульском крае"
    )
    assert found(row) == [("ORG", "Тульском крае")]
    assert "2 of 3 entities dropped" in caplog.text


@given(st.lists(st.tuples(st.integers(1, 3), st.sampled_from([None, *SAME])), min_size=1, max_size=8))
def test_entities_on_word_borders_come_back(tmp_path_factory, pieces):
    """Whatever lies on word borders is the same after tagging: this is what makes a perfect score possible."""
    words, spans = [], []
    for length, kind in pieces:
        start = sum(len(word) + 1 for word in words)
        words += ["слово", "вЪ", "x1"][:length]
        end = sum(len(word) + 1 for word in words) - 1
        spans += [(kind, start, end)] if kind else []
    text, folder = " ".join(words), tmp_path_factory.mktemp("brat")
    write(folder / "train", "a", text, *(f"{kind} {start} {end}\t{text[start:end]}" for kind, start, end in spans))
    write(folder / "test", "b", text)
    row = brat.read(folder, SAME)["train"][0]
    assert entities(row, row["tags"]) == [(kind, start, end, text[start:end]) for kind, start, end in spans]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("PER 0 4\tАнны", "the text of 9 characters has 'Анна' at 0 4 and not 'Анны'"),
        ("PER 4 5\t ", "has ' ' at 4 5 and not ' '"),
        ("PERSON 0 4\tАнна", "unknown entity type 'PERSON'; known are PER, ORG"),
        ("PER 0 x\tАнна", "expected `T1<TAB>TYPE START END<TAB>SURFACE`"),
    ],
)
def test_a_wrong_line_is_named(read_one, line, problem):
    with pytest.raises(UserError, match=r"а\.б \(!\)\.ann:2: ") as error:
        read_one("Анна Вега", "PER 0 4\tАнна", line)
    assert problem in str(error.value)


@pytest.mark.parametrize("lost", [".ann", ".txt"])
def test_a_missing_partner_is_named(tmp_path, lost):
    write(tmp_path, "a", "слово")
    write(tmp_path, "b", "слово")
    (tmp_path / f"b{lost}").unlink()
    with pytest.raises(UserError, match=rf"b\{lost} is missing"):
        brat.read(tmp_path, SAME)


def test_folders_of_splits(tmp_path):
    write(tmp_path / "train", "a", "слово")
    with pytest.raises(UserError, match="test has no document"):
        brat.read(tmp_path, SAME)
    for folder, split in (("test", "test"), ("valid", "validation")):
        write(tmp_path / folder, "b", "слово")
        assert split in brat.read(tmp_path, SAME)


@pytest.mark.parametrize(("documents", "sizes"), [(2, [1, 1]), (3, [1, 1, 1]), (30, [24, 3, 3])])
def test_documents_of_one_folder_are_split_the_same_way_always(tmp_path, caplog, documents, sizes):
    """Scores of two runs are comparable only on one test split."""
    caplog.set_level(logging.INFO)
    write(tmp_path, "00", "слово")
    with pytest.raises(UserError, match="two at least"):
        brat.read(tmp_path, SAME)
    for index in range(1, documents):
        write(tmp_path, f"{index:02}", "слово")
    splits = {split: [row["id"] for row in rows] for split, rows in brat.read(tmp_path, SAME).items()}
    assert [len(ids) for ids in splits.values()] == sizes
    assert sorted(sum(splits.values(), [])) == [f"{index:02}" for index in range(documents)]
    assert f"{documents} documents split by a fixed shuffle" in caplog.text
    if documents == 30:
        assert splits["test"] == ["03", "10", "18"], "a new split makes old scores incomparable"

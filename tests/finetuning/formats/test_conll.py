"""CoNLL files as they occur: line ends of two kinds, document marks, and lines that are wrong."""

import pytest

from distillation.config.errors import UserError
from finetuning.formats import conll

SAME = {kind: kind for kind in ("PER", "ORG", "LOC")}
TEXT = "<DOCSTART>\n\nАнна\tB-PER\nВега\tI-PER\n.\tO\n\n\nТула\tB-LOC\n"


@pytest.fixture
def read(tmp_path):
    def read(content, types=SAME):
        path = tmp_path / "test.txt"
        path.write_bytes(content.encode())
        return conll.read(path, "test", types)

    return read


@pytest.mark.parametrize("content", [TEXT, TEXT.replace("\n", "\r\n"), TEXT.rstrip("\n")])
def test_rows(read, content):
    """A CR that stays makes a tag unknown, or every blank line a wrong one."""
    assert read(content) == [
        {
            "id": "test-0",
            "text": "Анна Вега .",
            "words": [[0, 4], [5, 9], [10, 11]],
            "tags": ["B-PER", "I-PER", "O"],
        },
        {"id": "test-1", "text": "Тула", "words": [[0, 4]], "tags": ["B-LOC"]},
    ]


@pytest.mark.parametrize("mark", ["<DOCSTART>", "-DOCSTART- -X- O O"])
def test_a_document_mark_is_no_word_and_ends_a_sentence(read, mark):
    assert [row["text"] for row in read(f"а\tO\n{mark}\nб\tO\n")] == ["а", "б"]


def test_only_line_feeds_end_lines(read):
    """Some characters that Python counts as line ends stand inside tokens of scraped text."""
    assert read("а\u2028б\tO\nв\x85\tO\n")[0]["text"] == "а\u2028б в\x85"


def test_inside_tags_that_begin_an_entity(read):
    """IOB1 files begin entities so; the model would learn that an entity may lack its beginning."""
    rows = read("а\tI-PER\nб\tI-PER\nв\tI-ORG\nг\tO\nд\tI-ORG\n")
    assert rows[0]["tags"] == ["B-PER", "I-PER", "B-ORG", "O", "B-ORG"]


def test_neighbours_that_are_read_as_one_type_stay_two(read):
    coarse = {"LOC": "LOC", "GEOPOLIT": "LOC"}
    assert read("а\tB-LOC\nб\tI-GEOPOLIT\nв\tI-GEOPOLIT\n", coarse)[0]["tags"] == ["B-LOC", "B-LOC", "I-LOC"]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("слово", "expected `token<TAB>tag`, got 'слово'"),
        ("\tO", "expected `token<TAB>tag`"),
        ("слово\tB-MEDIA", "unknown tag 'B-MEDIA'; known are O, B-PER, I-PER"),
    ],
)
def test_a_wrong_line_is_named(read, line, problem):
    with pytest.raises(UserError, match="test.txt:4: ") as error:
        read(f"<DOCSTART>\n\nа\tO\n{line}\n")
    assert problem in str(error.value)


def test_what_is_written_is_read_back(read, tmp_path):
    rows = read(TEXT)
    path = conll.write(tmp_path / "new" / "out.txt", rows, [["O", "B-ORG", "I-ORG"], ["O"]])
    assert path.read_bytes().decode() == "Анна\tO\nВега\tB-ORG\n.\tI-ORG\n\nТула\tO\n\n"
    again = conll.read(path, "test", SAME)
    assert [row["words"] for row in again] == [row["words"] for row in rows]
    assert again[0]["tags"] == ["O", "B-ORG", "I-ORG"]
    with pytest.raises(ValueError, match="zip"):
        conll.write(path, rows, [["O", "O"], ["O"]])

"""CoNLL files as they occur: line ends of two kinds, document marks, and lines that are wrong."""

import re

import pytest

from distillation.config.errors import UserError
from finetuning.formats import conll

SAME = {kind: kind for kind in ("PER", "ORG", "LOC")}
TEXT = "<DOCSTART>\n\nАнна\tB-PER\nВега\tI-PER\n.\tO\n\n\nТула\tB-LOC\n"


@pytest.fixture
def read(tmp_path):
    def read(content, types=SAME):
        (tmp_path / "test.txt").write_bytes(content.encode())
        return conll.rows("test", "test.txt", conll.sentences(tmp_path / "test.txt"), types)

    return read


@pytest.mark.parametrize("content", [TEXT, TEXT.replace("\n", "\r\n"), TEXT.rstrip("\n")])
def test_rows(read, content):
    """A CR that stays makes a tag unknown, or every blank line a wrong one."""
    first = {"id": "test-0", "text": "Анна Вега .", "words": [[0, 4], [5, 9], [10, 11]]}
    second = {"id": "test-1", "text": "Тула", "words": [[0, 4]], "tags": ["B-LOC"]}
    assert read(content) == [first | {"tags": ["B-PER", "I-PER", "O"]}, second]


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        ("а\tO\n<DOCSTART>\nб\tO\n", {"а": "O", "б": "O"}),  # a document mark is no word and ends a sentence
        ("а\tO\n-DOCSTART- -X- O O\nб\tO\n", {"а": "O", "б": "O"}),
        ("а\u2028б\tO\nв\x85\tO\n", {"а\u2028б в\x85": "O O O"}),  # line ends for Python; scraped tokens have them
        # IOB1 files begin entities so; the model would learn that an entity may lack its beginning.
        ("а\tI-PER\nб\tI-PER\nв\tI-ORG\nг\tO\nд\tI-ORG\n", {"а б в г д": "B-PER I-PER B-ORG O B-ORG"}),
        # A text without tokens has three words there.
        ("в\tO\nСанкт-Петербурге\tB-LOC\n\U0001f600\tO\n", {"в Санкт-Петербурге \U0001f600": "O B-LOC I-LOC I-LOC O"}),
        ("а\tB-LOC\nб\tI-GEOPOLIT\nв\tI-GEOPOLIT\n", {"а б в": "B-LOC B-LOC I-LOC"}),  # neighbours stay two
    ],
)
def test_sentences_and_their_tags(read, content, rows):
    found = read(content, SAME | {"GEOPOLIT": "LOC"})
    assert {row["text"]: " ".join(row["tags"]) for row in found} == rows


@pytest.mark.parametrize(
    "content",
    [
        "-DOCSTART- -X- O O\n\nАнна NNP B-NP B-PER\nВега  NNP I-NP  I-PER \n. . O O\n",  # CoNLL 2003, spaces
        "Анна\tNNP\tI-PER\nВега\tNNP\tI-PER\n.\t.\tO\n \n",  # IOB1
        "Анна\tB-PER\nВега\tE-PER\n.\tO\n",  # BIOES
    ],
)
def test_columns_and_schemes_of_tags(read, content):
    (row,) = read(content, None)
    assert row["text"] == "Анна Вега ." and row["tags"] == ["B-PER", "I-PER", "O"]


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ("а\tO\nслово", ":4: expected `token<TAB>tag`, got 'слово'"),
        ("а\tO\n\tO", ":4: expected `token<TAB>tag`"),
        ("слово\tB-MEDIA", ":3: unknown tag 'B-MEDIA' of 'слово'; known are O, B-PER, I-PER"),
        ("", ": no rows"),
    ],
)
def test_a_wrong_line_is_named(read, lines, problem):
    with pytest.raises(UserError, match=re.escape(f"test.txt{problem}")):
        read(f"<DOCSTART>\n\n{lines}\n")


def test_half_of_an_emoji_is_a_sign():
    """JSON can hold it, no tokenizer takes it."""
    (row,) = conll.rows("train", "x", [("x:1", {"tokens": ["кот\ud83d"], "ner_tags": ["B-PER"]})], None)
    assert row["text"] == "кот\ufffd"


def test_what_is_written_is_read_back(read, tmp_path):
    rows = read(TEXT)
    path = conll.write(tmp_path / "new", rows, [["O", "B-ORG", "I-ORG"], ["O"]])
    text = path.read_bytes().decode()
    assert path.name == "test_predictions.txt" and text == "Анна\tO\nВега\tB-ORG\n.\tI-ORG\n\nТула\tO\n\n"
    assert [row["words"] for row in read(text)] == [row["words"] for row in rows]

"""Questions keep their contexts and offsets to the character, in every layout that SQuAD's copies have."""

import gzip
import json

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st

from distillation.config.errors import UserError
from finetuning.formats import squad

CONTEXT = "\ufeffКот спит. \r\nПёс и кот едят."
ANSWERED = {"id": "1", "context": CONTEXT, "question": "Кто спит?", "answers": [{"text": "Кот", "start": 1}]}
OTHER = ANSWERED | {"id": "2", "question": "Кто ест?", "answers": [{"text": "Пёс и кот", "start": 13}]}


def flat(row, kind=str):
    """A row of the Hub."""
    answers = {"text": [a["text"] for a in row["answers"]], "answer_start": [a["start"] for a in row["answers"]]}
    return row | {"id": kind(row["id"]), "answers": answers, "title": "SberChallenge"}


def articles(*rows):
    """Rows of the reader as SQuAD's object; neighbours with the same context are one paragraph."""
    paragraphs = []
    for row in rows:
        if not paragraphs or paragraphs[-1]["context"] != row["context"]:
            paragraphs.append({"context": row["context"], "qas": []})
        answers = [{"text": a["text"], "answer_start": a["start"]} for a in row["answers"]]
        paragraphs[-1]["qas"].append({"id": row["id"], "question": row["question"], "answers": answers})
    return {"data": [{"title": "SberChallenge", "paragraphs": paragraphs}], "version": "1.1"}


def read(folder, content, name="train.json"):
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False, indent=1)
    (folder / name).write_bytes(text.encode())
    return squad.read_file(folder / name)


def with_answers(folder, *pairs, **keys):
    answers = {"text": [text for text, _ in pairs], "answer_start": [start for _, start in pairs]}
    (row,) = read(folder, [flat(ANSWERED) | {"answers": answers} | keys])
    return row


# JSON may hold U+2028 and U+0085 inside strings, which are no line ends.
RAIN = ANSWERED | {"id": "3", "context": "  Дождь\u2028\x85. ", "answers": [{"text": "Дождь", "start": 2}]}
ROWS = [ANSWERED, RAIN, OTHER]
LINES = "".join(json.dumps(flat(row), ensure_ascii=False) + "\n" for row in ROWS)


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (articles(*ROWS), "train.json"),
        ([flat(row, int) for row in ROWS], "train.json"),
        (LINES.replace('"Кто спит?"', '"\\n Кто спит? "') + "\n", "train.jsonl"),
        (LINES.replace("\n", "\r\n"), "train.jsonl"),
        (LINES[:-1], "train.jsonl"),
    ],
)
def test_every_layout_gives_the_same_rows(tmp_path, content, name):
    """A mark or a line break that is taken out of a context would shift every answer behind it."""
    assert read(tmp_path, content, name) == ROWS


@pytest.mark.parametrize(
    ("pairs", "answers", "moved"),
    [
        # The official score takes the best of all answers; each counts once.
        ([("Кот", 1), ("Кот ", 1), ("Кот спит", 1), ("Кот", 1)], [("Кот", 1), ("Кот спит", 1)], None),
        ([], [], None),  # a question without an answer has its place in a submission
        ([("", -1), (" ", 0)], [], None),
        ([(" спит. \r\n", 4)], [("спит.", 5)], None),  # white space at the ends is no part, and the start follows
        # Published sets have slips by a character or two, where the first place of the text would be another answer.
        ([("спит", 1000), ("Кот", 1), ("т", 5), ("т", 7)], [("спит", 5), ("Кот", 1), ("т", 3), ("т", 8)], 3),
    ],
)
def test_answers_and_their_places(tmp_path, caplog, pairs, answers, moved):
    found = [{"text": text, "start": start} for text, start in answers]
    assert with_answers(tmp_path, *pairs, is_impossible=not answers) == ANSWERED | {"answers": found}
    messages = [f"train.json: {moved} answers do not stand" in message for message in caplog.messages]
    assert messages == [True] * (moved is not None)


@pytest.mark.parametrize("answers", ["Кот", [" Кот"], {"text": ["Кот"], "answer_start": [1]}])
def test_rows_of_ones_own_need_neither_ids_nor_starts(tmp_path, caplog, answers):
    rows = [{"context": CONTEXT, "question": "Кто спит?", "answers": answers}, flat(OTHER)]
    assert read(tmp_path, rows) == [ANSWERED, OTHER] and not caplog.messages


def test_answers_that_are_not_in_their_context_are_left_out(tmp_path, caplog):
    """One slip in a set is no reason to refuse it."""
    answers = [{"text": "Лось", "start": 0}, *ANSWERED["answers"]]
    rows = [ANSWERED | {"answers": answers}, OTHER | {"answers": answers[:1]}]
    assert read(tmp_path, [flat(row) for row in rows]) == [ANSWERED]
    assert "2 answers are left out, which their contexts do not hold, and 1 questions with them" in caplog.text


@given(st.text(st.sampled_from("аб \ufeff\n\r"), min_size=1), st.data())
def test_an_answer_is_the_slice_at_its_start(tmp_path_factory, context, data):
    """Whatever slice and slip are drawn: the text is found in the context, and no place of it is nearer."""
    start = data.draw(st.integers(0, len(context) - 1))
    text = context[start : data.draw(st.integers(start + 1, len(context)))]
    claimed = start + data.draw(st.integers(-3, 3))
    answers = with_answers(tmp_path_factory.getbasetemp(), (text, claimed), context=context)["answers"]
    bare, claimed = text.strip(), claimed + len(text) - len(text.lstrip())
    places = [place for place in range(len(context)) if bare and context.startswith(bare, place)]
    nearest = min(places, key=lambda place: abs(place - claimed), default=None)
    assert answers == ([{"text": bare, "start": nearest}] if bare else [])


def second(**keys):
    return [flat(ANSWERED) | {"id": "0"}, flat(ANSWERED) | keys]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (second(id=[1]), ": question [1]: `id` is list and not str | int"),
        (second(answers=[7]), ": question 1: int and no object with `text`"),
        (second(answers={"text": ["Кот"], "answer_start": [1, 2]}), ": question 1: no `text`"),
        (second(id=0), ": question 0: id 0 stands on an earlier row"),
        ('{"data": [\n{"title": "x', ": broken JSON (Unterminated string starting at: line 2 column 11"),
        ("[]", ": no rows"),
        ([flat(ANSWERED | {"context": "Пёс"})], ": question 1: the context does not hold the answer 'Кот'"),
        ({"data": [{"paragraphs": [{"qas": ["x"]}]}]}, " has not the layout of SQuAD ("),
    ],
)
def test_wrong_questions_are_refused_by_place(tmp_path, content, message):
    """Training would fail hours later, or score an answer that is not there; a cut file be a smaller benchmark."""
    with pytest.raises(UserError) as caught:
        read(tmp_path, content)
    assert f"train.json{message}" in str(caught.value) and "\n" not in str(caught.value)


def test_rows_of_parquet(tmp_path):
    """Sets on the Hub are Parquet files."""
    pq.write_table(pa.Table.from_pylist([flat(row) for row in ROWS]), tmp_path / "train.parquet")
    assert squad.read_file(tmp_path / "train.parquet") == ROWS
    with pytest.raises(UserError, match="train.csv: name a file of questions that ends in .json, .jsonl"):
        read(tmp_path, "id,context,question,answers\n", "train.csv")


PARTS = {"train": [ANSWERED, OTHER], "test": [OTHER]}


@pytest.mark.parametrize(("names", "packed"), zip(squad.FILES, (False, True, False), strict=True))
def test_files_of_every_name(tmp_path, names, packed):
    for part, rows in PARTS.items():
        lines = "".join(json.dumps(flat(row)) + "\n" for row in rows)
        text = (lines if names[part].endswith("l") else json.dumps(articles(*rows))).encode()
        path = tmp_path / (f"{names[part]}.gz" if packed else names[part])
        path.write_bytes(gzip.compress(text) if packed else text)
    assert squad.read(str(tmp_path)) == PARTS
    path.unlink()
    with pytest.raises(UserError, match=f"lacks {names['test']}; looked for {names['train']}"):
        squad.read(str(tmp_path))


def test_the_hub_gives_the_same_rows(monkeypatch):
    """Its ids are numbers, its part for development is called validation, and the answers of its test are hidden."""
    rows = [flat(ANSWERED, int), flat(OTHER, int)]
    hidden = Dataset.from_list([{"id": 3, "context": "", "question": ""}])
    loaded = {"test": hidden, "validation": Dataset.from_list(rows[1:]), "train": Dataset.from_list(rows)}
    monkeypatch.setattr(datasets, "load_dataset", lambda name: loaded)
    assert squad.read(squad.HUB) == PARTS


def test_a_cut_emoji_refuses_no_file_and_moves_no_offset(tmp_path):
    content = json.dumps(
        articles(ANSWERED | {"context": "\ud83d Кот спит.", "answers": [{"text": "Кот", "start": 2}]})
    )
    (row,) = read(tmp_path, content)
    assert row["context"] == "\ufffd Кот спит." and row["answers"] == [{"text": "Кот", "start": 2}]

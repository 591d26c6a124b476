"""Questions keep their contexts and offsets to the character, in every layout that SQuAD's copies have."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distillation.config.errors import UserError
from finetuning.formats import squad
from tests.finetuning.squad_rows import ANSWERED, OTHER, articles, flat


def read(folder, content, name="train.json"):
    """What the reader makes of a text as it is, or of something else as JSON."""
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False, indent=1)
    (folder / name).write_bytes(text.encode())
    return squad.read_file(folder / name)


def with_answers(folder, *pairs, **keys):
    """The question that is made of ANSWERED with such texts and starts of answers."""
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
    ids=["articles", "list", "lines", "lines of windows", "no last line end"],
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
    assert answers == [
        {"text": bare, "start": min(places, key=lambda place: abs(place - claimed))} for _ in range(bool(bare))
    ]


QUESTIONS = [
    ({"id": None}, ": question None: no `id` among "),
    ({"question": 5}, ": question 1: `question` is int and not str"),
    ({"answers": ["Кот"]}, ": question 1: str and no object with `text`"),
    ({"answers": {"text": ["Кот"], "answer_start": [1, 2]}}, ": question 1: no `text`"),
    ({"answers": {"text": ["Кот"], "answer_start": ["1"]}}, ": question 1: `answer_start` is str and not int"),
    ({"id": 0}, ": question 0: id 0 stands on an earlier row, too; delete one of them"),
]
FILES = [
    ('{"data": [\n{"title": "x', ": broken JSON (Unterminated string starting at: line 2 column 11"),
    ('["\\ud800"]', ": broken JSON"),
    ("[]", ": no rows; a complete file has some"),
    ([flat(ANSWERED | {"context": "Пёс"})], ": question 1: the context does not hold the answer 'Кот'"),
    ({"rows": []}, " has not the layout of SQuAD (no `data`"),
    ({"data": [{"paragraphs": [{"qas": ["x"]}]}]}, " has not the layout of SQuAD ("),
]


@pytest.mark.parametrize(
    ("content", "message"),
    [*(([flat(ANSWERED) | {"id": "0"}, flat(ANSWERED) | keys], message) for keys, message in QUESTIONS), *FILES],
)
def test_wrong_questions_are_refused_by_place(tmp_path, content, message):
    """Training would fail hours later, or score an answer that is not there; a cut file be a smaller benchmark."""
    with pytest.raises(UserError) as caught:
        read(tmp_path, content)
    assert f"train.json{message}" in str(caught.value) and "\n" not in str(caught.value)


def test_predictions_are_the_official_submission(tmp_path):
    """The official script takes an object of texts by id; letters stay readable."""
    path = squad.write(tmp_path / "new" / "folder", [ANSWERED, OTHER], ["Кот", ""])
    text = path.read_text(encoding="utf-8")
    assert path.name == "test_predictions.json" and json.loads(text) == {"1": "Кот", "2": ""} and "Кот" in text
    with pytest.raises(ValueError):
        squad.write(tmp_path, [ANSWERED, OTHER], ["Кот"])

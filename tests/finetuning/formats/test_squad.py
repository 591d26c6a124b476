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
    return squad.read(folder / name)


def one(folder, **keys):
    """The row that is made of a question with other keys than ANSWERED's."""
    (row,) = read(folder, [flat(ANSWERED) | keys])
    return row


def answer(folder, *pairs, **keys):
    """The answers that are made of such texts and starts."""
    texts, starts = zip(*pairs, strict=True)
    return one(folder, answers={"text": list(texts), "answer_start": list(starts)}, **keys)["answers"]


def lines(*rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (articles(ANSWERED, OTHER), "train.json"),
        ([flat(ANSWERED), flat(OTHER, int)], "train.json"),
        (lines(flat(ANSWERED), flat(OTHER, int)) + "\n", "train.jsonl"),
        (lines(flat(ANSWERED), flat(OTHER)).replace("\n", "\r\n"), "train.jsonl"),
        (lines(flat(ANSWERED), flat(OTHER))[:-1], "train.jsonl"),
    ],
    ids=["articles", "list", "lines", "lines of windows", "no last line end"],
)
def test_every_layout_gives_the_same_rows(tmp_path, content, name):
    """A mark or a line break that is taken out of a context would shift every answer behind it."""
    assert read(tmp_path, content, name) == [ANSWERED, OTHER]


def test_every_question_keeps_its_own_context_answers_and_place(tmp_path):
    """JSON may hold U+2028 and U+0085 inside strings; the official score takes the best of all answers."""
    other = {
        "id": "3",
        "context": "  Дождь\u2028\x85. ",
        "question": "Что?",
        "answers": [{"text": "Дождь", "start": 2}],
    }
    assert read(tmp_path, articles(ANSWERED, other, OTHER)) == [ANSWERED, other, OTHER]
    assert read(tmp_path, lines(flat(other) | {"question": "\n Что? "}), "train.jsonl") == [other]
    found = answer(tmp_path, ("Кот", 1), ("Кот ", 1), ("Кот спит", 1), ("кот", 19), ("Кот", 1))
    assert found == [{"text": text, "start": start} for text, start in (("Кот", 1), ("Кот спит", 1), ("кот", 19))]


@pytest.mark.parametrize(
    ("text", "start", "place", "moved"),
    [
        ("Кот", 1, 1, False),
        (" спит. \r\n", 4, 5, False),  # white space at the ends is no part of an answer, and its start follows
        ("спит", 4, 5, True),
        ("спит", 1000, 5, True),
        ("т", 5, 3, True),
        ("и", 12, 7, True),  # as near as the other at 17
    ],
)
def test_answers_that_miss_their_place_take_the_nearest(tmp_path, caplog, text, start, place, moved):
    """Published sets have slips by a character or two, where the first place of the text would be another answer."""
    assert answer(tmp_path, (text, start)) == [{"text": text.strip(), "start": place}]
    assert ["train.json: 1 answers do not stand" in message for message in caplog.messages] == [True] * moved


@pytest.mark.parametrize(
    "keys",
    [
        {"answers": []},
        {"answers": {"text": ["", " "], "answer_start": [-1, 0]}},
        {"is_impossible": True, "answers": [{"text": "нет его", "answer_start": 0}]},
    ],
)
def test_questions_without_an_answer_are_kept(tmp_path, keys):
    """They have their place in a submission; dropping them would change the score."""
    assert one(tmp_path, **keys) == ANSWERED | {"answers": []}
    assert one(tmp_path, is_impossible=False) == ANSWERED


@given(st.text(st.sampled_from("аб \ufeff\n\r"), min_size=1), st.data())
def test_an_answer_is_the_slice_at_its_start(tmp_path_factory, context, data):
    """Whatever slice and slip are drawn: the text is found in the context, and no place of it is nearer."""
    start = data.draw(st.integers(0, len(context) - 1))
    text = context[start : data.draw(st.integers(start + 1, len(context)))]
    claimed = start + data.draw(st.integers(-3, 3))
    answers = answer(tmp_path_factory.getbasetemp(), (text, claimed), context=context)
    bare, claimed = text.strip(), claimed + len(text) - len(text.lstrip())
    places = [place for place in range(len(context)) if bare and context.startswith(bare, place)]
    assert answers == [
        {"text": bare, "start": min(places, key=lambda place: abs(place - claimed))} for _ in range(bool(bare))
    ]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"id": None}, "question None: no `id`; fill it in or delete the row"),
        ({"question": 5}, "question 1: `question` is int and not str"),
        ({"answers": None}, "question 1: no `answers`"),
        ({"answers": ["Кот"]}, "question 1: str and no object with `text`"),
        ({"answers": {"text": ["Кот"], "answer_start": [1, 2]}}, "question 1: no `text`"),
        ({"answers": {"text": ["Кот"], "answer_start": ["1"]}}, "question 1: `answer_start` is str and not int"),
        (
            {"answers": {"text": ["Лось"], "answer_start": [1]}},
            "question 1: the context does not hold the answer",
        ),
        ({"id": 0}, "question 0: id 0 stands on an earlier row, too; delete one of them"),
    ],
)
def test_wrong_questions_are_refused_by_id(tmp_path, keys, message):
    """Training would fail hours later, or score an answer that is not there."""
    with pytest.raises(UserError) as caught:
        read(tmp_path, [flat(ANSWERED) | {"id": "0"}, flat(ANSWERED) | keys])
    assert f"train.json: {message}" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        ('{"data": [\n{"title": "x', "train.json", ": broken JSON (Unterminated string starting at: line 2 column 11"),
        ('["\\ud800"]', "train.json", ": broken JSON"),
        ("[]", "train.json", ": no rows; a complete file has some"),
        ({"rows": []}, "train.json", " has not the layout of SQuAD (no `data`"),
        ({"data": [{"paragraphs": [{"qas": ["x"]}]}]}, "train.json", " has not the layout of SQuAD ("),
        (lines(flat(ANSWERED)) + '\n{"id": 2', "train.jsonl", ":3: broken JSON"),
    ],
)
def test_broken_files_are_refused_by_place(tmp_path, content, name, message):
    """A cut download would else be a smaller benchmark."""
    with pytest.raises(UserError) as caught:
        read(tmp_path, content, name)
    assert f"{name}{message}" in str(caught.value) and "\n" not in str(caught.value)


def test_predictions_are_the_official_submission(tmp_path):
    """The official script takes an object of texts by id; letters stay readable."""
    path = squad.write(tmp_path / "new" / "folder", [ANSWERED, OTHER], ["Кот", ""])
    assert path.name == "test_predictions.json"
    assert json.loads(path.read_text(encoding="utf-8")) == {"1": "Кот", "2": ""}
    assert "Кот" in path.read_text(encoding="utf-8")
    with pytest.raises(ValueError):
        squad.write(tmp_path, [ANSWERED, OTHER], ["Кот"])

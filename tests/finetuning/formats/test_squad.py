"""Questions keep their contexts and offsets to the character, in every layout that SQuAD's copies have."""

import copy
import gzip
import json
import logging

import datasets
import pytest
from datasets import Dataset, DatasetDict
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from distillation.config.errors import UserError
from finetuning.formats.squad import FILES, HUB, read, write

PROPERTY = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

CONTEXT = "\ufeffКот спит. \r\nПёс и кот едят."
ANSWERED = {
    "id": "1",
    "context": CONTEXT,
    "question": "Кто спит?",
    "answers": [{"text": "Кот", "start": 1}],
}
OTHER = ANSWERED | {"id": "2", "question": "Кто ест?", "answers": [{"text": "Пёс и кот", "start": 13}]}


def flat(row, kind=str):
    """A row of the reader as a row of the Hub."""
    answers = {"text": [a["text"] for a in row["answers"]], "answer_start": [a["start"] for a in row["answers"]]}
    return row | {"id": kind(row["id"]), "answers": answers, "title": "SberChallenge"}


def articles(*rows, version="1.1"):
    """Rows of the reader as SQuAD's object; neighbours with the same context are one paragraph."""
    paragraphs = []
    for row in rows:
        if not paragraphs or paragraphs[-1]["context"] != row["context"]:
            paragraphs.append({"context": row["context"], "qas": []})
        answers = [{"text": a["text"], "answer_start": a["start"]} for a in row["answers"]]
        paragraphs[-1]["qas"].append({"id": row["id"], "question": row["question"], "answers": answers})
    return {"data": [{"title": "SberChallenge", "paragraphs": paragraphs}], "version": version}


def folder(path, train=None, test=None, names=FILES[0]):
    """A folder of the benchmark; what is a string goes into a file as it is, the rest as JSON."""
    for name, content in zip(names, (train, test), strict=True):
        content = articles(ANSWERED) if content is None else content
        text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False, indent=1)
        (path / name).write_bytes(text.encode())
    return str(path)


def one(path, **keys):
    """The training row that the reader makes of a question with other keys than ANSWERED's."""
    (row,) = read(folder(path, [flat(ANSWERED) | keys]))["train"]
    return row


def lines(*rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


@pytest.mark.parametrize(
    ("train", "test", "names"),
    [
        (articles(ANSWERED, OTHER), articles(OTHER), FILES[0]),
        (articles(ANSWERED, OTHER), articles(OTHER), FILES[1]),
        ([flat(ANSWERED), flat(OTHER, int)], [flat(OTHER, int)], FILES[0]),
        (lines(flat(ANSWERED), flat(OTHER, int)), lines(flat(OTHER)) + "\n", FILES[2]),
        (lines(flat(ANSWERED), flat(OTHER)).replace("\n", "\r\n"), lines(flat(OTHER))[:-1], FILES[2]),
    ],
    ids=["articles", "articles of SberQuAD", "list", "lines", "lines of windows"],
)
def test_every_layout_gives_the_same_rows(tmp_path, train, test, names):
    """A mark or a line break that is taken out of a context would shift every answer behind it."""
    splits = read(folder(tmp_path, train, test, names))
    assert splits == {"train": [ANSWERED, OTHER], "test": [OTHER]}
    assert [CONTEXT[a["start"] :][: len(a["text"])] for a in OTHER["answers"]] == ["Пёс и кот"]


@pytest.mark.parametrize("as_list", [False, True])
def test_the_hub_gives_the_same_rows(monkeypatch, as_list):
    """Its ids are numbers, its part for development is called validation, and the answers of its test are hidden."""
    rows = [flat(ANSWERED, int), flat(OTHER, int)]
    for row in rows if as_list else []:
        pairs = zip(row["answers"]["text"], row["answers"]["answer_start"], strict=True)
        row["answers"] = [{"text": text, "answer_start": start} for text, start in pairs]
    hidden = Dataset.from_list([{"id": 3, "context": "", "question": ""}])
    loaded = DatasetDict(test=hidden, validation=Dataset.from_list(rows[1:]), train=Dataset.from_list(rows))
    monkeypatch.setattr(datasets, "load_dataset", lambda name: loaded)
    assert read(HUB) == {"train": [ANSWERED, OTHER], "test": [OTHER]}


def test_wrong_rows_of_the_hub_are_refused_by_row(monkeypatch):
    rows = Dataset.from_list([flat(ANSWERED, int), flat(ANSWERED, int)])
    monkeypatch.setattr(datasets, "load_dataset", lambda name: DatasetDict(train=rows, validation=rows))
    with pytest.raises(UserError, match=r"sberquad \(train\), row 1: question 1: the id stands on an earlier"):
        read(HUB)


def test_packed_files_are_read(tmp_path):
    folder(tmp_path)
    for name in FILES[0]:
        plain = tmp_path / name
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(plain.read_bytes()))
        plain.unlink()
    assert read(str(tmp_path)) == {"train": [ANSWERED], "test": [ANSWERED]}


def test_lines_may_hold_other_line_separators(tmp_path):
    """JSON may hold U+2028 and U+0085 inside strings: a split there would break the row."""
    row = ANSWERED | {"context": "Кот\u2028спит\x85."}
    row["answers"] = [{"text": "спит", "start": 4}]
    assert read(folder(tmp_path, lines(flat(row)), lines(flat(row)), FILES[2]))["train"] == [row]


def test_questions_are_stripped_and_contexts_are_not(tmp_path):
    row = one(tmp_path, context=f"  {CONTEXT} ", question="\n Кто? ", answers={"text": ["Кот"], "answer_start": [3]})
    assert row == ANSWERED | {"context": f"  {CONTEXT} ", "question": "Кто?", "answers": [{"text": "Кот", "start": 3}]}


@pytest.mark.parametrize(
    ("text", "start", "place"),
    [("Кот", 1, 1), (" спит. \r\n", 4, 5), ("спит ", 5, 5), ("\tКот", 0, 1)],
)
def test_answers_are_trimmed_and_their_start_follows(tmp_path, caplog, text, start, place):
    """White space at the ends is no part of an answer; a start that stood still would point at it."""
    row = one(tmp_path, answers={"text": [text], "answer_start": [start]})
    assert row["answers"] == [{"text": text.strip(), "start": place}]
    assert not caplog.messages


@pytest.mark.parametrize(
    ("text", "start", "place"),
    [
        ("спит", 4, 5),
        ("спит", 9, 5),
        ("спит", -1, 5),
        ("спит", 1000, 5),
        (" спит", 5, 5),
        ("т", 4, 3),
        ("т", 5, 3),
        ("т", 6, 8),
        ("т", 9, 8),
        ("и", 12, 7),  # as near as the other at 17
    ],
)
def test_answers_that_miss_their_place_take_the_nearest(tmp_path, caplog, text, start, place):
    """Published sets have slips by a character or two, where the first place of the text would be another answer."""
    row = one(tmp_path, answers={"text": [text], "answer_start": [start]})
    assert row["answers"] == [{"text": text.strip(), "start": place}]
    (message,) = caplog.messages
    assert f"{FILES[0][0]}: 1 answers do not stand" in message


def test_slips_are_counted_in_one_line_of_the_log(tmp_path, caplog):
    """A line for each would bury the log of a run, and none would hide a file that was translated."""
    rows = [flat(ANSWERED) | {"id": n, "answers": {"text": ["спит"], "answer_start": [n]}} for n in range(9)]
    with caplog.at_level(logging.WARNING):
        read(folder(tmp_path, rows))
    (message,) = caplog.messages
    assert "train-v1.1.json: 8 answers" in message


def test_several_answers_are_kept_and_the_same_ones_once(tmp_path):
    """The official score takes the best of all answers; annotators often agree."""
    answers = {"text": ["Кот", "Кот ", "Кот спит", "кот", "Кот"], "answer_start": [1, 1, 1, 19, 1]}
    found = [("Кот", 1), ("Кот спит", 1), ("кот", 19)]
    assert one(tmp_path, answers=answers)["answers"] == [{"text": text, "start": start} for text, start in found]


@pytest.mark.parametrize(
    "keys",
    [
        {"answers": []},
        {"answers": {"text": [], "answer_start": []}},
        {"answers": {"text": ["", " "], "answer_start": [-1, 0]}},
        {"is_impossible": True},
        {"is_impossible": True, "answers": [{"text": "нет его", "answer_start": 0}]},
    ],
)
def test_questions_without_an_answer_are_kept(tmp_path, keys):
    """They have their place in a submission; dropping them would change the score."""
    assert one(tmp_path, **keys) == ANSWERED | {"answers": []}
    assert one(tmp_path, is_impossible=False) == ANSWERED


def test_the_question_of_an_article_takes_the_context_of_its_paragraph(tmp_path):
    other = {"id": "3", "context": "Дождь.", "question": "Что?", "answers": [{"text": "Дождь", "start": 0}]}
    assert read(folder(tmp_path, articles(ANSWERED, other, OTHER)))["train"] == [ANSWERED, other, OTHER]


def without(key):
    return {name: value for name, value in flat(ANSWERED).items() if name != key}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (without("id"), r": \[1\]: no `id`"),
        (without("context"), ":9: question 1: no `context`; fill it in"),
        (without("question"), ":9: question 1: no `question`"),
        (without("answers"), ":9: question 1: no `answers`"),
        ({"id": None}, r": \[1\]: `id` is NoneType and not str or int"),
        ({"id": True}, r": \[1\]: `id` is bool and not"),
        ({"id": " "}, r": \[1\]: the id is blank"),
        ({"context": None}, ":9: question 1: `context` is NoneType and not str"),
        ({"question": 5}, ":9: question 1: `question` is int and not str"),
        ({"answers": "Кот"}, ":9: question 1: `answers` is str and not list or dict"),
        ({"answers": ["Кот"]}, ":9: question 1: an answer is no object"),
        ({"answers": {"text": "Кот", "answer_start": 1}}, ":9: question 1: `text` is str and not list"),
        ({"answers": {"text": ["Кот"]}}, ":9: question 1: no `answer_start`"),
        ({"answers": {"text": ["Кот"], "answer_start": [1, 2]}}, ":9: question 1: 1 texts of answers and 2 starts"),
        ({"answers": {"text": ["Кот"], "answer_start": ["1"]}}, ":9: question 1: `answer_start` is str and not int"),
        ({"answers": {"text": [1], "answer_start": [1]}}, ":9: question 1: `text` is int and not str"),
        (
            {"answers": {"text": ["Лось"], "answer_start": [1]}},
            ":9: question 1: the context does not hold .*'Лось'; mend",
        ),
        ({"id": "0"}, ":9: question 0: the id stands on an earlier question, too"),
        ({"id": 0}, ":9: question 0: the id stands on an earlier question, too"),
        (5, r": \[1\]: int and no question; make it an object"),
    ],
)
@pytest.mark.parametrize("name", FILES[0])
def test_wrong_questions_are_refused_by_line_and_id(tmp_path, row, message, name):
    """Training would fail hours later, or score an answer that is not there."""
    whole = row if isinstance(row, int) or len(row) > 3 else flat(ANSWERED) | row
    first = json.dumps(flat(ANSWERED) | {"id": "0"}, ensure_ascii=False)
    content = "\n" * 6 + f"[{first}\n,\n{json.dumps(whole)}]"
    with pytest.raises(UserError, match=rf"{name}{message}") as caught:
        read(folder(tmp_path, **{"train" if name == FILES[0][0] else "test": content}))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", ["1", 1, "ключ", "a.b"])
@pytest.mark.parametrize("colon", [":", ": ", " : "])
@pytest.mark.parametrize("escaped", [True, False])
def test_the_line_of_a_question_in_articles_is_that_of_its_id(tmp_path, key, colon, escaped):
    """Ids may be numbers or escaped, and `1` also stands inside of other values."""
    wrong = ANSWERED | {"id": key, "answers": [{"text": "1", "start": 1}]}
    text = json.dumps(articles(OTHER | {"id": "11"}, wrong), ensure_ascii=escaped, indent=1, separators=(",", colon))
    own = f'"id"{colon}{json.dumps(key, ensure_ascii=escaped)},'
    line = [content.strip() for content in text.split("\n")].index(own) + 1
    with pytest.raises(UserError, match=rf"train-v1\.1\.json:{line}: question {key}: the context does not hold"):
        read(folder(tmp_path, text))


@pytest.mark.parametrize(("first", "line"), [("Лось", 2), ("Кот", 3)])
def test_the_line_of_a_repeated_id_is_that_of_the_wrong_question(tmp_path, first, line):
    """Of three questions with one id, the first is at fault for its answer and the second for its id."""
    rows = [flat(ANSWERED) | {"answers": {"text": [text], "answer_start": [1]}} for text in (first, "Кот", "Кот")]
    content = "[\n" + ",\n".join(json.dumps(row) for row in rows) + "]"
    with pytest.raises(UserError, match=f"train-v1.1.json:{line}: question 1: "):
        read(folder(tmp_path, content))


def broken(path, value):
    """SQuAD's object with something else in one place; None takes the key out."""
    content = copy.deepcopy(articles(ANSWERED))
    *way, last = path
    holder = content
    for key in way:
        holder = holder[key]
    if value is None:
        del holder[last]
    else:
        holder[last] = value
    return content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", ":1: broken JSON at column 1"),
        ('{"data": [\n{"title": "x', r":2: broken JSON at column 11 .*; mend it or fetch"),
        ("[]", ":1: no questions"),
        ({"data": []}, ":1: no questions"),
        ("5", ": data is missing or no list; make the file SQuAD v1.1 or a list of rows"),
        ({"rows": []}, ": data is missing or no list"),
        (broken(["data", 0], 5), r": data\[0\].paragraphs is missing"),
        (broken(["data", 0, "paragraphs"], None), r": data\[0\].paragraphs is missing"),
        (broken(["data", 0, "paragraphs", 0], "x"), r": data\[0\].paragraphs\[0\].qas is missing"),
        (broken(["data", 0, "paragraphs", 0, "qas"], {}), r": data\[0\].paragraphs\[0\].qas is missing or no list"),
        (broken(["data", 0, "paragraphs", 0, "qas", 0], "x"), r": data\[0\].paragraphs\[0\].qas\[0\]: str and no"),
        (broken(["data", 0, "paragraphs", 0, "qas", 0, "id"], None), r": data\[0\].paragraphs\[0\].qas\[0\]: no `id`"),
        (broken(["data", 0, "paragraphs", 0, "context"], None), ":9: question 1: no `context`"),
    ],
)
@pytest.mark.parametrize("split", ["train", "test"])
def test_broken_files_are_refused_by_place(tmp_path, content, message, split):
    """A cut download would else be a smaller benchmark."""
    name = dict(zip(("train", "test"), FILES[0], strict=True))[split]
    with pytest.raises(UserError, match=rf"{name}{message}") as caught:
        read(folder(tmp_path, **{split: content}))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", ":1: no questions"),
        (lines(flat(ANSWERED)) + '\n{"id": 2', ":3: broken JSON at column 9"),
        (lines(flat(ANSWERED), flat(ANSWERED)), ":2: question 1: the id stands on an earlier"),
        (lines(flat(ANSWERED), without("id")), ":2: no `id`"),
        (lines(flat(ANSWERED), 5), ":2: int and no question"),
    ],
)
def test_broken_lines_are_refused_by_line(tmp_path, content, message):
    with pytest.raises(UserError, match=f"train.jsonl{message}"):
        read(folder(tmp_path, content, lines(flat(ANSWERED)), FILES[2]))


def test_missing_files_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"looked for train-v1\.1\.json and dev-v1\.1\.json, or .*validation\.jsonl"):
        read(str(tmp_path))


@PROPERTY
@given(st.text(st.sampled_from("аб \ufeff\n\r"), min_size=1), st.data())
def test_an_answer_is_the_slice_at_its_start(tmp_path, context, data):
    """Whatever slice and slip are drawn: the text is found in the context, and no place of it is nearer."""
    start = data.draw(st.integers(0, len(context) - 1))
    text = context[start : data.draw(st.integers(start + 1, len(context)))]
    claimed = start + data.draw(st.integers(-3, 3))
    answers = one(tmp_path, context=context, answers={"text": [text], "answer_start": [claimed]})["answers"]
    bare, claimed = text.strip(), claimed + len(text) - len(text.lstrip())
    places = [place for place in range(len(context)) if bare and context.startswith(bare, place)]
    assert answers == [
        {"text": bare, "start": min(places, key=lambda place: abs(place - claimed))} for _ in range(bool(bare))
    ]


def test_predictions_are_the_official_submission(tmp_path):
    """The official script takes an object of texts by id; letters stay readable."""
    path = write(tmp_path / "new" / "folder", [ANSWERED, OTHER], ["Кот", ""])
    assert path.name == "test_predictions.json"
    assert json.loads(path.read_text(encoding="utf-8")) == {"1": "Кот", "2": ""}
    assert "Кот" in path.read_text(encoding="utf-8")
    with pytest.raises(ValueError):
        write(tmp_path, [ANSWERED, OTHER], ["Кот"])

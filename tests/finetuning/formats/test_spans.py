"""Spans of characters become tags of words, whatever tool has exported them."""

import pytest

from distillation.config.errors import UserError
from finetuning.formats import spans
from tests.finetuning.known import entities

TEXT = "Анна Ве\u0301га в Туле"


def read(*raws, column=None):
    return spans.rows("mine.jsonl", [(f"mine.jsonl:{n}", raw) for n, raw in enumerate(raws, start=1)], "text", column)


@pytest.mark.parametrize(
    ("key", "found"),
    [
        ("spans", [[0, 10, "PER"], [13, 17, "LOC"]]),
        ("label", [[13, 17, " LOC "], [0, 10, "PER"]]),  # in any order
        ("entities", [{"start": 0, "end": 10, "label": "PER"}, {"start_offset": 13, "end_offset": 17, "type": "LOC"}]),
        (
            "label",
            [{"start": 0, "end": 10, "labels": ["PER"]}, {"start": 13, "end": 17, "labels": ["LOC"]}],
        ),
        ("spans", [[0, 8, "PER"], [14, 16, "LOC"]]),  # a half of a word takes all of it, a letter its mark of stress
        (
            "spans",
            [[0, 10, "PER"], [5, 12, "ORG"], [4, 5, "X"], [12, 17, "LOC"]],
        ),  # the longest stays; no word, no entity
    ],
)
def test_spans_in_all_their_forms(key, found):
    (row,) = read({"text": TEXT, key: found, "id": 7})
    assert row["id"] == "1" and row["tags"] == ["B-PER", "I-PER", "O", "B-LOC"]
    assert entities(row, row["tags"])[0] == ("PER", 0, 10, TEXT[:10])


def test_rows_that_were_rejected_are_no_examples(caplog):
    """Without spans they would be learned as texts without entities."""
    answers = ("accept", "reject", "ignore", "accept")
    rows = read(*({"text": str(n), "spans": [], "answer": answer} for n, answer in enumerate(answers)))
    assert [row["text"] for row in rows] == ["0", "3"] and "2 rows whose `answer` is no `accept`" in caplog.text


def test_texts_without_entities_and_what_is_dropped(caplog):
    rows = read({"text": "Да"}, {"text": "Да", "mine": [[0, 2, "X"], [0, 1, "Y"]]}, {"text": ""}, column="mine")
    assert [row["tags"] for row in rows] == [["O"], ["B-X"], []] and "1 entities dropped" in caplog.text


def test_spans_that_end_inside_a_word_are_told(caplog):
    """Those that were shifted would be learned as the words beside the entities."""
    read({"text": TEXT, "spans": [[0, 10, "PER"], [13, 17, "LOC"]]})
    assert "inside a word" not in caplog.text
    read({"text": TEXT, "spans": [[0, 10, "PER"], [14, 17, "LOC"]]})
    assert "1 of 2 entities begin or end inside a word, and take the whole" in caplog.text and "'уле'" in caplog.text


def test_rows_without_a_list_of_spans_are_told(caplog):
    read({"text": "Да", "spans": []}, {"text": "Да", "span": [[0, 2, "X"]]})
    assert "1 rows have no `spans`, `entities`, `label`, `labels`" in caplog.text


def test_half_of_a_pair_is_mended_where_it_stands(tokenizer):
    (row,) = read({"text": "х\ud83d кот", "spans": [[3, 6, "X"]]})
    assert len(row["text"]) == 6 and row["tags"][-1] == "B-X" and tokenizer(row["text"])


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"text": TEXT, "spans": [[0, 99, "PER"]]}, r":2: the span \[0, 99, 'PER'\] is not in the text, which has 17"),
        ({"text": TEXT, "spans": [[4, 4, "PER"]]}, ":2: the span .* is not in the text"),
        ({"text": TEXT, "spans": [[0, 4]]}, r":2: the span \[0, 4\] is no \[start, end, label\]"),
        ({"text": TEXT, "spans": [{"start": 0, "label": "PER"}]}, r":2: the span .* is no \[start, end, label\]"),
        ({"text": TEXT, "spans": [["0", 4, "PER"]]}, ":2: the span .* is no"),
        ({"text": TEXT, "label": "PER"}, r":2: the spans are str and no list of \[start, end, label\]"),
        ({"txt": TEXT}, ":2: no `text` among txt"),
    ],
)
def test_what_is_no_span_is_refused_by_its_line(raw, message):
    with pytest.raises(UserError, match=message):
        read({"text": TEXT}, raw)

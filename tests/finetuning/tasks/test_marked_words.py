"""Marked words: every mark where its word is, however long the text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetuning.metrics import LabelScores
from finetuning.tasks.marked_words import MARKS, SPECIAL_TOKENS, MarkedWords, fitting, marked_texts


@pytest.fixture
def task():
    rest = dict(name="words", read=lambda folder: {}, write=lambda folder, rows, predictions: folder)
    labels = ("false", "true")
    return MarkedWords(labels=labels, metric=LabelScores(labels, "accuracy"), primary_metric="accuracy", **rest)


def test_marks_in_two_texts():
    row = {"text": "Кошка спит.", "span": [0, 5], "text_2": "Вот кошка", "span_2": [4, 9]}
    assert marked_texts(row) == [("*Кошка* спит.", [(0, 7)]), ("Вот #кошка#", [(4, 11)])]


@given(st.text("аб", min_size=1, max_size=20), st.data())
def test_marks_in_one_text(text, data):
    """Also where they overlap: taken out, the text is as it was."""
    spans = [sorted(data.draw(st.tuples(*[st.integers(0, len(text))] * 2))) for _ in MARKS]
    ((marked, regions),) = marked_texts({"text": text, "span": spans[0], "span_2": spans[1]})
    assert marked.replace(MARKS[0], "").replace(MARKS[1], "") == text
    for span, (first, last), mark, other in zip(spans, regions, MARKS, MARKS[::-1], strict=True):
        assert marked.count(mark) == 2 and marked[first] == marked[last - 1] == mark
        assert marked.replace(other, "").split(mark)[1] == text[slice(*span)]


@pytest.mark.parametrize("max_length", [24, 64])
def test_marked_words_are_never_cut_away(task, corpus_lines, tokenizer, max_length):
    long = " ".join(corpus_lines[:12])
    rows = []
    for place in (0, len(long) // 2, len(long) - 6):
        one = {"id": str(place), "label": "true", "text": long, "span": [place, place + 3]}
        rows += [one | {"text_2": corpus_lines[20], "span_2": [0, 3]}, one | {"text_2": long, "span_2": [9, 12]}]
    part = task.encode(rows, tokenizer, max_length)
    assert part.truncated == len(rows) and part.rows == rows
    marks = {tokenizer.tokenize(mark)[0] for mark in MARKS}  # perhaps the unknown token
    for row, ids in zip(rows, part.inputs["input_ids"], strict=True):
        read = tokenizer.convert_ids_to_tokens(ids)
        assert len(ids) <= max_length and sum(read.count(mark) for mark in marks) >= 4, row["span"]


def test_a_short_text_leaves_its_share_to_the_other(tokenizer, corpus_lines):
    long, short, limit = " ".join(corpus_lines[:8]), "да", 40 - SPECIAL_TOKENS
    cut, same = fitting([(long, [(0, 3)]), (short, [(0, 2)])], tokenizer, limit)
    assert same == short and len(tokenizer.tokenize(cut)) == limit - len(tokenizer.tokenize(short))


def test_words_that_are_far_apart_are_both_shown(task, corpus_lines, byte_tokenizer):
    text = " ".join(corpus_lines[:12])
    row = {"id": "1", "label": "true", "text": text, "span": [len(text) - 4, len(text) - 1], "span_2": [2, 5]}
    (ids,) = task.encode([row], byte_tokenizer, 24).inputs["input_ids"]
    read = byte_tokenizer.decode(ids)
    assert len(ids) <= 24 and f"*{text[-4:-1]}*" in read and f"#{text[2:5]}#" in read and read.count("…") == 1

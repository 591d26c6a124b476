"""Classification: pairs stay pairs, cut texts are counted, and every probability stands under its label."""

import numpy as np
import pytest


@pytest.fixture
def task(tasks):
    return tasks["classification"]


def test_labels_by_their_number(task, rows, any_tokenizer):
    some = rows["classification"][:20]
    encoded = task.encode(some, any_tokenizer, 512)
    assert encoded.inputs["labels"][:] == ["abc".index(row["label"]) for row in some]
    assert encoded.inputs["length"][:] == [len(ids) for ids in encoded.inputs["input_ids"]]
    assert encoded.inputs["input_ids"][:] == any_tokenizer([row["text"] for row in some])["input_ids"]
    assert task.references(some) == [row["label"] for row in some]


def test_a_pair_is_one_input(task, rows, any_tokenizer):
    one, other = (row["text"] for row in rows["classification"][:2])
    pair = {"id": "1", "text": one, "text_2": other, "label": "b"}
    encoded = task.encode([pair], any_tokenizer, 512)
    assert encoded.inputs["input_ids"][0] == any_tokenizer(one, other)["input_ids"] and len(encoded.inputs) == 1
    assert task.texts(pair) == (one, other) and task.texts(rows["classification"][0]) == (one,)
    assert task.texts(pair) != task.texts(pair | {"text": other, "text_2": one})


def test_cut_texts_are_counted(task, any_tokenizer):
    """An exact fit is not cut."""
    fits = "он " * 4
    length = len(any_tokenizer(fits)["input_ids"])
    some = [{"id": str(i), "text": text, "label": "a"} for i, text in enumerate((fits, "да", fits + "он она"))]
    encoded = task.encode(some, any_tokenizer, length)
    assert encoded.truncated == 1 and max(encoded.inputs["length"]) == length
    pairs = [dict(row, text_2="да") for row in some]
    assert task.encode(pairs, any_tokenizer, length).truncated >= 2


def test_of_a_pair_the_longer_is_cut(task, tokenizer):
    """Cut first in the second text, short headlines after long ones would go unread."""
    pair = {"id": "1", "text": "он " * 30, "text_2": "да", "label": "a"}
    ids = task.encode([pair], tokenizer, 16).inputs["input_ids"][0]
    end = tokenizer("да")["input_ids"][1:]
    assert ids[-len(end) :] == end and len(ids) == 16


def test_probabilities_by_hand(task):
    """Scores log 1, log 2, log 5: an eighth, a quarter, and five eighths, each under its label."""
    some = [{"id": "x", "text": "?", "label": "a"}, {"id": "y", "text": "?", "label": "a"}]
    logits = [np.log(np.array(values, dtype=np.float32)) for values in ([1, 2, 5], [2, 1, 1])]
    one, other = task.decode(some, None, logits)
    assert one["id"] == "x" and one["prediction"] == "c" and one["score"] == pytest.approx(5 / 8)
    assert one["scores"] == pytest.approx({"a": 1 / 8, "b": 1 / 4, "c": 5 / 8})
    assert other["id"] == "y" and other["prediction"] == "a" and sum(other["scores"].values()) == pytest.approx(1)
    assert task.score(some, [one, other]) == pytest.approx({"accuracy": 0.5, "f1_macro": (2 / 3 + 0 + 0) / 3})

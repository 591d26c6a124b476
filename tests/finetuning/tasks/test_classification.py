"""Classification of texts and pairs."""

import numpy as np
import pytest
from datasets import Dataset

from finetuning.tasks.base import Part


def test_a_text_or_a_pair_is_one_input(task, rows, any_tokenizer):
    some = rows["classification"][:20]
    part = task.encode(some, any_tokenizer, 512)
    assert part.inputs["labels"][:] == ["abc".index(row["label"]) for row in some]
    assert part.inputs["input_ids"][:] == any_tokenizer([row["text"] for row in some])["input_ids"]
    pair = some[0] | {"text_2": some[1]["text"], "label": None}
    encoded, wanted = task.encode([pair], any_tokenizer, 512).inputs, any_tokenizer(pair["text"], pair["text_2"])
    assert encoded["input_ids"][:] == [wanted["input_ids"]] and encoded["labels"][:] == [-100]
    assert task.texts(pair) == (pair["text"], pair["text_2"]) and task.texts(some[0]) == (some[0]["text"],)


def test_cut_texts_are_counted(task, any_tokenizer):
    """An exact fit is not cut. Of a pair the longer text is cut: short headlines after long ones would go unread."""
    fits = "он " * 4
    length = len(any_tokenizer(fits)["input_ids"])
    some = [{"id": str(i), "text": text, "label": "a"} for i, text in enumerate((fits, "да", fits + "он она"))]
    part = task.encode(some, any_tokenizer, length)
    assert part.truncated == 1 and max(part.inputs["length"]) == length
    part = task.encode([some[1] | {"text_2": "да"}, some[2] | {"text_2": "да"}], any_tokenizer, length)
    end = any_tokenizer("он", "да")["input_ids"][len(any_tokenizer("он")["input_ids"]) :]
    assert part.truncated == 1 and part.inputs["input_ids"][1][-len(end) :] == end


def test_probabilities_by_hand(task):
    """Scores log 1, log 2, log 5: an eighth, a quarter, and five eighths, each under its label."""
    some = [{"id": name, "text": "?", "label": "a"} for name in "xy"]
    one, other = task.decode(Part(some, Dataset.from_dict({})), list(np.log([[1, 2, 5], [2, 1, 1]])))
    assert one["id"] == "x" and one["prediction"] == "c" and one["score"] == pytest.approx(5 / 8)
    assert one["scores"] == pytest.approx({"a": 1 / 8, "b": 1 / 4, "c": 5 / 8})
    assert other["id"] == "y" and other["prediction"] == "a"
    assert task.score(some, [one, other]) == pytest.approx({"accuracy": 0.5, "f1_macro": (2 / 3 + 0) / 2})

"""Choices that compete, as many as a row has."""

import numpy as np
import pytest
import torch

from finetuning.tasks.collator import ChoiceCollator


@pytest.fixture
def encoded(tasks, rows, tokenizer):
    return tasks["multiple_choice"].encode(rows["multiple_choice"][:9], tokenizer, 48)


def test_choices_that_a_row_lacks_get_no_chance(tasks, encoded, tokenizer):
    """And no NaN: attention to nothing at all would be."""
    task, inputs = tasks["multiple_choice"], [encoded.inputs[i] for i in range(3)]
    assert [one["size"] for one in inputs] == [2, 3, 4]
    batch = ChoiceCollator(tokenizer, task.padded)(inputs)
    assert batch["input_ids"].shape[:2] == (3, 4) and batch["attention_mask"].sum(-1).min() == 1
    shares = task.scores(torch.zeros(3, 4), batch["attention_mask"]).softmax(-1)
    assert torch.allclose(shares, torch.tensor([[1 / 2] * 2 + [0] * 2, [1 / 3] * 3 + [0], [1 / 4] * 4]))


def test_the_text_stands_before_each_choice(rows, encoded, tokenizer):
    row, ids = rows["multiple_choice"][0], encoded.inputs[0]["input_ids"]
    for choice, read in zip(row["choices"], ids, strict=True):
        assert read == tokenizer(row["text"], choice, truncation=True, max_length=48)["input_ids"]


def test_the_best_of_its_own_choices_is_predicted(tasks, rows, encoded):
    some = rows["multiple_choice"][:9]
    logits = [np.eye(len(row["choices"]))[row["label"]] * 9 for row in some]
    predictions = tasks["multiple_choice"].decode(some, encoded, logits)
    assert [one["prediction"] for one in predictions] == [str(row["label"]) for row in some]
    assert all(sum(one["scores"]) == pytest.approx(1) and one["score"] > 0.9 for one in predictions)


def test_a_row_without_a_label_is_answered_and_not_counted(tasks, rows, tokenizer):
    row = rows["multiple_choice"][0] | {"label": None}
    assert tasks["multiple_choice"].encode([row], tokenizer, 48).inputs["labels"] == [-100]

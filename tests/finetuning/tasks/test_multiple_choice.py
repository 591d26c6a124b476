"""Choices that compete, as many as a row has."""

import dataclasses

import numpy as np
import pytest
import torch

from finetuning.tasks.multiple_choice import ChoiceCollator


@pytest.fixture
def part(task, rows, tokenizer):
    return task.encode(rows["multiple_choice"][:9], tokenizer, 48)


def test_choices_that_a_row_lacks_get_no_chance(task, part, tokenizer):
    """And no NaN: attention to nothing at all would be."""
    inputs = [part.inputs[i] for i in range(3)]
    assert [one["size"] for one in inputs] == [2, 3, 4]
    batch = ChoiceCollator(tokenizer)(inputs)
    assert batch["input_ids"].shape[:2] == (3, 4) and batch["attention_mask"].sum(-1).min() == 1
    shares = task.scores(torch.zeros(3, 4), batch["attention_mask"]).softmax(-1)
    assert torch.allclose(shares, torch.tensor([[1 / 2] * 2 + [0] * 2, [1 / 3] * 3 + [0], [1 / 4] * 4]))


def test_the_best_of_its_own_choices_is_predicted(task, part, tokenizer):
    """A row without a label is answered too; it does not count in the loss."""
    for choice, read in zip(part.rows[0]["choices"], part.inputs[0]["input_ids"], strict=True):
        assert read == tokenizer(part.rows[0]["text"], choice, truncation=True, max_length=48)["input_ids"]
    logits = [np.eye(len(row["choices"]))[row["label"]] * 9 for row in part.rows]
    unlabelled = [row | {"label": None} for row in part.rows]
    assert task.encode(unlabelled, tokenizer, 48).inputs["labels"][:] == [-100] * 9
    predictions = task.decode(dataclasses.replace(part, rows=unlabelled), logits)
    assert [one["prediction"] for one in predictions] == [str(row["label"]) for row in part.rows]
    assert all(sum(one["scores"]) == pytest.approx(1) for one in predictions)

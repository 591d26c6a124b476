"""Candidates estimate the softmax over all tokens without bias, the same in every process."""

import numpy as np
import pytest
import torch

from distillation.models.sampled_softmax import LAST, SampledSoftmax

COUNTS = np.array([20, 10, 40, 90, 30, 100, 300, 200])
LOGITS = torch.tensor([3.0, -1.0, 2.0, 0.5, 1.0, -0.5, 0.0, 1.5])


def labels(*ids):
    return torch.isin(torch.arange(len(COUNTS)), torch.tensor(ids))


def test_the_normaliser_is_unbiased():
    """The mean over 4,000 steps lies within four standard errors of the sum over the vocabulary; without the
    correction, or with a label's chance of being drawn, it would not."""
    sampled = SampledSoftmax(COUNTS, seed=0, draws=8)
    drawn = (sampled.draw(step, labels(1)) for step in range(4_000))
    sums = torch.tensor([(LOGITS[ids] - log_probability).exp().sum() for ids, log_probability in drawn])
    error = sums.std() / len(sums) ** 0.5
    assert error < 0.02 * sums.mean() and abs(sums.mean() - LOGITS.exp().sum()) < 4 * error


def test_probabilities_by_hand():
    """Of two tokens with counts 1 and 16, whose 0.75th powers are 1 and 8, two draws miss the first in (8/9)^2."""
    assert SampledSoftmax(np.array([1, 16]), 0, draws=2).probability == pytest.approx([1 - 64 / 81, 1 - 1 / 81])


def test_labels_are_candidates_and_a_step_decides_the_others():
    """Ranks and resumed runs draw alike; steps and seeds differ."""
    sampled = SampledSoftmax(COUNTS, seed=3, draws=3)
    ids, log_probability = sampled.draw(7, labels(0, 2))
    assert {0, 2} < {*ids.tolist()} and ids.tolist() == sorted(ids.tolist())
    assert log_probability[:1] == log_probability[ids == 2] == 0 and (log_probability[ids > 2] < 0).all()
    again = [SampledSoftmax(COUNTS, seed, draws=3) for seed in (3, 4)]
    draws = [[one.draw(step, labels(0))[0].tolist() for step in range(20)] for one in (sampled, *again)]
    assert draws[0] == draws[1] != draws[2] and len({str(one) for one in draws[0]}) > 5


def test_the_last_steps_have_all_tokens():
    assert [step for step in range(20) if not SampledSoftmax.covers(step, 20)] == [18, 19]
    assert sum(not SampledSoftmax.covers(step, 9_000) for step in range(9_000)) == LAST

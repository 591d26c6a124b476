"""Rows of 128 bytes give the loss and the gradient of the teacher's predictions: exactly, or in the mean of draws."""

import pytest
import torch

from distillation.losses import kl_loss
from distillation.vocabularies import sampled_predictions
from distillation.vocabularies.cross_vocabulary_kl import CandidateKL
from distillation.vocabularies.sampled_predictions import SampledPredictions, _packed, _unpacked
from tests.distillation.vocabularies.test_cross_vocabulary_kl import CHOICES, MATCH, inputs, made, value_and_gradient

SAME = ("same",)
T = 2.0


def term_of(choice):
    """The KL, logits of a student, states of a teacher, and groups."""
    logits, states, projection, groups = inputs(MATCH if choice == SAME else choice)
    if choice != SAME:
        return made(choice, projection), logits, 2 * states, groups
    logits = logits.detach().repeat(1, 2)[:, : projection.out_features].requires_grad_()
    return CandidateKL(None, projection, "same"), logits, 2 * states, groups


@pytest.mark.parametrize("choice", [SAME, MATCH, *CHOICES[1::2]], ids=" ".join)
def test_the_mean_over_draws_is_the_exact_loss_and_gradient(choice, monkeypatch):
    """A bias would train towards something else, and no figure of the run would show it. One likely candidate and few
    draws: what is drawn, and what is rounded away, counts. The tolerance is four standard errors of the mean."""
    monkeypatch.setattr(sampled_predictions, "LIKELIEST", 1)
    monkeypatch.setattr(sampled_predictions, "BITS", 8)
    monkeypatch.setattr(sampled_predictions, "BYTES", 8)
    term, logits, states, groups = term_of(choice)
    exact, gradient = value_and_gradient(term(logits, states, groups, T), logits)
    generator = torch.Generator().manual_seed(0)
    losses, gradients = [], []
    for _ in range(200):
        rows = term.sample(states, groups, T, torch.rand(len(states), generator=generator))
        loss, its_gradient = value_and_gradient(term(logits, rows, groups, T, sampled=True), logits)
        losses.append(torch.tensor(loss))
        gradients.append(its_gradient)
    assert 3 <= term.samples.draws <= 8
    for values, expected in ((torch.stack(losses), torch.tensor(exact)), (torch.stack(gradients), gradient)):
        tolerance = 4 * (values.std(0) / len(values) ** 0.5).norm()
        assert (values.mean(0) - expected).norm() < tolerance < 0.3 * expected.norm()


@pytest.mark.parametrize("choice", [SAME, *CHOICES], ids=" ".join)
def test_with_all_candidates_kept_it_is_the_exact_one(choice, monkeypatch):
    """To the rounding of a probability, also where so many pieces have fewer candidates than a row has room for."""
    monkeypatch.setattr(sampled_predictions, "LIKELIEST", 24)
    term, logits, states, groups = term_of(choice)
    exact, gradient = value_and_gradient(term(logits, states, groups, T), logits)
    rows = term.sample(states, groups, T, torch.rand(len(states)))
    actual, its_gradient = value_and_gradient(term(logits, rows, groups, T, sampled=True), logits)
    assert actual == pytest.approx(exact, rel=1e-3)
    torch.testing.assert_close(its_gradient, gradient, rtol=0, atol=1e-3)


def test_a_student_that_agrees_has_no_loss_whatever_was_drawn():
    """Else the logged KL of a good student would be noise."""
    logits = 3 * torch.randn(6, 500, generator=torch.Generator().manual_seed(0))
    samples = SampledPredictions(500)
    rows = samples.rows(logits.t(), torch.rand(6))
    divergences, _ = samples.kl_(logits.t().clone(), rows)
    assert divergences.abs().max() < 1e-5


def test_certain_teachers_and_impossible_tokens():
    """A probability of 1 does not fit 16 bits, and 0 log 0 is 0."""
    teacher = torch.tensor([[0.0, -300.0, -float("inf")], [0.0, 0.0, -float("inf")]])
    student = torch.tensor([[0.0, 1.0, 2.0], [3.0, 1.0, 2.0]])
    samples = SampledPredictions(3)
    divergences, _ = samples.kl_(student.t().clone(), samples.rows(teacher.t(), torch.tensor([0.0, 1 - 1e-7])))
    assert divergences.sum().item() == pytest.approx(kl_loss(student, teacher, reduction="sum").item(), rel=1e-4)


@pytest.mark.parametrize("candidates", [1, 2, 3, 300, 5_000, 65_536, 65_537, 119_547, 250_037, 2**20])
def test_a_row_has_at_most_128_bytes_and_room_for_draws(candidates):
    """At any width of the teacher, and with numbers of more than two bytes."""
    samples = SampledPredictions(candidates)
    rows = samples.rows(torch.randn(candidates, 2), torch.rand(2))
    assert rows.shape == (2, sum(samples.parts)) and rows.dtype == torch.uint8
    assert 120 <= rows.shape[1] <= 128 and samples.draws >= 32
    scores = torch.randn(candidates, 2)
    together, _ = samples.kl_(scores.clone(), rows)
    for position in (0, 1):  # rows of 127 bytes begin at any byte
        alone, _ = samples.kl_(scores[:, position : position + 1].clone(), rows[position : position + 1])
        torch.testing.assert_close(alone, together[position : position + 1])


@pytest.mark.parametrize("bits", [1, 7, 8, 13, 16, 17, 20])
def test_packed_numbers_come_back(bits):
    """They lie across the borders of bytes."""
    numbers = torch.randint(2**bits, (5, 37), generator=torch.Generator().manual_seed(0))
    numbers[0], numbers[1] = 2**bits - 1, 0
    packed = _packed(numbers, bits)
    assert packed.shape == (5, -(-37 * bits // 8)) and torch.equal(_unpacked(packed, 37, bits), numbers)

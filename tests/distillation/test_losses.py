"""Every term against a value worked by hand, and the laws that all of them keep."""

import math

import pytest
import torch

from distillation import losses
from distillation.config.terms import TERMS

LOG3 = math.log(3)


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_kl_by_hand(temperature):
    """softmax(log 3, 0) = (3/4, 1/4) against (1/2, 1/2), from teacher to student; T^2 multiplies."""
    student, teacher = torch.zeros(1, 2, requires_grad=True), torch.tensor([[temperature * LOG3, 0.0]])
    losses.kl_loss(student, teacher, temperature).backward()
    torch.testing.assert_close(student.grad, temperature * torch.tensor([[0.5 - 0.75, 0.5 - 0.25]]))
    expected = temperature**2 * (0.75 * math.log(1.5) + 0.25 * math.log(0.5))
    assert losses.kl_loss(student, teacher, temperature).item() == pytest.approx(expected, rel=1e-6)
    swapped = temperature**2 * (0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25))
    assert losses.kl_loss(teacher, student.detach(), temperature).item() == pytest.approx(swapped, rel=1e-5)


@pytest.mark.parametrize("student_too", [False, True])
def test_a_token_that_the_teacher_rules_out_adds_nothing(student_too):
    """(3/4, 1/4, 0) against (1/3, 1/3, 1/3), or against (1/2, 1/2, 0); also along columns, as across vocabularies."""
    never, share = -math.inf, 1 / 2 if student_too else 1 / 3
    student = torch.tensor([[0.0, 0.0, never if student_too else 0.0]], requires_grad=True)
    teacher = torch.tensor([[LOG3, 0.0, never]])
    loss = losses.kl_loss(student, teacher)
    loss.backward()
    expected = 0.75 * math.log(0.75 / share) + 0.25 * math.log(0.25 / share)
    assert loss.item() == pytest.approx(expected, rel=1e-6)
    torch.testing.assert_close(student.grad, torch.tensor([[share - 0.75, share - 0.25, (1 - 2 * share)]]))
    columns, _ = losses.softmax_kl_(student.detach().t().clone(), teacher.t().clone(), dim=0)
    assert columns.item() == pytest.approx(expected, rel=1e-6)


def test_kl_is_computed_in_fp32_whatever_comes_in():
    """In bf16 a softmax over a large vocabulary loses most of its digits."""
    torch.manual_seed(0)
    student, teacher = torch.randn(3, 5000), torch.randn(3, 5000)
    exact = losses.kl_loss(student.bfloat16().float(), teacher.bfloat16().float())
    assert losses.kl_loss(student.bfloat16(), teacher.bfloat16()).item() == pytest.approx(exact.item(), rel=1e-6)


@pytest.mark.parametrize("ignored", [7.0, math.inf, math.nan])
def test_mlm_by_hand(ignored):
    """-log(3/4) at the first position; the second is ignored. Without any label it is 0."""
    logits = torch.tensor([[LOG3, 0.0], [ignored, -7.0]], requires_grad=True)
    loss = losses.mlm_loss(logits, torch.tensor([0, -100]))
    loss.backward()
    assert loss.item() == pytest.approx(-math.log(0.75), rel=1e-6)
    torch.testing.assert_close(logits.grad, torch.tensor([[-0.25, 0.25], [0.0, 0.0]]))
    for count in (0, 2):
        assert losses.mlm_loss(torch.randn(count, 5), torch.full((count,), -100)).item() == 0


def test_cosine_and_hidden_mse_by_hand():
    """(1, 0) and (1, 1) are 45 degrees apart, (1, 0) and (0, 5) 90. The mean square of differences 1 and 2 is 2.5."""
    student, teacher = torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([[1.0, 1.0], [0.0, 5.0]])
    assert losses.cosine_loss(student, teacher).item() == pytest.approx(((1 - math.sqrt(0.5)) + 1) / 2, rel=1e-6)
    assert losses.hidden_mse_loss(torch.zeros(1, 2), torch.tensor([[1.0, 2.0]])).item() == pytest.approx(2.5)


def test_attention_by_hand():
    """Two heads, two positions of which one counts: one pair, the mean over heads of 0.01 and 0.09."""
    teacher = torch.full((1, 2, 2, 2), 9.0)
    teacher[0, :, 0, 0] = torch.tensor([0.1, 0.3])
    found = losses.attention_loss(torch.zeros(1, 2, 2, 2), teacher, torch.tensor([[True, False]]))
    assert found.item() == pytest.approx(0.05, rel=1e-6)


SHAPES = {
    losses.kl_loss: (2, 3, 5),
    losses.cosine_loss: (2, 3, 5),
    losses.hidden_mse_loss: (2, 3, 5),
    losses.attention_loss: (2, 4, 3, 3),
}
MASK = torch.tensor([[True, True, False], [True, False, False]])


def test_each_term_is_tested_here():
    assert {f"{term}_loss" for term in TERMS} - {"mlm_loss"} == {loss.__name__ for loss in SHAPES}


@pytest.mark.parametrize("loss", SHAPES)
def test_what_is_masked_does_not_matter(loss):
    """Padding of either model holds anything, and must reach neither the value nor the gradient."""
    torch.manual_seed(0)
    student, teacher = torch.randn(SHAPES[loss], requires_grad=True), torch.randn(SHAPES[loss])
    pairs = MASK[:, None, :, None] & MASK[:, None, None, :] if loss is losses.attention_loss else MASK[:, :, None]
    value = loss(student, teacher, mask=MASK)
    (right,) = torch.autograd.grad(value, student)
    assert torch.all(right[~pairs.expand_as(right)] == 0)
    for bad in (1e3, math.inf, math.nan):
        spoilt, target = (torch.where(pairs, one.detach(), torch.tensor(bad)) for one in (student, teacher))
        found = loss(spoilt.requires_grad_(), target, mask=MASK)
        torch.testing.assert_close((found, *torch.autograd.grad(found, spoilt)), (value, right))
    positions = (2 * 2 + 1 * 1) if loss is losses.attention_loss else 3
    total = loss(student, teacher, mask=MASK, reduction="sum")  # the trainer divides sums itself
    assert value.item() == pytest.approx(total.item() / positions, rel=1e-6)


@pytest.mark.parametrize("loss", SHAPES)
def test_zero_when_equal_and_where_nothing_counts(loss):
    """A term with a bias would keep pulling at a perfect student; a micro-batch without a masked token must not turn
    the run into NaN."""
    student = torch.randn(SHAPES[loss], requires_grad=True)
    assert loss(student, student.detach(), mask=MASK).item() == pytest.approx(0, abs=1e-6)
    value = loss(student, torch.randn(SHAPES[loss]), mask=torch.zeros_like(MASK))
    value.backward()
    assert value.item() == 0 and torch.all(student.grad == 0)


@pytest.mark.parametrize("loss", SHAPES)
def test_gradient_by_finite_differences(loss):
    """Central differences; the loss itself is computed in single precision."""
    torch.manual_seed(0)
    student, teacher = torch.randn(2, *SHAPES[loss], dtype=torch.float64)
    student.requires_grad_()
    assert torch.autograd.gradcheck(lambda s: loss(s, teacher, mask=MASK), student, eps=1e-3, atol=2e-3)

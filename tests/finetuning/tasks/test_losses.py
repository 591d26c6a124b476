"""The loss of a task."""

import math

import pytest
import torch

from finetuning.tasks.losses import IGNORED, label_loss, teacher_loss


def test_label_loss_by_hand():
    """Scores log 1 and log 3: the first label has probability 1/4, the second 3/4; the third does not count."""
    scores = torch.tensor([[1.0, 3.0], [1.0, 3.0], [1.0, 9.0]]).log().requires_grad_()
    labels = torch.tensor([0, 1, IGNORED])
    loss = label_loss(scores, labels)
    assert loss.item() == pytest.approx(math.log(4) + math.log(4 / 3))
    loss.backward()
    assert scores.grad[:2].any(-1).all() and not scores.grad[2].any()
    assert label_loss(scores.bfloat16(), labels).dtype == torch.float32, "of a half-precision model too"


def test_no_label_is_no_loss():
    """Not NaN, which is the mean of nothing."""
    scores, nothing = torch.randn(2, 3, 4, requires_grad=True), torch.full((2, 3), IGNORED)
    loss = label_loss(scores, nothing) + teacher_loss(scores, torch.full((2, 3, 4), torch.nan), 2.0)
    loss.backward()
    assert loss.item() == 0 and not scores.grad.any()


def test_places_without_a_teacher_do_not_count():
    """Their logits are NaN. Elsewhere the gradient is (softmax of the student - of the teacher) times T."""
    scores, teacher = torch.randn(4, 3, requires_grad=True), torch.randn(4, 3)
    teacher[1:3] = torch.nan
    loss = teacher_loss(scores, teacher, 2.0)
    loss.backward()
    assert loss.isfinite() and not scores.grad[[1, 2]].any()
    expected = 2 * ((scores / 2).softmax(-1) - (teacher / 2).softmax(-1))[[0, 3]]
    assert torch.allclose(scores.grad[[0, 3]], expected, atol=1e-5)

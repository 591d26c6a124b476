"""The loss of a task: worked by hand, and blind where there is no label or the teacher is silent."""

import math

import pytest
import torch

from finetuning.tasks.losses import IGNORED, label_loss, teacher_loss


def test_label_loss_by_hand():
    """Scores log 1 and log 3: the first label has probability 1/4, the second 3/4; the third does not count."""
    scores = torch.tensor([[1.0, 3.0], [1.0, 3.0], [1.0, 9.0]]).log()
    labels = torch.tensor([0, 1, IGNORED])
    assert label_loss(scores, labels).item() == pytest.approx(math.log(4) + math.log(4 / 3))
    assert label_loss(scores.reshape(1, 3, 2), labels.reshape(1, 3)).item() == pytest.approx(math.log(16 / 3))


def test_no_label_is_no_loss():
    """Not NaN, which a mean over nothing is."""
    scores = torch.randn(2, 3, 4, requires_grad=True)
    loss = label_loss(scores, torch.full((2, 3), IGNORED))
    loss.backward()
    assert loss.item() == 0 and not scores.grad.any()


def test_a_label_that_does_not_count_has_no_gradient():
    scores = torch.randn(3, 4, requires_grad=True)
    label_loss(scores, torch.tensor([1, IGNORED, 2])).backward()
    assert scores.grad[[0, 2]].any(-1).all() and not scores.grad[1].any()


def test_a_half_precision_model_has_a_loss_in_single():
    assert label_loss(torch.randn(2, 3).bfloat16(), torch.tensor([0, 1])).dtype == torch.float32


def test_kl_of_equals_is_zero():
    scores = torch.randn(2, 3, 4, requires_grad=True)
    loss = teacher_loss(scores, scores.detach() + 5, torch.zeros(2, 3, dtype=torch.long), 2.0)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-5) and scores.grad.abs().max() < 1e-5


def test_kl_by_hand():
    """At temperature 2 the teacher's (9/10, 1/10) and the student's halves become (3/4, 1/4) and halves; times 4."""
    teacher, student = torch.tensor([[0.9, 0.1]]).log(), torch.zeros(1, 2)
    kl = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    label = torch.tensor([1])
    assert teacher_loss(student, teacher, label, 2.0).item() == pytest.approx(4 * kl, rel=1e-5)
    kl = 0.9 * math.log(0.9 / 0.5) + 0.1 * math.log(0.1 / 0.5)
    assert teacher_loss(student, teacher, label, 1.0).item() == pytest.approx(kl, rel=1e-5)
    reversed_kl = 0.5 * math.log(0.5 / 0.9) + 0.5 * math.log(0.5 / 0.1)
    assert teacher_loss(teacher, student, label, 1.0).item() == pytest.approx(reversed_kl, rel=1e-5)


def test_a_silent_teacher_leaves_the_labels_alone():
    """NaN times nothing is NaN: one such place would ruin all weights."""
    scores = torch.randn(4, 3, requires_grad=True)
    teacher = torch.randn(4, 3)
    teacher[1] = torch.nan
    labels = torch.tensor([0, 1, IGNORED, 2])
    loss = teacher_loss(scores, teacher, labels, 2.0)
    loss.backward()
    alone = teacher_loss(scores[[0, 3]], teacher[[0, 3]], labels[[0, 3]], 2.0)
    assert loss.item() == pytest.approx(alone.item()) and scores.grad.isfinite().all()
    assert scores.grad[[0, 3]].any(-1).all() and not scores.grad[[1, 2]].any()
    nothing = teacher_loss(scores, torch.full((4, 3), torch.nan), labels, 2.0)
    nothing.backward()
    assert nothing.item() == 0 and scores.grad.isfinite().all()


def test_gradients_do_not_reach_what_has_none():
    """Those of the student are (softmax of the student - of the teacher) times T."""
    scores, teacher = torch.randn(3, 4, requires_grad=True), torch.randn(3, 4)
    teacher_loss(scores, teacher, torch.zeros(3, dtype=torch.long), 2.0).backward()
    expected = 2 * ((scores / 2).softmax(-1) - (teacher / 2).softmax(-1))
    assert torch.allclose(scores.grad, expected, atol=1e-5) and teacher.grad is None

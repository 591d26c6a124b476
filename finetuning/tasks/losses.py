"""The loss of a task, as sums over places: a text, a word, or an end of an answer, each with scores of classes."""

from torch import Tensor

from distillation.losses import kl_loss, mlm_loss

IGNORED = -100  # a label that does not count
NEVER = -1e4  # the score of a class that cannot be: infinity would make the KL of it NaN


def label_loss(scores: Tensor, labels: Tensor) -> Tensor:
    """Sum of -log softmax(scores)[label] over the places whose label counts; 0 if there is none.

    scores: (..., classes); labels: (...)
    """
    return mlm_loss(scores, labels, reduction="sum")


def teacher_loss(scores: Tensor, teacher_scores: Tensor, temperature: float) -> Tensor:
    """Sum of T^2 KL(softmax(teacher_scores / T) || softmax(scores / T)) over the places with a teacher.

    scores, teacher_scores: (..., classes), the latter NaN at places without one. Hinton et al., arXiv 1503.02531.
    """
    counts = has_teacher(teacher_scores)
    return kl_loss(scores[counts], teacher_scores[counts], temperature, reduction="sum")


def has_teacher(teacher_scores: Tensor) -> Tensor:
    """Where the teacher has scores: (...). teacher_scores: (..., classes), NaN elsewhere."""
    return ~teacher_scores.isnan().any(-1)

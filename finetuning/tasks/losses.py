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


def teacher_loss(scores: Tensor, teacher_scores: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Sum of T^2 KL(softmax(teacher_scores / T) || softmax(scores / T)) over the places whose label counts.

    scores, teacher_scores: (..., classes), the latter NaN at places without a teacher; labels: (...).
    Hinton et al., arXiv 1503.02531.
    """
    counts = (labels != IGNORED) & ~teacher_scores.isnan().any(-1)
    return kl_loss(scores[counts], teacher_scores[counts], temperature, reduction="sum")

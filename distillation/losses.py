"""The terms of the objective: pure functions of tensors.

Each is a mean over its own positions, in the order student, teacher. `mask` says which positions count (all unless
given). `reduction="sum"` returns the sum over the positions instead, for a mean over more than one batch; a mean over
no position is 0. Sources: Hinton et al. 2015 (kl), Sanh et al. 2019 (kl, mlm, cosine), the DistilRuBERT cards
(cosine and attention against means of teacher layers).
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def kl_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    temperature: float = 1.0,
    mask: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """T^2 * KL(softmax(teacher / T) || softmax(student / T)), in nats.

    student_logits, teacher_logits: (..., vocabulary); mask: (...). T^2 keeps the gradient's size as T grows.
    """
    student = F.log_softmax(student_logits.float() / temperature, dim=-1)
    teacher = F.log_softmax(teacher_logits.float() / temperature, dim=-1)
    divergence = (teacher.exp() * (teacher - student)).sum(-1) * temperature**2
    return _reduce(divergence, mask, reduction)


def mlm_loss(logits: Tensor, labels: Tensor, reduction: str = "mean") -> Tensor:
    """Cross-entropy in nats. logits: (..., vocabulary); labels: (...), -100 where a position does not count."""
    total = F.cross_entropy(logits.float().flatten(0, -2), labels.flatten(), ignore_index=-100, reduction="sum")
    return total if reduction == "sum" else total / (labels != -100).sum().clamp(min=1)


def cosine_loss(
    student_states: Tensor, teacher_states: Tensor, mask: Tensor | None = None, reduction: str = "mean"
) -> Tensor:
    """1 - cos(student, teacher). student_states, teacher_states: (..., hidden); mask: (...)."""
    distance = 1 - F.cosine_similarity(student_states.float(), teacher_states.float(), dim=-1)
    return _reduce(distance, mask, reduction)


def hidden_mse_loss(
    student_states: Tensor, teacher_states: Tensor, mask: Tensor | None = None, reduction: str = "mean"
) -> Tensor:
    """Mean squared difference over the width. student_states, teacher_states: (..., hidden); mask: (...)."""
    distance = (student_states.float() - teacher_states.float()).square().mean(-1)
    return _reduce(distance, mask, reduction)


def attention_loss(
    student_attentions: Tensor, teacher_attentions: Tensor, mask: Tensor | None = None, reduction: str = "mean"
) -> Tensor:
    """Squared difference of attention maps, mean over heads; its positions are the pairs of positions that count.

    student_attentions, teacher_attentions: (batch, heads, length, length); mask: (batch, length).
    """
    distance = (student_attentions.float() - teacher_attentions.float()).square().mean(1)
    pairs = None if mask is None else mask[:, :, None] & mask[:, None, :]
    return _reduce(distance, pairs, reduction)


def _reduce(values: Tensor, mask: Tensor | None, reduction: str) -> Tensor:
    if mask is None:
        mask = torch.ones_like(values, dtype=torch.bool)
    total = values.masked_fill(~mask, 0).sum()  # not a product: what lies under the mask may be NaN
    return total if reduction == "sum" else total / mask.sum().clamp(min=1)

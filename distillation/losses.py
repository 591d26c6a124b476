"""The terms of the objective: pure functions of tensors, the student's before the teacher's.

Each is a mean over its own positions. `mask` is True where a position counts (by default everywhere). Other positions
may hold anything, even NaN. They are removed before a term is computed, because 0 * NaN would still reach the
gradient. `reduction="sum"` returns the sum instead, for a mean over several batches. A mean over no position is 0.
Sources: Hinton et al. 2015 (kl), Sanh et al. 2019 (kl, mlm, cosine), the DistilRuBERT cards (cosine and attention with
means of teacher layers).
"""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

CHUNK, GPU_CHUNK = 2**20, 2**26  # numbers of a chunk: they fit a CPU's cache; they keep a GPU busy


def kl_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    temperature: float = 1.0,
    mask: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """T^2 * KL(softmax(teacher / T) || softmax(student / T)), in nats.

    student_logits, teacher_logits: (..., vocabulary); mask: (...). T^2 keeps the gradient's size as T grows. A token
    whose teacher logit is -inf adds nothing.
    """
    student_logits, teacher_logits = _counted(mask, student_logits, teacher_logits)
    rows = -1, student_logits.shape[-1]
    divergence = _RowsKL.apply(student_logits.reshape(rows), teacher_logits.reshape(rows), temperature)
    return _reduce(divergence, reduction)


class _RowsKL(torch.autograd.Function):
    """The divergence of each row, and its gradient T (softmax(s / T) - softmax(t / T)) in the student's logits.

    Chunks of rows stay in a CPU's cache. Autograd would store five tensors instead of one, and take twice the time.
    """

    @staticmethod
    def forward(ctx, student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
        exact = torch.promote_types(student.dtype, torch.float32)
        divergences = student.new_empty(len(student), dtype=exact)
        gradient = torch.empty_like(student, dtype=exact) if ctx.needs_input_grad[0] else None
        size = max((CHUNK if student.device.type == "cpu" else GPU_CHUNK) // student.shape[1], 1)
        for rows in (slice(i, i + size) for i in range(0, len(student), size)):
            chunks = student[rows].to(exact) / temperature, teacher[rows].to(exact) / temperature
            divergences[rows], difference = softmax_kl_(*chunks)
            if gradient is not None:
                gradient[rows] = difference
        if gradient is not None:
            ctx.save_for_backward(gradient.mul_(temperature))
        ctx.dtype = student.dtype
        return divergences * temperature**2

    @staticmethod
    @once_differentiable
    def backward(ctx, outer: Tensor) -> tuple[Tensor, None, None]:
        return (ctx.saved_tensors[0] * outer[:, None]).to(ctx.dtype), None, None


def softmax_kl_(student: Tensor, teacher: Tensor, dim: int = -1) -> tuple[Tensor, Tensor]:
    """KL(softmax(teacher) || softmax(student)) along `dim`, and its gradient softmax(student) - softmax(teacher).

    student, teacher: logits divided by T; both are overwritten, to save memory. Written out, because over columns
    F.log_softmax takes twice the time and loses two digits.
    """
    teacher = teacher.sub_(teacher.amax(dim, keepdim=True))  # so that `exp` cannot overflow
    student = student.sub_(student.amax(dim, keepdim=True))
    weights = teacher.exp()
    teacher_sums = weights.sum(dim, keepdim=True)
    weights.div_(teacher_sums)
    products = teacher.sub_(student).mul_(weights)
    divergences = products.sum(dim, keepdim=True)
    # 0 log 0 is 0, but a logit of -inf gives NaN. The check costs nothing on a CPU; a GPU would have to wait for it.
    if products.device.type != "cpu" or divergences.isnan().any():
        divergences = products.masked_fill_(weights == 0, 0).sum(dim, keepdim=True)
    student_sums = student.exp_().sum(dim, keepdim=True)
    divergences += (student_sums / teacher_sums).log_()
    return divergences.squeeze(dim), student.div_(student_sums).sub_(weights)


def mlm_loss(logits: Tensor, labels: Tensor, reduction: str = "mean") -> Tensor:
    """Cross-entropy in nats. logits: (..., vocabulary); labels: (...), -100 where a position does not count."""
    counted = labels != -100
    if not counted.all():
        logits, labels = logits[counted], labels[counted]
    total = F.cross_entropy(logits.flatten(0, -2).float(), labels.flatten(), reduction="sum")
    return total if reduction == "sum" else total / max(labels.numel(), 1)


def cosine_loss(
    student_states: Tensor, teacher_states: Tensor, mask: Tensor | None = None, reduction: str = "mean"
) -> Tensor:
    """1 - cos(student, teacher). student_states, teacher_states: (..., hidden); mask: (...)."""
    student_states, teacher_states = _counted(mask, student_states, teacher_states)
    distance = 1 - F.cosine_similarity(student_states.float(), teacher_states.float(), dim=-1)
    return _reduce(distance, reduction)


def hidden_mse_loss(
    student_states: Tensor, teacher_states: Tensor, mask: Tensor | None = None, reduction: str = "mean"
) -> Tensor:
    """Mean squared difference over the width. student_states, teacher_states: (..., hidden); mask: (...)."""
    student_states, teacher_states = _counted(mask, student_states, teacher_states)
    total = F.mse_loss(student_states.float(), teacher_states.float(), reduction="sum") / student_states.shape[-1]
    return total if reduction == "sum" else total / max(student_states[..., 0].numel(), 1)


def attention_loss(
    student_attentions: Tensor, teacher_attentions: Tensor, mask: Tensor | None = None, reduction: str = "mean"
) -> Tensor:
    """Squared difference of attention maps, mean over heads; its positions are the pairs of positions that count.

    It falls as 1 / length, because every row of a map sums to 1: a `weight_attention` weighs a quarter as much in
    examples of 128 tokens as in those of 32.

    student_attentions, teacher_attentions: (batch, heads, length, length); mask: (batch, length).
    """
    if mask is None:
        mask = torch.ones_like(student_attentions[:, 0, 0], dtype=torch.bool)
    pairs = mask[:, :, None] & mask[:, None, :]
    total = _MapsDistance.apply(student_attentions, teacher_attentions, pairs)
    return total if reduction == "sum" else total / pairs.sum().clamp(min=1)


class _MapsDistance(torch.autograd.Function):
    """The sum over pairs (batch, length, length) of the squared differences, mean over heads, and its gradient in the
    student's maps. Autograd would write and read the large maps twice as often."""

    @staticmethod
    def forward(ctx, student: Tensor, teacher: Tensor, pairs: Tensor) -> Tensor:
        difference = student.float() - teacher.float()
        difference.masked_fill_(~pairs[:, None], 0)
        ctx.save_for_backward(difference)
        ctx.dtype = student.dtype
        return torch.linalg.vector_norm(difference, dim=-1).square().sum() / difference.shape[1]

    @staticmethod
    @once_differentiable
    def backward(ctx, outer: Tensor) -> tuple[Tensor, None, None]:
        (difference,) = ctx.saved_tensors
        return (difference * (2 * outer / difference.shape[1])).to(ctx.dtype), None, None


def _counted(mask: Tensor | None, *states: Tensor) -> tuple[Tensor, ...]:
    """The states (..., width) of the positions that count; unchanged if all count.

    An index writes the gradient once. A mask would also write zeros over all states, and over their gradient.
    """
    if mask is None or mask.all():
        return states
    positions = mask.flatten().nonzero().squeeze(1)
    return tuple(one.flatten(0, -2).index_select(0, positions) for one in states)


def _reduce(values: Tensor, reduction: str) -> Tensor:
    return values.sum() if reduction == "sum" else values.sum() / max(values.numel(), 1)

"""The KL term where teacher and student have different vocabularies, or the teacher's part of it is cached.

Both distributions are normalised over `Candidates`: teacher tokens that the student can score. With `match` these are
the tokens that both have. With `reduce` the student has read the teacher's tokens spelt in its own pieces, and the
score of a teacher token is made of the student's values of its pieces:

* `ordered`: the sum of log p(j-th piece at the j-th place), over the teacher tokens with as many pieces;
* `pieces`, `pieces_logsumexp`: the places are pooled, then the sum or the log of summed exponentials over the token's
  pieces, in no order (arXiv 2205.02340);
* `shared`: the places are pooled, over the tokens that both have.

Neither the teacher's logits nor the scores exist for all positions at once: a chunk of positions gives its part of the
sum and of its gradient, which is T (softmax(z / T) - softmax(t / T)) in the scores z.
"""

import functools
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.distributed.tensor import DTensor

from distillation.losses import softmax_kl_
from distillation.vocabularies.candidate_scores import (
    Candidates,
    FullVocabulary,
    Score,
    TeacherRows,
    candidates_by_pieces,
)
from distillation.vocabularies.mapping import VocabularyMap

CHUNK = 32  # positions: a few buffers of candidates x positions that stay in the allocator's reach
GPU_CHUNK = 256  # enough to keep a GPU busy


class CandidateKL:
    """KL from a teacher's predictions to those of a student with another vocabulary, summed over positions."""

    def __init__(
        self,
        vocabulary: VocabularyMap | None,
        projection: nn.Linear | None,
        alignment: str = "match",
        vocabulary_map: str = "ordered",
        reduce_pooling: str = "mean",
        temperature: float = 1.0,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ):
        """vocabulary: None where both have the same; every token is then a candidate, in the order of its id.

        projection: the teacher's, from states to its vocabulary; None where it gives logits in their place.

        dtype: that the teacher's logits are computed in.
        """
        self.projection = projection
        self.temperature = temperature
        self.is_ordered = alignment == "reduce" and vocabulary_map == "ordered"
        # Elsewhere the normaliser of the student's logits is the same for all candidates, and drops out.
        self.takes_log_softmax = alignment == "reduce" and vocabulary_map == "pieces"
        self.pool = torch.sum if reduce_pooling == "sum" else torch.mean
        rows = functools.partial(TeacherRows, projection=projection, device=device, dtype=dtype)
        if vocabulary is None:
            whole = FullVocabulary(None if projection is None else rows(torch.arange(projection.out_features)))
            self.candidates: dict[int, Candidates | FullVocabulary] = {0: whole}
        else:
            self.candidates = candidates_by_pieces(vocabulary, alignment, vocabulary_map, rows)

    def __call__(self, student_logits: Tensor, teacher_states: Tensor, groups: Sequence[tuple[int, int]]) -> Tensor:
        """The sum over positions of T^2 KL(softmax(teacher / T) || softmax(student / T)) over the candidates.

        student_logits: (rows, student vocabulary), the rows of a position one after the other; teacher_states:
        (positions, width), what enters the teacher's projection; groups: (pieces, positions) in their order, pieces
        being the number of rows of each of these positions.
        """
        exact = torch.promote_types(student_logits.dtype, torch.float32)
        # Without a position the sum is 0, with a gradient of 0: what backpropagates it must not have to ask.
        total, pooled = student_logits[:0].sum(dtype=exact), []
        parts = student_logits.split([k * count for k, count in groups])
        for (k, count), part, group in zip(groups, parts, _split(teacher_states, groups), strict=True):
            rows = part.to(exact)
            if self.is_ordered:
                total = total + self._sum(k, rows.reshape(count, -1), group)
            else:
                rows = rows.log_softmax(-1) if self.takes_log_softmax else rows
                pooled.append(self.pool(rows.reshape(count, k, -1), 1) if k > 1 else rows)
        if not pooled:
            return total
        return total + self._sum(0, torch.cat(pooled) if len(pooled) > 1 else pooled[0], teacher_states)

    def _sum(self, k: int, values: Tensor, teacher: Tensor) -> Tensor:
        candidates = self.candidates[k]

        def chunk(rows: slice, part: Tensor, gradient: Tensor | None) -> Tensor:
            return _chunk_kl(part, candidates.score, candidates.logits(teacher[rows]), self.temperature, gradient)

        return ChunkedCandidateKL.apply(values, chunk, self.temperature)

    @torch.no_grad()
    def candidate_probability(self, teacher_states: Tensor, groups: Sequence[tuple[int, int]]) -> Tensor:
        """How much of the teacher's probability the candidates hold, summed over positions."""
        total = teacher_states.new_zeros((), dtype=torch.float32)
        all_logits = self._all_logits()
        for (k, _), group in zip(groups, _split(teacher_states, groups), strict=True):
            ids = self.candidates[k if self.is_ordered else 0].all_ids
            for states in group.split(_chunk(group)):
                logits = all_logits(states)
                total += (logits[:, ids].logsumexp(-1) - logits.logsumexp(-1)).exp().sum()
        return total

    def _all_logits(self) -> Callable[[Tensor], Tensor]:
        """From states to the teacher's logits. Its weights are gathered here: ranks have unlike numbers of chunks."""
        if self.projection is None:
            return Tensor.float
        held = (self.projection.weight, self.projection.bias)
        weight, bias = (part.full_tensor() if isinstance(part, DTensor) else part for part in held)
        return lambda states: F.linear(states.to(weight.dtype), weight, bias).float()


class ChunkedCandidateKL(torch.autograd.Function):
    """T^2 sum_i KL(softmax(t_i / T) || softmax(z_i / T)), z made of values, with its gradient in the values."""

    @staticmethod
    def forward(
        ctx, values: Tensor, chunk: Callable[[slice, Tensor, Tensor | None], Tensor], temperature: float
    ) -> Tensor:
        """values: (positions, width); chunk: of some rows, given also their values, the sum of the divergences;
        writes T times its gradient in the values into its third argument, unless that is None."""
        total = values.new_zeros(())
        gradient = torch.empty_like(values) if ctx.needs_input_grad[0] else None
        size = _chunk(values)
        with torch.autocast(values.device.type, enabled=False):
            for rows in (slice(i, i + size) for i in range(0, len(values), size)):
                total += chunk(rows, values[rows], None if gradient is None else gradient[rows])
        if gradient is not None:
            ctx.save_for_backward(gradient.mul_(temperature))
        return total * temperature**2

    @staticmethod
    @once_differentiable
    def backward(ctx, outer: Tensor) -> tuple[Tensor, None, None]:
        return ctx.saved_tensors[0] * outer, None, None


def _chunk_kl(values: Tensor, score: Score, teacher: Tensor, temperature: float, gradient: Tensor | None) -> Tensor:
    """The sum over a chunk's KL(softmax(teacher / T) || softmax(z / T)); T times its gradient goes into `gradient`.

    Positions are columns here, candidates rows.
    """
    scores, pullback = score(values.t().contiguous())
    divergences, difference = softmax_kl_(scores.div_(temperature), teacher.to(values.dtype).div_(temperature), dim=0)
    if gradient is not None:
        gradient.copy_(pullback(difference).t())
    return divergences.sum()


def _chunk(tensor: Tensor) -> int:
    return CHUNK if tensor.device.type == "cpu" else GPU_CHUNK


def _split(teacher: Tensor, groups: Sequence[tuple[int, int]]) -> tuple[Tensor, ...]:
    """Those of each group."""
    return teacher.split([count for _, count in groups])

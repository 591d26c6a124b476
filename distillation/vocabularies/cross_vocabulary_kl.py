"""The KL term where teacher and student have different vocabularies, or the teacher's part of it is cached.

Both distributions are normalised over `Candidates`: teacher tokens that the student can score. With `match` these are
the tokens that both have. With `reduce` the student reads the teacher's tokens in its own pieces. A token's score is

* `ordered`: the sum of log p(j-th piece at the j-th place), over the teacher tokens with as many pieces;
* `pieces`, `pieces_logsumexp`: the sum, or the log of the summed exponentials, over the token's pieces in no order,
  of the pooled places (arXiv 2205.02340);
* `shared`: the pooled places, over the tokens that both have.

Positions are taken in chunks. Each chunk adds to the sum, and to the gradient in the scores z, which is
T (softmax(z / T) - softmax(t / T)). So the teacher's logits and the scores never exist for all positions at once.
"""

from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.distributed.tensor import DTensor

from distillation.losses import softmax_kl_
from distillation.vocabularies.candidate_scores import Candidates, Pullback, candidates_by_pieces, teacher_rows
from distillation.vocabularies.mapping import VocabularyMap
from distillation.vocabularies.sampled_predictions import SampledPredictions

CHUNK = 32  # positions: buffers (candidates x positions) that are small enough for the allocator to reuse
GPU_CHUNK = 256  # enough to keep a GPU busy


class CandidateKL:
    """KL from a teacher's predictions to a student's with another vocabulary, summed over positions."""

    def __init__(
        self,
        vocabulary: VocabularyMap | None,
        projection: nn.Linear | None,
        alignment: str = "match",
        vocabulary_map: str = "ordered",
        reduce_pooling: str = "mean",
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ):
        """vocabulary: None where teacher and student have one vocabulary; then all tokens of `projection` compete.
        projection: the teacher's, from states to its vocabulary; with a `vocabulary` None where it gives logits in
        their place.
        dtype: of the teacher's logits.
        """
        self.projection = projection
        self.how = vocabulary_map if alignment == "reduce" else "shared"  # with `match` a position has one piece
        self.pool = torch.sum if reduce_pooling == "sum" else torch.mean
        make_rows = partial(teacher_rows, projection=projection, device=device, dtype=dtype)
        if vocabulary is None:
            ids = torch.arange(projection.out_features)
            self.candidates = {0: Candidates(ids, ids, lambda _: _unchanged, make_rows, device)}
        else:
            self.candidates = candidates_by_pieces(vocabulary, self.how, make_rows, device)
        self.samples = SampledPredictions(max((len(one.ids) for one in self.candidates.values()), default=1))

    def __call__(
        self,
        student_logits: Tensor,
        teacher: Tensor,
        groups: Sequence[tuple[int, int]],
        temperature: float = 1.0,
        sampled: bool = False,
    ) -> Tensor:
        """The sum over positions of T^2 KL(softmax(teacher / T) || softmax(student / T)) over the candidates.

        student_logits: (rows, student vocabulary), the rows of a position one after the other; teacher: (positions,
        width), what enters the teacher's projection or, if `sampled`, what `sample` made of that for this temperature;
        groups: (pieces, positions) in their order, pieces being the number of rows of each of these positions.
        """
        samples = self.samples if sampled else None
        exact = torch.promote_types(student_logits.dtype, torch.float32)
        # Without a position the sum is 0 with a gradient of 0: every rank has to run `backward`.
        total, pooled = student_logits[:0].sum(dtype=exact), []
        parts = student_logits.split([k * count for k, count in groups])
        for (k, count), part, given in zip(groups, parts, teacher.split([n for _, n in groups]), strict=True):
            rows = part.to(exact)
            if self.how == "ordered":
                values = rows.reshape(count, -1)
                total = total + ChunkedCandidateKL.apply(values, given, self.candidates[k], temperature, samples)
            else:
                # For the other maps the normaliser of the logits is the same for all candidates, and drops out.
                rows = rows.log_softmax(-1) if self.how == "pieces" else rows
                pooled.append(self.pool(rows.reshape(count, k, -1), 1) if k > 1 else rows)
        if not pooled:
            return total
        values = torch.cat(pooled) if len(pooled) > 1 else pooled[0]
        return total + ChunkedCandidateKL.apply(values, teacher, self.candidates[0], temperature, samples)

    @torch.no_grad()
    def sample(
        self, teacher_states: Tensor, groups: Sequence[tuple[int, int]], temperature: float, shares: Tensor
    ) -> Tensor:
        """The teacher's predictions as rows of `SampledPredictions`; shares: (positions,) random numbers in [0, 1)."""
        sizes = [n for _, n in groups]
        rows = [teacher_states.new_empty((0, sum(self.samples.parts)), dtype=torch.uint8)]
        for (k, _), *group in zip(groups, teacher_states.split(sizes), shares.split(sizes), strict=True):
            for states, at in zip(*(part.split(_chunk_size(part)) for part in group), strict=True):
                rows.append(self.samples.rows(self.candidates_at(k).logits(states) / temperature, at))
        return torch.cat(rows)

    def drop_teacher(self) -> None:
        """Free the memory of the teacher's head. Then only `sampled` predictions can be compared."""
        self.projection = None
        for one in self.candidates.values():
            one.rows, one.duplicates = None, []

    def candidates_at(self, pieces: int) -> Candidates:
        """The candidates at a position with so many pieces."""
        return self.candidates[pieces if self.how == "ordered" else 0]

    @torch.no_grad()
    def candidate_probability(self, teacher_states: Tensor, groups: Sequence[tuple[int, int]]) -> Tensor:
        """How much of the teacher's probability the candidates hold, summed over positions."""
        total = teacher_states.new_zeros((), dtype=torch.float32)
        layer = self.projection
        if layer is not None:  # sharded weights are gathered here: ranks differ in their number of chunks
            weight, bias = (p.full_tensor() if isinstance(p, DTensor) else p for p in (layer.weight, layer.bias))
        for (k, _), group in zip(groups, teacher_states.split([n for _, n in groups]), strict=True):
            ids = self.candidates_at(k).ids
            for states in group.split(_chunk_size(group)):
                logits = (states if layer is None else F.linear(states.to(weight.dtype), weight, bias)).float()
                total += (logits[:, ids].logsumexp(-1) - logits.logsumexp(-1)).exp().sum()
        return total


class ChunkedCandidateKL(torch.autograd.Function):
    """T^2 sum_i KL(softmax(t_i / T) || softmax(z_i / T)), z being the scores of `values`; and its gradient in them."""

    @staticmethod
    def forward(
        ctx,
        values: Tensor,
        teacher: Tensor,
        candidates: Candidates,
        temperature: float,
        samples: SampledPredictions | None = None,
    ) -> Tensor:
        """values: (positions, width); teacher: (positions, width of the teacher), or rows of `samples`."""
        total = values.new_zeros(())
        gradient = torch.empty_like(values) if ctx.needs_input_grad[0] else None
        size = _chunk_size(values)
        with torch.autocast(values.device.type, enabled=False):
            for rows in (slice(i, i + size) for i in range(0, len(values), size)):
                part = None if gradient is None else gradient[rows]
                total += _chunk_kl(values[rows], teacher[rows], candidates, temperature, samples, part)
        if gradient is not None:
            ctx.save_for_backward(gradient.mul_(temperature))
        return total * temperature**2

    @staticmethod
    @once_differentiable
    def backward(ctx, outer: Tensor) -> tuple[Tensor, None, None, None, None]:
        return ctx.saved_tensors[0] * outer, None, None, None, None


def _chunk_kl(
    values: Tensor,
    teacher: Tensor,
    candidates: Candidates,
    temperature: float,
    samples: SampledPredictions | None,
    gradient: Tensor | None,
) -> Tensor:
    """The sum of a chunk's divergences; the gradient, without the factor T, is written into `gradient`.

    A function of its own, so that a chunk's buffers are free before the next chunk needs them.
    """
    logits = None if samples else candidates.logits(teacher).to(values.dtype)
    scores, pullback = candidates.score(values.t().contiguous())  # positions are columns here, candidates rows
    scores.div_(temperature)
    if samples:
        divergences, difference = samples.kl_(scores, teacher)
    else:
        divergences, difference = softmax_kl_(scores, logits.div_(temperature), dim=0)
    if gradient is not None:
        gradient.copy_(pullback(difference).t())
    return divergences.sum()


def _unchanged(values: Tensor) -> tuple[Tensor, Pullback]:
    """The `Score` of one vocabulary: the values, copied because the caller overwrites its scores."""
    return values.clone(), lambda gradient: gradient


def _chunk_size(tensor: Tensor) -> int:
    return CHUNK if tensor.device.type == "cpu" else GPU_CHUNK

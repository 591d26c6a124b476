"""The KL term where teacher and student have different vocabularies.

Both distributions are normalised over `Candidates`: teacher tokens that the student can score. With `match` these are
the tokens that both have. With `reduce` the student has read the teacher's tokens spelt in its own pieces, and the
score of a teacher token is made of the student's values of its pieces:

* `ordered`: the sum of log p(j-th piece at the j-th place), over the teacher tokens with as many pieces;
* `pieces`, `pieces_mean`, `pieces_logsumexp`: the places are pooled, then the sum, mean, or log of summed
  exponentials over the token's pieces, in no order (`pieces` and `pieces_logsumexp`: arXiv 2205.02340);
* `shared`: the places are pooled, over the tokens that both have.

Neither the teacher's logits nor the scores exist for all positions at once: a chunk of positions gives its part of the
sum and of its gradient, which is T (softmax(z / T) - softmax(t / T)) in the scores z.
"""

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.distributed.tensor import DTensor

from distillation.alignment import VocabularyMap

CHUNK = 32  # positions: a few buffers of candidates x positions that stay in the allocator's reach
GPU_CHUNK = 256  # enough to keep a GPU busy

Pullback = Callable[[Tensor], Tensor]


class VocabularyKL:
    """KL from a teacher's predictions to those of a student with another vocabulary, summed over positions."""

    def __init__(
        self,
        vocabulary: VocabularyMap,
        projection: nn.Linear | None,
        alignment: str = "match",
        vocabulary_map: str = "ordered",
        reduce_pooling: str = "mean",
        temperature: float = 1.0,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ):
        """projection: the teacher's, from states to its vocabulary; None where it gives logits in their place.

        dtype: that the teacher's logits are computed in.
        """
        self.projection = projection
        self.temperature = temperature
        self.is_ordered = alignment == "reduce" and vocabulary_map == "ordered"
        # Elsewhere the normaliser of the student's logits is the same for all candidates, and drops out.
        self.takes_log_softmax = alignment == "reduce" and vocabulary_map == "pieces"
        self.pool = torch.sum if reduce_pooling == "sum" else torch.mean
        rows = functools.partial(TeacherRows, projection=projection, device=device, dtype=dtype)
        self.candidates = _candidates(vocabulary, alignment, vocabulary_map, rows)

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
        states = teacher_states.split([count for _, count in groups])
        for (k, count), part, group in zip(groups, parts, states, strict=True):
            rows = part.to(exact)
            if self.is_ordered:
                total = total + self._sum(k, rows.reshape(count, -1), group)
            else:
                rows = rows.log_softmax(-1) if self.takes_log_softmax else rows
                pooled.append(self.pool(rows.reshape(count, k, -1), 1) if k > 1 else rows)
        return total + self._sum(0, torch.cat(pooled), teacher_states) if pooled else total

    def _sum(self, k: int, values: Tensor, states: Tensor) -> Tensor:
        candidates = self.candidates[k]
        return ChunkedKL.apply(
            values, candidates.score, lambda rows: candidates.logits(states[rows]), self.temperature
        )

    @torch.no_grad()
    def candidate_probability(self, teacher_states: Tensor, groups: Sequence[tuple[int, int]]) -> Tensor:
        """How much of the teacher's probability the candidates hold, summed over positions."""
        total = teacher_states.new_zeros((), dtype=torch.float32)
        all_logits = self._all_logits()
        for (k, _), group in zip(groups, teacher_states.split([count for _, count in groups]), strict=True):
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


class ChunkedKL(torch.autograd.Function):
    """T^2 sum_i KL(softmax(t_i / T) || softmax(z_i / T)), z = score(values), with its gradient in the values."""

    @staticmethod
    def forward(
        ctx, values: Tensor, score: "Score", teacher_logits: Callable[[slice], Tensor], temperature: float
    ) -> Tensor:
        """values: (positions, width); teacher_logits: of a slice of positions, (candidates, positions)."""
        total = values.new_zeros(())
        gradient = torch.empty_like(values) if ctx.needs_input_grad[0] else None
        size = _chunk(values)
        with torch.autocast(values.device.type, enabled=False):
            for rows in (slice(i, i + size) for i in range(0, len(values), size)):
                into = None if gradient is None else gradient[rows]
                total += _chunk_kl(values[rows], score, teacher_logits(rows), temperature, into)
        if gradient is not None:
            ctx.save_for_backward(gradient.mul_(temperature))
        return total * temperature**2

    @staticmethod
    @once_differentiable
    def backward(ctx, outer: Tensor) -> tuple[Tensor, None, None, None]:
        return ctx.saved_tensors[0] * outer, None, None, None


def _chunk_kl(values: Tensor, score: "Score", teacher: Tensor, temperature: float, gradient: Tensor | None) -> Tensor:
    """The sum over a chunk's KL(softmax(teacher / T) || softmax(z / T)); T times its gradient goes into `gradient`.

    The softmax is written out: over columns F.log_softmax takes twice the time, and adds up each column in order,
    which costs two digits of the gradient.
    """
    teacher = _less_largest(teacher.to(values.dtype), temperature)
    weights = teacher.exp()
    teacher_sums = weights.sum(0)
    weights.div_(teacher_sums)
    scores, pullback = score(values.t().contiguous())
    student = _less_largest(scores, temperature)
    total = torch.dot(weights.flatten(), teacher.sub_(student).flatten())
    del teacher
    student_sums = student.exp_().sum(0)
    if gradient is not None:
        gradient.copy_(pullback(student.div_(student_sums).sub_(weights)).t())
    return total + (student_sums / teacher_sums).log().sum()


def _less_largest(logits: Tensor, temperature: float) -> Tensor:
    """logits / T less the largest of each position (a column), in place."""
    logits.div_(temperature)
    return logits.sub_(logits.amax(0))


def _chunk(tensor: Tensor) -> int:
    return CHUNK if tensor.device.type == "cpu" else GPU_CHUNK


class Candidates:
    """Teacher tokens that compete at a position, and how the student scores them.

    Tokens with one spelling compete as one, with the sum of their probabilities: a byte-level teacher has "," with and
    without a space before it, which a WordPiece student writes alike.
    """

    def __init__(
        self,
        vocabulary: VocabularyMap,
        ids: Tensor,
        make_score: Callable[[Tensor], "Score"],
        make_rows: Callable[[Tensor], "TeacherRows"],
    ):
        """ids: (tokens,), ascending; make_score: of those of them (candidates,) that stand for all with their
        spelling; make_rows: of any."""
        first = vocabulary.first_spelt_so[ids]
        candidates, twins = ids[first == ids], ids[first != ids]
        self.rows = make_rows(candidates)
        device = self.rows.ids.device
        self.score, self.all_ids = make_score(candidates).to(device), ids.to(device)
        twin_of, order = torch.searchsorted(candidates, first[first != ids]).sort(stable=True)
        nth = torch.arange(len(order)) - torch.searchsorted(twin_of, twin_of)  # of one candidate's twins
        self.rounds = [(twin_of[nth == n].to(device), make_rows(twins[order[nth == n]])) for n in nth.unique()]

    def logits(self, states: Tensor) -> Tensor:
        """The teacher's logits (candidates, positions) for states (positions, width)."""
        logits = self.rows(states)
        for twin_of, rows in self.rounds:
            logits[twin_of] = torch.logaddexp(logits[twin_of], rows(states))
        return logits


class TeacherRows:
    """Rows of the teacher's projection to its vocabulary."""

    def __init__(self, ids: Tensor, projection: nn.Linear | None, device: torch.device | str, dtype: torch.dtype):
        """projection: None where the states already are logits."""
        self.ids, self.weight = ids.to(device), None
        if projection is not None:
            self.weight = projection.weight.detach()[self.ids].to(dtype)
            bias = projection.weight.new_zeros(len(projection.weight)) if projection.bias is None else projection.bias
            self.bias = bias.detach()[self.ids, None].to(dtype)

    def __call__(self, states: Tensor) -> Tensor:
        """Logits (ids, positions) for states (positions, width)."""
        if self.weight is None:
            return states.t()[self.ids]
        return torch.addmm(self.bias, self.weight, states.to(self.weight.dtype).t())


def _candidates(
    vocabulary: VocabularyMap, alignment: str, vocabulary_map: str, rows: Callable[[Tensor], TeacherRows]
) -> dict[int, Candidates]:
    """Those at positions whose teacher token has k pieces; under the key 0 where they do not depend on k."""
    size, ids = vocabulary.student_size, vocabulary.mapped_teacher_ids

    def in_place(chosen: Tensor) -> Bags:  # the values of a position are k rows of the student, one after the other
        k = int(vocabulary.piece_counts[chosen[0]])
        return Bags(vocabulary.pieces_of(chosen).reshape(-1, k) + torch.arange(k) * size, k * size)

    def pooled(chosen: Tensor) -> Score:
        counts = vocabulary.piece_counts[chosen]
        bags = Bags(vocabulary.pieces_of(chosen), size, counts)
        return {"pieces": bags, "pieces_mean": Mean(bags, counts), "pieces_logsumexp": LogSumExp(bags)}[vocabulary_map]

    if alignment == "match" or vocabulary_map == "shared":
        return {0: Candidates(vocabulary, vocabulary.shared_teacher_ids, in_place, rows)}
    if vocabulary_map == "ordered":
        counts = vocabulary.piece_counts[ids]
        return {k: Candidates(vocabulary, ids[counts == k], in_place, rows) for k in counts.unique().tolist()}
    return {0: Candidates(vocabulary, ids, pooled, rows)}


class Score(ABC):
    """Student values (width, positions) as scores of teacher tokens (candidates, positions).

    A call also returns the pullback: it takes the gradient of the scores to that of the values, and may be called
    once.
    """

    def to(self, device: torch.device) -> "Score":
        for name, held in vars(self).items():
            setattr(self, name, held.to(device) if hasattr(held, "to") else held)
        return self

    @abstractmethod
    def __call__(self, values: Tensor) -> tuple[Tensor, Pullback]: ...


class Bags(Score):
    """z_v = sum of the values in bag v: a product with a sparse matrix of ones, exact in both directions."""

    def __init__(self, entries: Tensor, width: int, sizes: Tensor | None = None):
        """entries: (bags, size), or (all entries,) of bags of these `sizes` one after the other; width: of values."""
        sizes = torch.full((len(entries),), entries.shape[1]) if sizes is None else sizes
        self.entries, self.starts = entries.reshape(-1), sizes.cumsum(0) - sizes
        held = torch.bincount(self.entries, minlength=width)  # the other way round: the bags that hold a value
        self.holders = torch.arange(len(sizes)).repeat_interleave(sizes)[self.entries.argsort(stable=True)]
        self.holder_starts = held.cumsum(0) - held

    def __call__(self, values: Tensor) -> tuple[Tensor, Pullback]:
        scores = F.embedding_bag(self.entries, values, self.starts, mode="sum")
        return scores, lambda gradient: F.embedding_bag(self.holders, gradient, self.holder_starts, mode="sum")


class Mean(Score):
    """z_v = mean of the values in bag v."""

    def __init__(self, bags: Bags, sizes: Tensor):
        self.bags, self.sizes = bags, sizes[:, None]

    def __call__(self, values: Tensor) -> tuple[Tensor, Pullback]:
        scores, pullback = self.bags(values)
        return scores.div_(self.sizes), lambda gradient: pullback(gradient / self.sizes)


class LogSumExp(Score):
    """z_v = log sum of the exponentials of the values in bag v."""

    def __init__(self, bags: Bags):
        self.bags = bags

    def __call__(self, values: Tensor) -> tuple[Tensor, Pullback]:
        # Further below the largest of its position, a value counts as so far below. Single precision is faster, and
        # on a CPU it costs nothing to ask whether it will do; a GPU would have to wait for the answer.
        dtype, largest, below = values.dtype, values.amax(0), 80
        if values.device.type != "cpu" or (largest - values.amin(0)).max() > below:
            values, below = values.double(), 600
        exponentials = (values - largest).clamp_(min=-below).exp_()
        sums, pullback = self.bags(exponentials)
        scores = sums.log().add_(largest).to(dtype)
        return scores, lambda gradient: (pullback(gradient / sums) * exponentials).to(dtype)

"""The KL across vocabularies in other ways than `cross_vocabulary_kl`, over all positions at once.

Each scores a teacher token by the values of its pieces in no order: the sum of their log-probabilities, or the log of
the sum of their exponentials. `exact_gradient` and `exact_ordered_gradient` are what all gradients are compared with.
"""

import warnings
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

ABSENT = -1e30  # a value whose exponential counts for nothing


class Gather:
    """`values[:, table]` summed over the pieces, under plain autograd: the dense product without its zeros.

    What the published code computes where its own backward is not used, and where a dense matrix does not fit: for
    119,547 x 30,522 it would be 14.6 GB.
    """

    def __init__(self, vocabulary: Any, temperature: float, logsumexp: bool = False):
        """vocabulary: a VocabularyMap, or what has its attributes."""
        self.temperature, self.logsumexp = temperature, logsumexp
        self.ids = vocabulary.mapped_teacher_ids
        self.table = piece_table(vocabulary, self.ids)

    def to(self, device: torch.device) -> "Gather":
        for name, held in vars(self).items():
            setattr(self, name, held.to(device) if isinstance(held, Tensor) else held)
        return self

    def __call__(self, values: Tensor, teacher_logits: Tensor) -> Tensor:
        """The sum over positions; values: (positions, student vocabulary); teacher_logits: (positions, its own)."""
        values = values if self.logsumexp else values.log_softmax(-1)
        return kl(self.scores(values), teacher_logits[:, self.ids], self.temperature)

    def scores(self, values: Tensor) -> Tensor:
        return gathered(values, self.table, self.logsumexp)


class Dense(Gather):
    """A product with the matrix of counts as it is, zeros included, under plain autograd."""

    def __init__(self, vocabulary: Any, temperature: float, logsumexp: bool = False):
        super().__init__(vocabulary, temperature, logsumexp)
        width = vocabulary.student_size
        self.matrix = torch.zeros(len(self.table), width + 1)  # the last column collects what pads the table
        self.matrix.scatter_add_(1, self.table, torch.ones(self.table.shape))
        self.matrix = self.matrix[:, :width].contiguous()

    def scores(self, values: Tensor) -> Tensor:
        if not self.logsumexp:
            return values @ self.matrix.t().to(values.dtype)
        largest = values.detach().amax(-1, keepdim=True)
        return ((values - largest).exp() @ self.matrix.t().to(values.dtype)).log() + largest


class IndexTrick(Gather):
    """The published trick: a backward that gathers too, from at most `cut` of the teacher tokens that hold a piece.

    They are drawn once, with probability proportional to the frequency of the token. For log-sum-exp the gradient of a
    token goes to its pieces by their share in the sum, also from the sampled tokens alone.
    """

    def __init__(self, vocabulary: Any, temperature: float, logsumexp: bool = False, cut: int = 30):
        super().__init__(vocabulary, temperature, logsumexp)
        self.holders = sampled_holders(self.table, vocabulary.student_size, cut)

    def scores(self, values: Tensor) -> Tensor:
        return _IndexTrick.apply(values, self.table, self.holders, self.logsumexp)


class _IndexTrick(torch.autograd.Function):
    @staticmethod
    def forward(ctx, values: Tensor, table: Tensor, holders: Tensor, logsumexp: bool) -> Tensor:
        scores = gathered(values, table, logsumexp)
        ctx.save_for_backward(holders, *((values, scores) if logsumexp else ()))
        return scores

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        holders, *saved = ctx.saved_tensors
        found = F.pad(gradient, (0, 1))[:, holders]
        if saved:
            values, scores = saved
            found = found * (values[:, :, None] - F.pad(scores, (0, 1), value=-ABSENT)[:, holders]).exp()
        return found.sum(-1), None, None, None


class Sparse(Gather):
    """`torch.sparse.mm` with a CSR matrix of the counts of pieces, under plain autograd."""

    def __init__(self, vocabulary: Any, temperature: float, logsumexp: bool = False):
        super().__init__(vocabulary, temperature, logsumexp)
        where = (self.table < vocabulary.student_size).nonzero()
        indices = torch.stack([where[:, 0], self.table[where[:, 0], where[:, 1]]])
        shape = (len(self.ids), vocabulary.student_size)
        counts = torch.sparse_coo_tensor(indices, torch.ones(len(where)), shape, check_invariants=False)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
            self.counts = counts.to_sparse_csr()

    def scores(self, values: Tensor) -> Tensor:
        if not self.logsumexp:
            return torch.sparse.mm(self.counts, values.t()).t()
        largest = values.detach().amax(1, keepdim=True)
        return torch.sparse.mm(self.counts, (values - largest).exp().t()).t().log() + largest


def kl(scores: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """T^2 KL(softmax(teacher / T) || softmax(scores / T)), summed over positions; both (positions, tokens)."""
    student, teacher = (scores / temperature).log_softmax(-1), (teacher_logits / temperature).softmax(-1)
    return F.kl_div(student, teacher, reduction="sum") * temperature**2


def gathered(values: Tensor, table: Tensor, logsumexp: bool = False) -> Tensor:
    """Scores (positions, tokens) of values (positions, width); table: (tokens, pieces), padded with `width`."""
    if logsumexp:
        return F.pad(values, (0, 1), value=ABSENT)[:, table].logsumexp(-1)
    return F.pad(values, (0, 1))[:, table].sum(-1)


def piece_table(vocabulary: Any, ids: Tensor) -> Tensor:
    """(tokens, most pieces of a token): the pieces of teacher tokens, padded with the size of the student's."""
    counts = vocabulary.piece_counts[ids]
    table = torch.full((len(ids), int(counts.max())), vocabulary.student_size)
    table[torch.arange(table.shape[1]) < counts[:, None]] = vocabulary.pieces_of(ids)
    return table


def sampled_holders(table: Tensor, width: int, cut: int) -> Tensor:
    """(width, at most cut): tokens of the table that hold each piece, once per time it does, padded with their number.

    Drawn without replacement, with probability proportional to 1 / (1 + the token's place in the table).
    """
    tokens, places = (table < width).nonzero().unbind(1)
    pieces = table[tokens, places]
    noise = torch.empty(len(tokens)).exponential_(generator=torch.Generator().manual_seed(0))
    order = (noise * (1 + tokens)).argsort()  # the smallest of exponentials with these rates
    order = order[pieces[order].argsort(stable=True)]
    held = torch.bincount(pieces, minlength=width)
    rank = torch.arange(len(order)) - (held.cumsum(0) - held).repeat_interleave(held)
    kept = order[rank < cut]
    holders = torch.full((width, min(cut, int(held.max()))), len(table))
    holders[pieces[kept], rank[rank < cut]] = tokens[kept]
    return holders


def exact_gradient(baseline: Gather, values: Tensor, teacher_logits: Tensor, chunk: int = 8) -> Tensor:
    """That of `Gather` in double precision, a few positions at a time."""
    parts = zip(values.detach().double().split(chunk), teacher_logits.double().split(chunk), strict=True)
    return torch.cat([gradient(baseline, part.requires_grad_(), teacher) for part, teacher in parts])


def exact_ordered_gradient(
    vocabulary: Any, values: Tensor, teacher_logits: Tensor, groups: Sequence[tuple[int, int]], temperature: float
) -> Tensor:
    """That of `ordered` in double precision; groups: (pieces, positions), k rows of values for each position."""
    mapped, gradients, row, position = vocabulary.mapped_teacher_ids, [], 0, 0
    for k, count in groups:
        ids = mapped[vocabulary.piece_counts[mapped] == k]
        table = (piece_table(vocabulary, ids) + vocabulary.student_size * torch.arange(k)).to(values.device)
        for _ in range(count):
            rows = values[row : row + k].detach().double().requires_grad_()
            scores = gathered(rows.log_softmax(-1).reshape(1, -1), table)
            teacher = teacher_logits[position : position + 1, ids.to(values.device)].double()
            gradients += torch.autograd.grad(kl(scores, teacher, temperature), rows)
            row, position = row + k, position + 1
    return torch.cat(gradients)


def gradient(loss: Any, values: Tensor, teacher_logits: Tensor) -> Tensor:
    """That of a loss of (values, teacher logits) in the values."""
    return torch.autograd.grad(loss(values, teacher_logits), values)[0]

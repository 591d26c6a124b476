"""Other ways to compute the KL across vocabularies: in plain PyTorch, over all positions at once.

All score a teacher token by the sum of the log-probabilities of its pieces, in no order (the map `pieces`).
"""

import warnings
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.timing.synthetic import RandomMap

Scores = Callable[[Tensor], Tensor]  # log-probabilities (positions, student vocabulary) -> (positions, mapped tokens)
Loss = Callable[[Tensor, Tensor], Tensor]  # of student logits and teacher logits
HOLDERS = 30  # the most tokens of a piece that the published backward pass takes


def kl(scores: Scores, ids: Tensor, temperature: float) -> Loss:
    """T^2 KL(teacher || student) over the teacher's tokens `ids`, summed over positions, under plain autograd."""

    def loss(logits: Tensor, teacher_logits: Tensor) -> Tensor:
        student = (scores(logits.log_softmax(-1)) / temperature).log_softmax(-1)
        teacher = (teacher_logits[:, ids] / temperature).softmax(-1)
        return F.kl_div(student, teacher, reduction="sum") * temperature**2

    return loss


def entries(vocabulary: RandomMap) -> tuple[Tensor, Tensor]:
    """For each piece of each mapped token: the place of the token among mapped tokens, and the piece's id."""
    ids = vocabulary.mapped_teacher_ids
    places = torch.arange(len(ids)).repeat_interleave(vocabulary.piece_counts[ids])
    return places, vocabulary.pieces_of(ids)


def _counts(vocabulary: RandomMap) -> Tensor:
    """Sparse (mapped tokens, student vocabulary)."""
    indices, size = torch.stack(entries(vocabulary)), (len(vocabulary.mapped_teacher_ids), vocabulary.student_size)
    return torch.sparse_coo_tensor(indices, torch.ones(indices.shape[1]), size, check_invariants=False)


def dense(vocabulary: RandomMap, device: torch.device) -> Scores:
    """A product with the matrix of counts, zeros included."""
    counts = _counts(vocabulary).to_dense().to(device)
    return lambda values: values @ counts.to(values.dtype).t()


def csr(vocabulary: RandomMap, device: torch.device) -> Scores:
    """`torch.sparse.mm` with the same matrix as CSR."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        counts = _counts(vocabulary).to_sparse_csr().to(device)
    return lambda values: torch.sparse.mm(counts.to(values.dtype), values.t()).t()


def index_trick(vocabulary: RandomMap, device: torch.device, cut: int = HOLDERS) -> Scores:
    """The published way: pieces are gathered, and the gradient of a piece is gathered from at most `cut` of the tokens
    that hold it. Here these are the most frequent ones. The original draws them beforehand, so times compare."""
    places, pieces = entries(vocabulary)
    counts, width = vocabulary.piece_counts[vocabulary.mapped_teacher_ids], vocabulary.student_size
    table = torch.full((len(counts), int(counts.max())), width)  # the pieces of a token, padded
    table[torch.arange(table.shape[1]) < counts[:, None]] = pieces
    order, held = pieces.argsort(stable=True), torch.bincount(pieces, minlength=width)
    rank = torch.arange(len(order)) - (held.cumsum(0) - held).repeat_interleave(held)  # within its piece
    order, rank = order[rank < cut], rank[rank < cut]
    holders = torch.full((width, min(cut, int(held.max()))), len(counts))  # the tokens of a piece, padded
    holders[pieces[order], rank] = places[order]
    table, holders = table.to(device), holders.to(device)
    return lambda values: _IndexTrick.apply(values, table, holders)


class _IndexTrick(torch.autograd.Function):
    @staticmethod
    def forward(ctx, values: Tensor, table: Tensor, holders: Tensor) -> Tensor:
        ctx.save_for_backward(holders)
        return F.pad(values, (0, 1))[:, table].sum(-1)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None, None]:
        (holders,) = ctx.saved_tensors
        return F.pad(gradient, (0, 1))[:, holders].sum(-1), None, None

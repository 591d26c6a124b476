"""The teacher's tokens that compete at a position, and how a student with another vocabulary scores them."""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distillation.vocabularies.mapping import VocabularyMap

Device = torch.device | str
Pullback = Callable[[Tensor], Tensor]
# Student values (width, positions) as scores of teacher tokens (candidates, positions). The pullback, which may be
# called once, takes the gradient of the scores to the gradient of the values.
Score = Callable[[Tensor], tuple[Tensor, Pullback]]
Rows = Callable[[Tensor], Tensor]  # teacher's states (positions, width) as its logits (tokens, positions)
MakeScore, MakeRows = Callable[[Tensor], Score], Callable[[Tensor], Rows]  # of these ids (tokens,)


class Candidates:
    """Teacher tokens that compete at a position, and how the student scores them.

    Tokens with one spelling compete as one token, with the sum of their probabilities: a byte-level teacher has ","
    with and without a space before it, and a WordPiece student writes both alike. The sum is taken before the
    temperature, so that at any temperature the KL is 0 for the student that has the teacher's probabilities. A sum
    after it would favour divided tokens: 0.3 + 0.3 beside 0.4 would teach 0.75 at T = 2, and not 0.6.
    """

    def __init__(self, ids: Tensor, first: Tensor, make_score: MakeScore, make_rows: MakeRows, device: Device):
        """ids: (tokens,), ascending; first: (tokens,), the first id with the same spelling."""
        candidates, duplicates = ids[first == ids], ids[first != ids]
        self.ids, self.score, self.rows = ids.to(device), make_score(candidates), make_rows(candidates)
        spelling, order = torch.searchsorted(candidates, first[first != ids]).sort(stable=True)
        nth = torch.arange(len(order)) - torch.searchsorted(spelling, spelling)  # among the duplicates of a candidate
        # A chunk has a candidate once: of several values, an assignment by index keeps one.
        chunks = [nth == n for n in nth.unique()]
        self.duplicates = [(spelling[n].to(device), make_rows(duplicates[order[n]])) for n in chunks]

    def logits(self, states: Tensor) -> Tensor:
        """The teacher's logits (candidates, positions) for states (positions, width)."""
        logits = self.rows(states)
        for spelling, rows in self.duplicates:
            logits[spelling] = torch.logaddexp(logits[spelling], rows(states))
        return logits


def teacher_rows(ids: Tensor, projection: nn.Linear | None, device: Device, dtype: torch.dtype) -> Rows:
    """A function from states to the teacher's logits of these tokens. projection: None where states are logits
    already."""
    ids = ids.to(device)
    if projection is None:
        return lambda states: states.t()[ids]
    weight = projection.weight.detach()[ids].to(dtype)
    bias = weight.new_zeros(len(ids)) if projection.bias is None else projection.bias.detach()[ids].to(dtype)
    return lambda states: torch.addmm(bias[:, None], weight, states.to(dtype).t())


def candidates_by_pieces(
    vocabulary: VocabularyMap, vocabulary_map: str, make_rows: MakeRows, device: Device
) -> dict[int, Candidates]:
    """The candidates where the teacher's token has k pieces; under the key 0 where they do not depend on k."""
    ids, width = vocabulary.mapped_teacher_ids, vocabulary.student_size

    def make_score(k: int, candidates: Tensor) -> Score:
        entries, counts = vocabulary.pieces_of(candidates), vocabulary.piece_counts[candidates]
        if k:  # a position has k rows of the student, one after the other
            entries = (entries.reshape(-1, k) + torch.arange(k) * width).flatten()
        bags = PieceSum(entries, counts, max(k, 1) * width, device)
        return LogSumExp(bags) if vocabulary_map == "pieces_logsumexp" else bags

    def make(k: int, ids: Tensor) -> Candidates:
        return Candidates(ids, vocabulary.first_with_spelling[ids], partial(make_score, k), make_rows, device)

    if vocabulary_map == "ordered":
        counts = vocabulary.piece_counts[ids]
        return {k: make(k, ids[counts == k]) for k in counts.unique().tolist()}
    return {0: make(0, vocabulary.shared_teacher_ids if vocabulary_map == "shared" else ids)}


class PieceSum:
    """A `Score`: z_v = sum of the values in bag v. A product with a sparse matrix of ones, exact both ways."""

    def __init__(self, entries: Tensor, sizes: Tensor, width: int, device: Device = "cpu"):
        """entries: (all entries,) of bags of these `sizes` (bags,), one bag after the other; width: of the values."""
        holder_counts = torch.bincount(entries, minlength=width)  # the transpose: the bags that hold a value
        holders = torch.arange(len(sizes)).repeat_interleave(sizes)[entries.argsort(stable=True)]
        bags = entries, sizes.cumsum(0) - sizes
        transposed = holders, holder_counts.cumsum(0) - holder_counts
        self.bags, self.transposed = (tuple(part.to(device) for part in parts) for parts in (bags, transposed))

    def __call__(self, values: Tensor) -> tuple[Tensor, Pullback]:
        return _bag_sums(values, *self.bags), lambda gradient: _bag_sums(gradient, *self.transposed)


def _bag_sums(values: Tensor, entries: Tensor, starts: Tensor) -> Tensor:
    return F.embedding_bag(entries, values, starts, mode="sum")


class LogSumExp:
    """A `Score`: z_v = log of the sum of the exponentials of the values in bag v."""

    def __init__(self, bags: PieceSum):
        self.bags = bags

    def __call__(self, values: Tensor) -> tuple[Tensor, Pullback]:
        # A value that is more than `below` under the largest of its position counts as `below` under it. Single
        # precision is faster. A CPU checks at no cost whether it is enough; a GPU would have to wait for the check.
        dtype, largest, below = values.dtype, values.amax(0), 80
        if values.device.type != "cpu" or (largest - values.amin(0)).max() > below:
            values, below = values.double(), 600
        exponentials = (values - largest).clamp_(min=-below).exp_()
        sums, pullback = self.bags(exponentials)
        scores = sums.log().add_(largest).to(dtype)
        return scores, lambda gradient: (pullback(gradient / sums) * exponentials).to(dtype)

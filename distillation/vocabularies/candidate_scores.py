"""The teacher's tokens that compete at a position, and how a student with another vocabulary scores them."""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distillation.vocabularies.mapping import VocabularyMap

Pullback = Callable[[Tensor], Tensor]


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
        candidates, duplicates = ids[first == ids], ids[first != ids]
        self.rows = make_rows(candidates)
        device = self.rows.ids.device
        self.score, self.all_ids = make_score(candidates).to(device), ids.to(device)
        spelling, order = torch.searchsorted(candidates, first[first != ids]).sort(stable=True)
        nth = torch.arange(len(order)) - torch.searchsorted(spelling, spelling)  # of those of one candidate
        duplicates = duplicates[order]
        self.chunks = [(spelling[nth == n].to(device), make_rows(duplicates[nth == n])) for n in nth.unique()]

    def logits(self, states: Tensor) -> Tensor:
        """The teacher's logits (candidates, positions) for states (positions, width)."""
        logits = self.rows(states)
        for spelling, rows in self.chunks:
            logits[spelling] = torch.logaddexp(logits[spelling], rows(states))
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


class FullVocabulary:
    """Where both models have one vocabulary: all its tokens, with logits for scores on both sides."""

    def __init__(self, rows: "TeacherRows | None"):
        """rows: of all tokens; None where the states already are logits."""
        self.rows = rows

    @staticmethod
    def score(values: Tensor) -> tuple[Tensor, Pullback]:
        """See `Score`."""
        return values.clone(), lambda gradient: gradient  # the caller goes on in place

    def logits(self, states: Tensor) -> Tensor:
        """The teacher's logits (tokens, positions) for states (positions, width)."""
        return states.t().clone() if self.rows is None else self.rows(states)


def candidates_by_pieces(
    vocabulary: VocabularyMap, alignment: str, vocabulary_map: str, rows: Callable[[Tensor], TeacherRows]
) -> dict[int, Candidates]:
    """Those at positions whose teacher token has k pieces; under the key 0 where they do not depend on k."""
    size, ids = vocabulary.student_size, vocabulary.mapped_teacher_ids

    def in_place(
        chosen: Tensor,
    ) -> PieceSum:  # a position has k rows of the student, one after the other
        k = int(vocabulary.piece_counts[chosen[0]])
        return PieceSum(vocabulary.pieces_of(chosen).reshape(-1, k) + torch.arange(k) * size, k * size)

    def pooled(chosen: Tensor) -> Score:
        counts = vocabulary.piece_counts[chosen]
        bags = PieceSum(vocabulary.pieces_of(chosen), size, counts)
        return LogSumExp(bags) if vocabulary_map == "pieces_logsumexp" else bags

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


class PieceSum(Score):
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


class LogSumExp(Score):
    """z_v = log sum of the exponentials of the values in bag v."""

    def __init__(self, bags: PieceSum):
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

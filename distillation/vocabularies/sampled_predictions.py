"""The teacher's predictions at one temperature in 128 bytes a position, from which the KL needs no teacher's head.

A row of bytes holds probabilities p' of the candidates. Their mean over all draws is the teacher's p:

* each of the likeliest candidates has a number of its own, p rounded down to a multiple of 2^-16;
* the rest of the probability, with what the rounding took, is shared equally by draws from it. These are systematic:
  of the cumulated rest they take the candidates at the shares (u + i) / draws, with one random number u a position. So
  a candidate is drawn as often as its probability says, rounded up or down at random;
* the sum of p' log p is there too. The loss is the sum of p' (log p - log q), with q of the student. Its mean is the
  KL, and it is 0 where q is p.

The gradient in the scores z is T (softmax(z / T) - p'). It is linear in p', so that its mean is that of the KL.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

BYTES = 128  # the most of a row
LIKELIEST = 8  # candidates with a number of their own
BITS = 16  # of such a number
SUM_BYTES = 4  # of the sum, in single precision


class SampledPredictions:
    """Makes rows (positions, bytes) of a teacher's logits, and compares a student's scores with them."""

    def __init__(self, candidates: int):
        """candidates: the most that compete at a position."""
        self.bits = max((candidates - 1).bit_length(), 1)  # of a candidate's index
        self.draws = (8 * (BYTES - SUM_BYTES) - LIKELIEST * (BITS + self.bits)) // self.bits
        ids = -(-(LIKELIEST + self.draws) * self.bits // 8)
        self.parts = [SUM_BYTES, LIKELIEST * BITS // 8, ids]  # of a row, in bytes

    def rows(self, logits: Tensor, shares: Tensor) -> Tensor:
        """logits: (candidates, positions), divided by T; shares: (positions,), a random number in [0, 1) each."""
        log_p = logits.t().float().log_softmax(-1).clamp_(min=-1e3)  # 0 * -inf would be NaN
        p = log_p.exp()
        likeliest = p.topk(min(LIKELIEST, p.shape[1])).indices
        numbers = (p.gather(1, likeliest) * 2**BITS).long().clamp_(max=2**BITS - 1)
        rest = p.double().scatter_add_(1, likeliest, numbers.double() / -(2**BITS)).clamp_(min=0).cumsum_(1)
        places = (shares.to(rest)[:, None] + torch.arange(self.draws, device=p.device)) / self.draws
        drawn = torch.searchsorted(rest, places * rest[:, -1:], right=True).clamp_(max=p.shape[1] - 1)
        missing = (0, LIKELIEST - likeliest.shape[1])  # of fewer candidates: probability 0
        numbers, ids = F.pad(numbers, missing), torch.cat([F.pad(likeliest, missing), drawn], 1)
        total = (self._probabilities(numbers) * log_p.gather(1, ids)).sum(1, keepdim=True)
        return torch.cat([total.view(torch.uint8), _packed(numbers, BITS), _packed(ids, self.bits)], 1)

    def kl_(self, scores: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """The divergences (positions,), and their gradient q - p' in the scores.

        scores: (candidates, positions), the student's divided by T; they are overwritten. rows: (positions, bytes).
        """
        total, numbers, ids = rows.split(self.parts, 1)
        # A copy, because four bytes of one row are contiguous where they are, but may begin anywhere.
        total = total.clone(memory_format=torch.contiguous_format).view(torch.float32).squeeze(1)
        p = self._probabilities(_unpacked(numbers, LIKELIEST, BITS)).t().to(scores.dtype)
        ids = _unpacked(ids, LIKELIEST + self.draws, self.bits).t()
        scores = scores.sub_(scores.amax(0))  # so that `exp` cannot overflow
        products = (scores.gather(0, ids) * p).sum(0)
        sums = scores.exp_().sum(0)
        return total - products + sums.log(), scores.div_(sums).scatter_add_(0, ids, -p)

    def _probabilities(self, numbers: Tensor) -> Tensor:
        """p' of the likeliest and the drawn candidates: (positions, likeliest) -> (positions, likeliest + draws)."""
        likeliest = numbers.float() / 2**BITS
        drawn = (1 - likeliest.sum(1, keepdim=True)) / self.draws
        return torch.cat([likeliest, drawn.expand(-1, self.draws)], 1)


def _packed(numbers: Tensor, bits: int) -> Tensor:
    """Whole numbers (rows, n) in `bits` bits each, as bytes (rows, n x bits / 8), rounded up."""
    digits = (numbers[..., None] >> torch.arange(bits, device=numbers.device) & 1).flatten(1)
    digits = F.pad(digits, (0, -digits.shape[1] % 8)).unflatten(1, (-1, 8))
    return (digits << torch.arange(8, device=numbers.device)).sum(-1).to(torch.uint8)


def _unpacked(packed: Tensor, count: int, bits: int) -> Tensor:
    """The numbers (rows, count) of `_packed`; each lies in at most four bytes."""
    first = torch.arange(count, device=packed.device) * bits
    bytes_ = F.pad(packed, (0, 3)).long()
    words = sum(bytes_[:, index : packed.shape[1] + index] << 8 * index for index in range(4))  # from each byte on
    return words.index_select(1, first // 8) >> first % 8 & 2**bits - 1

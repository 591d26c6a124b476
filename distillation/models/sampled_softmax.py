"""Cross-entropy over a random part of a large vocabulary: what the step is to predict, and tokens drawn by count."""

import numpy as np
import torch
from torch import Tensor

LARGE = 50_000  # tokens from which the head is most of a small model's work
DRAWS = 6_000
LAST = 300  # steps at the end with all tokens, or a tenth of the run if that is less


class SampledSoftmax:
    """Draws the candidates of each step, the same for all of its micro-batches and ranks.

    A token v is a candidate with probability p(v) = 1 - (1 - q(v))^n, as if n were drawn with replacement, where q(v)
    grows as count(v)^0.75; a label of the step with p(v) = 1. The logits of the set S of candidates are less log p, so
    that the normaliser is unbiased: E[sum over S of exp(z) / p] = sum over all v of P(v in S) exp(z) / p = sum exp(z).
    """

    def __init__(self, counts: np.ndarray, seed: int, draws: int = DRAWS):
        """counts: (vocabulary,) of the tokens in a corpus; draws: n."""
        chances = np.maximum(counts, 1) ** 0.75
        self.probability = -np.expm1(draws * np.log1p(-chances / chances.sum()))
        self.log_probability = torch.from_numpy(np.log(self.probability)).float()
        self.seed = seed

    @staticmethod
    def covers(step: int, steps: int) -> bool:
        """Whether candidates are drawn for a step of a run, from 0; the last steps have all tokens."""
        return step < steps - min(LAST, steps // 10)

    def draw(self, step: int, is_label: Tensor) -> tuple[Tensor, Tensor]:
        """(ids of the candidates (c,), ascending; the logarithms of their p (c,)). is_label: (vocabulary,)."""
        drawn = np.random.default_rng((self.seed, step)).random(len(self.probability)) < self.probability
        ids = (is_label | torch.from_numpy(drawn).to(is_label.device)).nonzero().squeeze(1)
        return ids, self.log_probability.to(ids.device)[ids].masked_fill(is_label[ids], 0)

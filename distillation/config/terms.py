"""The terms of the loss, a row each.

The function of a term is `<name>_loss` in `distillation/losses.py`, and `weight_<name>` is its key. Arguments,
`--help`, trainer, evaluation, cache, and model card follow from the rows.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Term:
    """What a term compares, and how.

    needs: `predictions` of both models at the positions of the KL; `labels`, the student's logits and the hidden
        tokens; hidden `states`; or attention `maps`.
    counted_by: the positions that it is a mean over, a name of `COUNTS` in `distillation/corpus/masking.py`.
    weight: the default of its key.
    layers: the key that pairs student layers with teacher layers; for `states`.
    """

    name: str
    needs: Literal["predictions", "labels", "states", "maps"]
    counted_by: Literal["kl", "mlm", "tokens", "pairs"]
    weight: float
    meaning: str
    citation: str
    layers: Literal["cosine_layers", "hidden_layers"] | None = None

    def __post_init__(self):
        if (self.layers is None) == (self.needs == "states"):
            raise ValueError(f"the term {self.name}: give `layers` if it needs states, and only then")


_ROWS = (
    Term(
        "kl",
        needs="predictions",
        counted_by="kl",
        weight=2.0,
        meaning="KL(teacher || student) of the softened token distributions",
        citation="Hinton et al., arXiv 1503.02531",
    ),
    Term(
        "mlm",
        needs="labels",
        counted_by="mlm",
        weight=1.0,
        meaning="masked-LM cross-entropy",
        citation="Devlin et al., arXiv 1810.04805",
    ),
    Term(
        "cosine",
        needs="states",
        counted_by="tokens",
        weight=1.0,
        meaning="1 - cosine of hidden states",
        citation="Sanh et al., arXiv 1910.01108",
        layers="cosine_layers",
    ),
    Term(
        "attention",
        needs="maps",
        counted_by="pairs",
        weight=100.0,  # an MSE of probabilities is of order 0.01
        meaning="MSE of attention maps",
        citation="Jiao et al., arXiv 1909.10351",
    ),
    Term(
        "hidden_mse",
        needs="states",
        counted_by="tokens",
        weight=0.0,
        meaning="MSE of hidden states",
        citation="Jiao et al., arXiv 1909.10351",
        layers="hidden_layers",
    ),
)
TERMS = {term.name: term for term in _ROWS}


def keys_of(needs: str) -> str:
    """The keys of the terms with this `needs`, for a message."""
    return " and ".join(f"`weight_{term.name}`" for term in _ROWS if term.needs == needs)

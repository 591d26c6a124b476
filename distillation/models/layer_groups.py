"""Teacher layers in groups, one for each student layer, and their means."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def layer_groups(teacher_layers: int, student_layers: int) -> list[range]:
    """The runs of consecutive teacher layers (counted from 0) that student layers 0, 1, ... learn from.

    Raises ValueError where they do not divide.
    """
    size, remainder = divmod(teacher_layers, student_layers)
    if remainder or not size:
        raise ValueError(f"{teacher_layers} teacher layers do not divide into {student_layers} equal groups")
    return [range(k * size, (k + 1) * size) for k in range(student_layers)]


def group_means(layers: Sequence[Tensor], groups: Sequence[range]) -> list[Tensor]:
    """The mean of each group of equally shaped tensors; `layers[i]` belongs to layer i (no embeddings before it)."""
    return [mean([layers[i] for i in group]) for group in groups]


def means_of(layers: Sequence[Tensor], view: str, groups: int) -> list[Tensor]:
    """What is compared of a model's layers: the means of as many `groups`, the `last`, or the `average` of all."""
    if view == "groups":
        return group_means(layers, layer_groups(len(layers), groups))
    return [layers[-1] if view == "last" else mean(layers)]


def mean(tensors: Sequence[Tensor]) -> Tensor:
    """Mean of equally shaped tensors, without stacking them."""
    if len(tensors) == 1:
        return tensors[0]
    total = tensors[0]
    for tensor in tensors[1:]:
        total = total + tensor
    return total / len(tensors)


class Projections(nn.ModuleDict):
    """One learned linear map for each student layer that is compared with a teacher of another width."""

    def __init__(self, layers: Sequence[int] = (), student_width: int = 0, teacher_width: int = 0):
        needed = layers if student_width != teacher_width else ()
        super().__init__({str(layer): nn.Linear(student_width, teacher_width) for layer in needed})

    def forward(self, layer: int, states: Tensor) -> Tensor:
        """Student states (..., student width) of a layer as (..., teacher width); unchanged if the widths agree."""
        return self[str(layer)](states) if str(layer) in self else states


def check_maps(attentions: Sequence[Tensor] | None, layers: int, who: str) -> None:
    """Raise RuntimeError unless there is one attention map for each layer.

    Implementations other than eager return an empty tuple, and a sum over it would be a loss of zero.
    """
    found = len(attentions or ())
    if found != layers or any(not torch.is_tensor(a) for a in attentions):
        raise RuntimeError(
            f"the {who} returned {found} attention maps for {layers} layers; "
            "load it with attn_implementation='eager' while `weight_attention` is not 0"
        )

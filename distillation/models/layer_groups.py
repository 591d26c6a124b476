"""Teacher layers in groups, one for each student layer, and their means."""

from collections.abc import Sequence

from torch import Tensor


def layer_groups(teacher_layers: int, student_layers: int) -> list[range]:
    """The runs of consecutive teacher layers (counted from 0) that student layers 0, 1, ... learn from.

    Raises ValueError where they do not divide.
    """
    size, remainder = divmod(teacher_layers, student_layers)
    if remainder or not size:
        raise ValueError(f"{teacher_layers} teacher layers do not divide into {student_layers} equal groups")
    return [range(k * size, (k + 1) * size) for k in range(student_layers)]


def means_of(layers: Sequence[Tensor], view: str, groups: int) -> list[Tensor]:
    """The tensors to compare, from equally shaped layers (without embeddings). view: `groups` for the mean of each of
    `groups` groups, `last` for the last layer, `average` for the mean of all."""
    if view == "groups":
        return [mean([layers[i] for i in group]) for group in layer_groups(len(layers), groups)]
    return [layers[-1] if view == "last" else mean(layers)]


def mean(tensors: Sequence[Tensor]) -> Tensor:
    """Mean of equally shaped tensors, without stacking them."""
    return sum(tensors[1:], tensors[0]) / len(tensors) if len(tensors) > 1 else tensors[0]

"""Groups of layers, and their means."""

import pytest
import torch

from distillation.models.layer_groups import layer_groups, means_of


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("groups", [1, 2, 6])
def test_groups_tile_the_teacher_in_order(size, groups):
    """A layer left out or used twice would shift every later target."""
    found = layer_groups(size * groups, groups)
    assert len(found) == groups and [layer for group in found for layer in group] == list(range(size * groups))


@pytest.mark.parametrize(("teacher", "student"), [(12, 5), (2, 3), (7, 2)])
def test_a_remainder_is_refused(teacher, student):
    with pytest.raises(ValueError, match=f"{teacher} teacher layers do not divide into {student}"):
        layer_groups(teacher, student)


@pytest.mark.parametrize(("view", "means"), [("groups", [2, 15]), ("average", [8.5]), ("last", [20])])
def test_means_by_hand(view, means):
    layers = [torch.full((2,), float(value)) for value in (1, 3, 10, 20)]
    assert [mean.tolist() for mean in means_of(layers, view, 2)] == [[mean, mean] for mean in means]

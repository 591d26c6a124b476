"""Groups of layers, and their means."""

import pytest
import torch

from distillation.models.layer_groups import layer_groups, means_of


@pytest.mark.parametrize(("size", "groups"), [(1, 6), (2, 2), (3, 1)])
def test_groups_tile_the_teacher_in_order(size, groups):
    """A layer left out or used twice would shift every later target."""
    found = layer_groups(size * groups, groups)
    assert len(found) == groups and [layer for group in found for layer in group] == list(range(size * groups))


@pytest.mark.parametrize(("view", "means"), [("groups", [2, 15]), ("average", [8.5]), ("last", [20])])
def test_means_by_hand(view, means):
    layers = [torch.full((2,), float(value)) for value in (1, 3, 10, 20)]
    assert [mean.tolist() for mean in means_of(layers, view, 2)] == [[mean, mean] for mean in means]

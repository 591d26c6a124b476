"""Groups of layers, and their means."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from distillation.models.layer_groups import group_means, layer_groups, mean


@given(size=st.integers(1, 8), groups=st.integers(1, 8))
def test_groups_tile_the_teacher_in_order(size, groups):
    """A layer left out or used twice would shift every later target."""
    assert [layer for group in layer_groups(size * groups, groups) for layer in group] == list(range(size * groups))


@pytest.mark.parametrize(("teacher", "student"), [(12, 5), (2, 3), (7, 2)])
def test_a_remainder_is_refused(teacher, student):
    with pytest.raises(ValueError, match=f"{teacher} teacher layers do not divide into {student}"):
        layer_groups(teacher, student)


def test_means_by_hand():
    layers = [torch.full((2,), float(v)) for v in (1, 3, 10, 20)]
    assert [m.tolist() for m in group_means(layers, layer_groups(4, 2))] == [[2, 2], [15, 15]]
    assert mean(layers).tolist() == [8.5, 8.5]

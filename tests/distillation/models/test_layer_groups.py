"""Groups of layers, their means, and projections."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from distillation.models.layer_groups import Projections, check_maps, group_means, layer_groups, mean


def test_groups_by_hand():
    """The cards' wording: each of 6 students layers learns from 2 consecutive teacher layers, each of 2 from 6."""
    assert layer_groups(12, 6) == [range(0, 2), range(2, 4), range(4, 6), range(6, 8), range(8, 10), range(10, 12)]
    assert layer_groups(12, 2) == [range(0, 6), range(6, 12)]


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


def test_projections_only_where_widths_differ():
    """A projection between equal widths would change what the published recipes compare."""
    states = torch.randn(2, 3, 8)
    assert len(Projections([0, 1], 8, 8)) == 0
    assert torch.equal(Projections([0, 1], 8, 8)(1, states), states)
    wider = Projections([1], 8, 12)
    assert wider(1, states).shape == (2, 3, 12)
    assert wider(0, states) is states  # nothing compares layer 0


def test_maps_that_are_missing_are_an_error():
    """Without eager attention the tuple is empty, and a loss over it would silently be zero."""
    check_maps((torch.ones(1), torch.ones(1)), 2, "student")
    for maps in ((), None, (torch.ones(1),), (torch.ones(1), None)):
        with pytest.raises(RuntimeError, match="weight_attention"):
            check_maps(maps, 2, "student")

"""Tensors of the student on the positions of the teacher, against loops over pieces."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distillation.vocabularies.token_pooling import pool_attention, pool_states

slow = settings(max_examples=60, deadline=None, derandomize=True)
indices = st.lists(st.lists(st.integers(-1, 3), min_size=5, max_size=5), min_size=2, max_size=2).map(torch.tensor)


@slow
@given(index=indices, seed=st.integers(0, 99))
def test_states_are_means_over_pieces(index, seed):
    """Value and gradient against loops; where nothing belongs there is 0, and no gradient is lost."""
    states = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(seed)).requires_grad_()
    expected = torch.zeros(2, 4, 3)
    for b in range(2):
        for t in range(4):
            belonging = [states[b, s] for s in range(5) if index[b, s] == t]
            if belonging:
                expected[b, t] = sum(belonging) / len(belonging)
    assert_same_with_gradients(pool_states(states, index, 4), expected, states)


@slow
@given(index=indices, seed=st.integers(0, 99))
def test_maps_are_means_of_sums(index, seed):
    """The mean over the pieces that look of the sum over those looked at, and rows that sum to 1 still do."""
    raw = torch.randn(2, 2, 5, 5, generator=torch.Generator().manual_seed(seed)).requires_grad_()
    maps = raw.softmax(-1)
    expected = torch.zeros(2, 2, 4, 4)
    for b in range(2):
        for t in range(4):
            lookers = [s for s in range(5) if index[b, s] == t]
            for u in range(4):
                for s in lookers:
                    for k in range(5):
                        if index[b, k] == u:
                            expected[b, :, t, u] += maps[b, :, s, k] / len(lookers)
    actual = pool_attention(maps, index, 4)
    for b in range(2):
        if (index[b] >= 0).all():
            looking = index[b].unique()
            torch.testing.assert_close(actual[b][:, looking].sum(-1), torch.ones(2, len(looking)))
    assert_same_with_gradients(actual, expected, raw)


def assert_same_with_gradients(actual, expected, leaf):
    torch.testing.assert_close(actual, expected)
    if not expected.requires_grad:  # nothing belongs anywhere
        return
    outer = torch.randn(actual.shape, generator=torch.Generator().manual_seed(1))
    gradients = [
        torch.autograd.grad((value * outer).sum(), leaf, retain_graph=True)[0] for value in (actual, expected)
    ]
    torch.testing.assert_close(*gradients)


def test_one_piece_each_is_a_selection():
    """With `match` a state is the student's own, to the last bit."""
    states, maps = torch.randn(1, 4, 3), torch.randn(1, 2, 4, 4)
    index = torch.tensor([[2, -1, 0, -1]])
    assert torch.equal(pool_states(states, index, 3)[0, [2, 0]], states[0, [0, 2]])
    picked = pool_attention(maps, index, 3)[0]
    assert torch.equal(picked[:, [2, 0]][:, :, [2, 0]], maps[0][:, [0, 2]][:, :, [0, 2]])
    assert not picked[:, 1].any() and not picked[:, :, 1].any()

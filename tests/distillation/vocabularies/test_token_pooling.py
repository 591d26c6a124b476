"""Tensors of the student on the positions of the teacher, against loops over pieces."""

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distillation.vocabularies.token_pooling import pool_attention, pool_states

slow = settings(max_examples=60, derandomize=True)
indices = st.lists(st.lists(st.integers(-1, 3), min_size=5, max_size=5), min_size=2, max_size=2).map(torch.tensor)


@slow
@given(index=indices, seed=st.integers(0, 99))
def test_states_are_means_over_pieces_and_maps_are_means_of_sums(index, seed):
    """Maps: the mean over the pieces that look of the sum over those looked at; 0 where nothing belongs."""
    generator = torch.Generator().manual_seed(seed)
    states = torch.randn(2, 5, 3, generator=generator).requires_grad_()
    raw = torch.randn(2, 2, 5, 5, generator=generator).requires_grad_()
    expected_states, expected_maps, maps = torch.zeros(2, 4, 3), torch.zeros(2, 2, 4, 4), raw.softmax(-1)
    for b in range(2):
        belonging = [[s for s in range(5) if index[b, s] == t] for t in range(4)]
        for t, pieces in enumerate(belonging):
            for s in pieces:
                expected_states[b, t] += states[b, s] / len(pieces)
                for u, others in enumerate(belonging):
                    expected_maps[b, :, t, u] += sum(maps[b, :, s, k] for k in others) / len(pieces)
    pooled = pool_attention(maps, index, 4)
    for b in range(2):
        if (index[b] >= 0).all():  # rows that sum to 1 still do
            looking = index[b].unique()
            torch.testing.assert_close(pooled[b][:, looking].sum(-1), torch.ones(2, len(looking)))
    cases = (pool_states(states, index, 4), expected_states, states), (pooled, expected_maps, raw)
    for actual, expected, leaf in cases:
        torch.testing.assert_close(actual, expected)
        if expected.requires_grad:  # something belongs somewhere
            outer = torch.randn(actual.shape, generator=generator)
            gradients = [
                torch.autograd.grad((v * outer).sum(), leaf, retain_graph=True)[0] for v in (actual, expected)
            ]
            torch.testing.assert_close(*gradients)


def test_what_belongs_nowhere_may_be_anything():
    """Padding: 0 * NaN would reach every position, and the gradient."""
    index, states, maps = torch.tensor([[0, 1, 1, -1]]), torch.ones(1, 4, 3), torch.full((1, 1, 4, 4), 0.25)
    states[:, 3] = maps[..., 3, :] = maps[..., 3] = math.nan
    for pool, tensor in ((pool_states, states), (pool_attention, maps)):
        pooled = pool(tensor.requires_grad_(), index, 2)
        pooled.sum().backward()
        assert pooled.isfinite().all() and tensor.grad.isfinite().all()

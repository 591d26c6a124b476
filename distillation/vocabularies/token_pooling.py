"""Pools hidden states and attention maps from the student's tokens to the teacher's tokens."""

import torch
from torch import Tensor


def pool_states(states: Tensor, index: Tensor, length: int) -> Tensor:
    """The mean of the states (batch, student length, width) that belong to each teacher position: (batch, length,
    width). index: (batch, student length), a teacher position or -1. A position without student tokens gets 0."""
    with torch.autocast(states.device.type, enabled=False):
        states = states.float().masked_fill(index[..., None] < 0, 0)  # 0 * NaN would be NaN
        return _means(_belongs(index, length)) @ states


def pool_attention(maps: Tensor, index: Tensor, length: int) -> Tensor:
    """Attention maps (batch, heads, student length, student length) as (batch, heads, length, length): the mean over
    query positions, the sum over key positions. index: as for `pool_states`."""
    belongs, outside = _belongs(index, length)[:, None], index < 0
    with torch.autocast(maps.device.type, enabled=False):
        maps = maps.float().masked_fill(outside[:, None, :, None] | outside[:, None, None, :], 0)
        return _means(belongs) @ (maps @ belongs.mT)


def _belongs(index: Tensor, length: int) -> Tensor:
    """1 where a student position belongs to a teacher position, else 0: (batch, length, student length). Products with
    it are several times as fast as `index_add`."""
    return (index[:, None, :] == torch.arange(length, device=index.device)[:, None]).float()


def _means(belongs: Tensor) -> Tensor:
    return belongs / belongs.sum(-1, keepdim=True).clamp(min=1)

"""Rows of numbers in 8 bits each, with a scale in half precision before each row."""

import torch
from torch import Tensor

SCALE = 2  # bytes of a row's scale
STEPS = 127  # the largest number of a row, in units of its scale


def to_bytes(rows: Tensor) -> Tensor:
    """uint8 [..., SCALE + n] of numbers [..., n]: each is rounded by about half of its row's largest / STEPS."""
    scale = (rows.abs().amax(-1, keepdim=True).float() / STEPS).half()
    steps = (rows.float() / scale.float()).nan_to_num(0).round().clamp(-STEPS, STEPS)  # a scale is 0 in a row of zeros
    return torch.cat([_viewed(scale, torch.uint8), steps.to(torch.int8).view(torch.uint8)], -1)


def from_bytes(rows: Tensor) -> Tensor:
    """The numbers [..., n] that `to_bytes` rounded, in half precision; those of bytes that are zeros are 0."""
    return _viewed(rows[..., :SCALE], torch.half) * rows[..., SCALE:].view(torch.int8)


def _viewed(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """The same bytes as numbers of another type. A copy has the strides that this needs, also of a single row."""
    return tensor.clone(memory_format=torch.contiguous_format).view(dtype)

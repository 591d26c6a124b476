"""Numbers in 8 bits."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from distillation.teacher_cache.eight_bits import from_bytes, to_bytes


def test_a_row_by_hand():
    """127 steps of 2: the third number becomes the next of them, and a byte more than 2 + 3 is not needed."""
    stored = to_bytes(torch.tensor([[254.0, -2.0, 3.1], [0.0, 0.0, 0.0]]))
    assert stored.shape == (2, 5) and stored.dtype == torch.uint8
    assert from_bytes(stored).tolist() == [[254, -2, 4], [0, 0, 0]]


@given(st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=20))
def test_no_number_is_off_by_more_than_half_a_step(row):
    """And by what half precision rounds: of the scale, and of the result."""
    row = torch.tensor([row])
    largest = row.abs().max()
    assert (from_bytes(to_bytes(row)) - row).abs().max() <= largest / 127 * 0.5 + largest * 2**-10 + 1e-5


def test_rows_can_be_padded():
    """As a batch pads them: behind the numbers."""
    stored = torch.nn.functional.pad(to_bytes(torch.ones(2, 3)), (0, 2, 0, 1))
    assert from_bytes(stored).tolist() == [[1, 1, 1, 0, 0]] * 2 + [[0] * 5]

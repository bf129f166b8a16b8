"""Selecting images and counting their classes."""

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from segdistill.inference.samples import (
    LONGEST_SIDE,
    class_pixels,
    evenly_spread,
    reduced_size,
    shares_of,
)


@settings(deadline=None)
@given(st.integers(0, 400), st.integers(1, 60))
def test_spread_is_even_and_without_repeats(length: int, count: int) -> None:
    chosen = evenly_spread(range(length), count)
    assert len(chosen) == min(length, count)
    gaps = {after - before for before, after in pairwise(chosen)}
    assert all(gap >= 1 for gap in gaps)
    assert not gaps or max(gaps) - min(gaps) <= 1
    if length and count > 1:
        assert (chosen[0], chosen[-1]) == (0, length - 1)


@settings(deadline=None)
@given(st.integers(1, 9000), st.integers(1, 9000))
def test_reduced_size_keeps_bounds_and_shape(height: int, width: int) -> None:
    rows, columns = reduced_size(height, width, LONGEST_SIDE)
    assert 1 <= rows <= height
    assert 1 <= columns <= width
    assert max(rows, columns) <= LONGEST_SIDE
    assert abs(rows * width - columns * height) <= max(height, width)


def test_shares_count_pixels() -> None:
    masks = [np.array([[0, 0, 1]], np.uint8), np.array([[1], [1]], np.uint8)]
    pixels = class_pixels(masks, 3)
    assert pixels.tolist() == [[2, 1, 0], [0, 2, 0]]
    assert shares_of(pixels.sum(axis=0)).tolist() == [0.4, 0.6, 0.0]
    assert shares_of(class_pixels([], 3).sum(axis=0)).tolist() == [0, 0, 0]

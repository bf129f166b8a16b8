from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segdistill.report.examples import (
    EXAMPLES,
    LONGEST_SIDE,
    best_window,
    choose_examples,
    class_pixels,
    evenly_spread,
    reduced_size,
    shares_of,
    sums_from_corner,
    widened,
    windows_in_mask,
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


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 9), st.integers(1, 12))
def test_best_window_holds_the_most(seed: int, height: int, width: int, side: int) -> None:
    present = np.random.default_rng(seed).random((height, width)) < 0.4
    rows, columns = best_window(sums_from_corner(present), side)
    found = present[rows, columns]
    assert found.shape == (min(side, height), min(side, width))
    every = [
        present[top : top + found.shape[0], left : left + found.shape[1]].sum()
        for top in range(height - found.shape[0] + 1)
        for left in range(width - found.shape[1] + 1)
    ]
    assert found.sum() == max(every)


@settings(deadline=None)
@given(st.data())
def test_widened_holds_the_part_and_stays_inside(data: st.DataObject) -> None:
    length = data.draw(st.integers(1, 50))
    start = data.draw(st.integers(0, length - 1))
    stop = data.draw(st.integers(start + 1, length))
    size = data.draw(st.integers(1, length))
    wide = widened(slice(start, stop), size, length)
    assert 0 <= wide.start <= start
    assert stop <= wide.stop <= length
    assert wide.stop - wide.start == max(size, stop - start)


def test_shares_count_pixels() -> None:
    masks = [np.array([[0, 0, 1]], np.uint8), np.array([[1], [1]], np.uint8)]
    pixels = class_pixels(masks, 3)
    assert pixels.tolist() == [[2, 1, 0], [0, 2, 0]]
    assert shares_of(pixels.sum(axis=0)).tolist() == [0.4, 0.6, 0.0]
    assert shares_of(class_pixels([], 3).sum(axis=0)).tolist() == [0, 0, 0]


def block(rows: slice, columns: slice) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    mask = np.zeros((400, 400), np.uint8)
    mask[rows, columns] = 1
    return mask


def test_examples_come_from_where_the_class_is_large_and_pure() -> None:
    speckled = block(slice(0, 0), slice(0, 0))
    speckled[::3, ::3] = 1
    masks = [
        block(slice(0, 40), slice(0, 40)),
        block(slice(100, 400), slice(0, 300)),
        speckled,
        block(slice(0, 0), slice(0, 0)),
        block(slice(200, 350), slice(200, 350)),
    ]
    chosen = choose_examples(masks, class_pixels(masks, 2), 1, count=3)
    assert [window.sample for window in chosen] == [1, 4, 0]
    for window in chosen:
        assert (masks[window.sample][window.rows, window.columns] == 1).mean() > 0.1
    assert [window.score for window in chosen] == sorted(
        (window.score for window in chosen), reverse=True
    )


def test_examples_are_of_different_images_first() -> None:
    several = block(slice(0, 120), slice(0, 120))
    several[280:, 280:] = several[280:, :120] = 1
    masks = [several, block(slice(0, 70), slice(0, 400))]
    chosen = choose_examples(masks, class_pixels(masks, 2), 1)
    assert len(chosen) == EXAMPLES
    assert {window.sample for window in chosen[:2]} == {0, 1}


def test_a_class_that_is_nowhere_has_no_examples() -> None:
    masks = [block(slice(0, 400), slice(0, 400))]
    assert choose_examples(masks, class_pixels(masks, 2), 0) == []


@pytest.mark.parametrize("shape", [(1, 1), (1, 640), (640, 1), (5, 300)])
def test_windows_of_narrow_masks_stay_inside(shape: tuple[int, int]) -> None:
    mask = np.ones(shape, np.uint8)
    windows = windows_in_mask(mask, 1, sample=0, count=4)
    assert windows
    for window in windows:
        assert mask[window.rows, window.columns].size
        assert window.rows.stop <= shape[0]
        assert window.columns.stop <= shape[1]

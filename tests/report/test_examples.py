"""Where classes are shown, and the pictures of them."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segdistill.images.folder import ImageFile
from segdistill.inference.samples import Sample, class_pixels
from segdistill.report.examples import (
    EXAMPLE_SIDE,
    EXAMPLES,
    Window,
    best_window,
    choose_examples,
    example_picture,
    integral_image,
    widened,
    windows_in_mask,
)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 9), st.integers(1, 12))
def test_best_window_holds_the_most(seed: int, height: int, width: int, side: int) -> None:
    present = np.random.default_rng(seed).random((height, width)) < 0.4
    rows, columns = best_window(integral_image(present), side)
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


def sample_of(height: int, width: int) -> Sample:
    mask = np.zeros((height, width), np.uint8)
    mask[:, width // 2 :] = 1
    image = np.random.default_rng(0).integers(60, 250, (height, width, 3), np.uint8)
    return Sample(ImageFile(Path("a.png"), Path("a.png")), image, mask)


def test_example_shows_the_class_and_dims_the_rest() -> None:
    sample = sample_of(100, 100)
    whole = Window(0, slice(0, 100), slice(0, 100), 1.0)
    picture = example_picture(sample, whole, 1)
    assert picture.shape == (EXAMPLE_SIDE, EXAMPLE_SIDE, 3)
    middle = EXAMPLE_SIDE // 2
    rest, shown = picture[:, : middle - 2], picture[:, middle + 4 :]
    assert np.ptp(rest.astype(int), axis=2).max() == 0  # grey
    assert rest.mean() < 0.5 * shown.mean()
    assert (picture[:, middle - 2 : middle + 2] == 255).all(axis=2).any(axis=1).all()
    # The border of the picture is no edge of the class.
    assert not (picture[:, -1] == 255).all(axis=1).any()


@pytest.mark.parametrize("size", [(1, 300), (300, 1), (1, 1)])
def test_example_of_a_narrow_image(size: tuple[int, int]) -> None:
    sample = sample_of(*size)
    picture = example_picture(sample, Window(0, slice(0, size[0]), slice(0, size[1]), 1.0), 1)
    assert max(picture.shape) == EXAMPLE_SIDE
    assert min(picture.shape[:2]) >= 1

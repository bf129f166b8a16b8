"""Crops and working sizes."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from segdistill.images.resize import Crop, Viewing, centre_of, crops_of, resize_image


@given(
    height=st.integers(1, 5000),
    width=st.integers(1, 5000),
    resolution=st.integers(32, 1000),
    multiple=st.sampled_from([8, 14, 16, 32]),
)
def test_sides_are_multiples_and_bounded(
    height: int, width: int, resolution: int, multiple: int
) -> None:
    resized, (rows, columns) = Viewing(resolution, multiple).sizes(height, width)
    assert resized == (rows, columns)
    assert rows % multiple == columns % multiple == 0
    assert min(rows, columns) >= multiple
    assert min(rows, columns) <= resolution + multiple
    assert rows <= 4 * height + multiple
    assert columns <= 4 * width + multiple


def test_the_shape_is_kept_within_a_cell() -> None:
    assert Viewing(320, 16).sizes(1000, 2000)[1] == (320, 640)


def test_five_crops_are_corners_and_centre() -> None:
    parts = [crop.pixels(100, 200) for crop in crops_of("five")]
    assert parts[0] == (slice(0, 50), slice(0, 100))
    assert parts[3] == (slice(50, 100), slice(100, 200))
    assert parts[4] == (slice(25, 75), slice(50, 150))


@given(height=st.integers(1, 50), width=st.integers(1, 50), crop=st.sampled_from(crops_of("five")))
def test_no_crop_is_empty_or_beyond(height: int, width: int, crop: Crop) -> None:
    rows, columns = crop.pixels(height, width)
    assert 0 <= rows.start < rows.stop <= height
    assert 0 <= columns.start < columns.stop <= width


def test_resizing_is_antialiased() -> None:
    fine = np.zeros((64, 64, 3), np.uint8)
    fine[:, ::2] = 255
    small = resize_image(fine, (8, 8))
    assert small.shape == (8, 8, 3)
    assert small[2:-2, 2:-2].min() > 100
    assert small[2:-2, 2:-2].max() < 155


@given(height=st.integers(1, 300), width=st.integers(1, 300))
def test_a_square_is_cut_from_the_middle(height: int, width: int) -> None:
    viewing = Viewing(32, 8, square=True, resampling="nearest")
    resized, size = viewing.sizes(height, width)
    assert min(resized) == 32
    assert size == (32, 32)
    assert viewing.apply(np.zeros((height, width, 3), np.uint8)).shape == (32, 32, 3)


def test_nearest_takes_single_pixels() -> None:
    fine = np.zeros((64, 64, 3), np.uint8)
    fine[:, ::2] = 255
    small = resize_image(fine, (8, 8), resampling="nearest")
    assert set(np.unique(small)) <= {0, 255}


def test_the_middle_of_an_array() -> None:
    assert centre_of(np.arange(12).reshape(3, 4), (1, 2)).tolist() == [[5, 6]]

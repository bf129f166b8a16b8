"""Augmented copies: what they show, and where it comes from."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.helpers import striped_image

from segdistill.images.augmentation import Augmentation, drawn_augmentation
from segdistill.images.resize import Crop


def ramp(height: int = 48, width: int = 64) -> np.ndarray:
    """Red grows to the right, green downwards."""
    image = np.zeros((height, width, 3), np.uint8)
    image[:, :, 0] = np.linspace(20, 220, width).round()[None]
    image[:, :, 1] = np.linspace(20, 220, height).round()[:, None]
    return image


def test_no_change_leaves_the_image_alone() -> None:
    image = striped_image(0)
    np.testing.assert_array_equal(Augmentation().apply(image), image)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("crop", [Crop(), Crop(0.1, 0.05, 0.85, 0.9)])
def test_a_place_is_followed_to_where_the_copy_shows_it(crop: Crop, *, mirrored: bool) -> None:
    image = ramp()
    height, width = image.shape[:2]
    change = Augmentation(crop, mirrored=mirrored)
    copy = change.apply(image).astype(float)
    for row, column in ((12, 14), (24, 40), (38, 52)):
        x, y = change.target((column + 0.5) / width, (row + 0.5) / height)
        # Red changes along rows only, green along columns only.
        red = np.interp(x * width - 0.5, np.arange(width), copy[height // 2, :, 0])
        green = np.interp(y * height - 0.5, np.arange(height), copy[:, width // 2, 1])
        assert abs(red - float(image[row, column, 0])) < 2.5
        assert abs(green - float(image[row, column, 1])) < 2.5


def test_what_a_crop_leaves_out_lies_outside_the_copy() -> None:
    change = Augmentation(Crop(0.1, 0.05, 0.85, 0.9))
    assert change.target(0.04, 0.09)[0] < 0 > change.target(0.04, 0.09)[1]
    assert change.target(0.96, 0.96)[0] > 1 < change.target(0.96, 0.96)[1]


@given(seed=st.text(max_size=8))
def test_drawn_changes_lie_in_the_papers_ranges(seed: str) -> None:
    change = drawn_augmentation(seed)
    crop = change.crop
    assert 0.8 * 0.99 <= crop.height * crop.width <= 1.0001
    assert 0 <= crop.left <= crop.left + crop.width <= 1 + 1e-9
    assert 0 <= crop.top <= crop.top + crop.height <= 1 + 1e-9
    assert 0.7 <= change.brightness <= 1.3
    assert abs(change.hue) <= 0.1
    assert 0 <= change.blur <= 2
    assert change == drawn_augmentation(seed)


def test_a_whole_turn_of_the_colour_circle_changes_nothing_much() -> None:
    image = striped_image(1)
    there = Augmentation(hue=0.25).apply(image)
    back = Augmentation(hue=-0.25).apply(there)
    assert np.abs(there.astype(int) - image).mean() > 20
    assert np.abs(back.astype(int) - image).mean() < 4


def test_grey_and_blur() -> None:
    image = striped_image(2)
    grey = Augmentation(grey=True).apply(image)
    assert (grey.max(axis=2) == grey.min(axis=2)).all()
    assert Augmentation(blur=2.0).apply(image).std() < image.std()


def test_keys_tell_changes_apart() -> None:
    keys = {drawn_augmentation(str(number)).key for number in range(50)}
    assert len(keys) == 50

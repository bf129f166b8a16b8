"""Small regions join a neighbour."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import ndimage

from segdistill.refinement.region_cleanup import absorb_small_regions, min_pixels

MASKS = arrays.arrays(
    np.uint8,
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    elements=st.sampled_from([0, 1, 2, 255]),
)


def regions_of(mask: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """Return the class and the pixels of each region, found one class at a time."""
    found = []
    for value in np.unique(mask):
        labels, count = ndimage.label(mask == value)
        found += [(int(value), labels == number + 1) for number in range(count)]
    return found


def neighbours_of(mask: np.ndarray, region: np.ndarray) -> dict[int, int]:
    """Return the border of a region, in pixel edges, with each class around it."""
    lengths: dict[int, int] = {}
    height, width = mask.shape
    for row, column in np.argwhere(region):
        for down, right in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            y, x = row + down, column + right
            if 0 <= y < height and 0 <= x < width and not region[y, x]:
                lengths[int(mask[y, x])] = lengths.get(int(mask[y, x]), 0) + 1
    return lengths


@settings(max_examples=200, deadline=None)
@given(mask=MASKS, smallest=st.integers(0, 12))
def test_what_is_left_is_large_or_has_nowhere_to_go(mask: np.ndarray, smallest: int) -> None:
    before = mask.copy()
    cleaned = absorb_small_regions(mask, smallest)
    np.testing.assert_array_equal(mask, before)
    assert cleaned.shape == mask.shape
    assert cleaned.dtype == np.uint8
    assert set(np.unique(cleaned)) <= set(np.unique(mask))
    np.testing.assert_array_equal(cleaned == 255, mask == 255)
    for value, region in regions_of(cleaned):
        if value != 255 and region.sum() < smallest:
            assert set(neighbours_of(cleaned, region)) <= {255}
    np.testing.assert_array_equal(absorb_small_regions(cleaned, smallest), cleaned)
    for value, region in regions_of(mask):
        if region.sum() >= smallest:
            assert (cleaned[region] == value).all()


def test_a_speck_joins_the_longest_border() -> None:
    mask = np.zeros((6, 6), np.uint8)
    mask[:, 3:] = 1
    mask[2, 2:4] = 2  # two pixels, one in each half: three edges with either, so the larger wins
    mask[5, 0:3] = 1
    assert (absorb_small_regions(mask, 3)[2] == [0, 0, 1, 1, 1, 1]).all()
    mask[2, 2] = 0
    assert (absorb_small_regions(mask, 3)[2] == [0, 0, 0, 1, 1, 1]).all()


def test_a_speck_in_a_speck_ends_in_the_surroundings() -> None:
    mask = np.zeros((9, 9), np.uint8)
    mask[3:6, 3:6] = 1
    mask[4, 4] = 2
    assert (absorb_small_regions(mask, 10) == 0).all()
    assert (absorb_small_regions(mask, 5) == np.where(mask == 2, 1, mask)).all()


def test_parts_that_meet_count_as_one() -> None:
    # The two halves of class 1 are small, but are joined where the speck between them goes.
    mask = np.zeros((6, 7), np.uint8)
    mask[2:4] = 1
    mask[2:4, 3] = 2
    assert (absorb_small_regions(mask, 10)[2:4] == 1).all()


def test_shares_and_masks_without_small_regions() -> None:
    assert min_pixels(0.001, 100, 100) == 10
    mask = np.zeros((4, 4), np.uint8)
    mask[2:] = 3
    assert absorb_small_regions(mask, 8) is mask
    assert absorb_small_regions(mask, 0) is mask
    single = np.full((1, 1), 7, np.uint8)
    assert absorb_small_regions(single, 5).tolist() == [[7]]


def test_pixels_without_data_take_and_give_nothing() -> None:
    mask = np.full((5, 5), 255, np.uint8)
    mask[2, 2] = 1
    np.testing.assert_array_equal(absorb_small_regions(mask, 9), mask)

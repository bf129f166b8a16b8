"""Cutting a mask into regions."""

import numpy as np
import pytest
from tests.export.exporting import PATTERN, random_mask

from segdistill.export.regions import find_regions, iterate_regions


@pytest.mark.parametrize("connected", [True, False])
def test_regions_make_up_the_mask(connected: bool) -> None:
    for mask in (PATTERN, random_mask(0)):
        regions = find_regions(mask, connected=connected)
        inside = mask != 255
        assert ((regions.numbers > 0) == inside).all()
        assert (regions.classes[regions.numbers[inside] - 1] == mask[inside]).all()
        found = list(iterate_regions(regions))
        assert [each.number for each in found] == list(range(1, len(regions.classes) + 1))
        for each in found:
            h, w = each.pixels.shape
            part = regions.numbers[each.top : each.top + h, each.left : each.left + w]
            assert (each.pixels == (part == each.number)).all()
            assert each.pixels.sum() == (regions.numbers == each.number).sum()


def test_pixels_that_meet_at_a_corner_are_two_regions() -> None:
    regions = find_regions(np.array([[0, 1], [1, 0]], np.uint8), connected=True)
    assert len(regions.classes) == 4
    assert regions.classes.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("connected", [True, False])
def test_small_parts_are_left_out(connected: bool) -> None:
    mask = np.array([[0, 1, 0, 0], [0, 1, 1, 2]], np.uint8)
    regions = find_regions(mask, connected=connected, min_area=2)
    assert ((regions.numbers > 0) == (mask != 2)).all()
    assert regions.classes.tolist() == ([0, 0, 1] if connected else [0, 1])
    assert len(find_regions(mask, connected=connected, min_area=9).classes) == 0


def test_the_highest_class() -> None:
    mask = np.array([[254, 255, 0]], np.uint8)
    assert find_regions(mask, connected=True).classes.tolist() == [0, 254]
    assert find_regions(mask, connected=False).numbers.tolist() == [[2, 0, 1]]

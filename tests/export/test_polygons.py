"""Polygons along the edges of pixels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from shapely.geometry import Polygon
from tests.export.exporting import PATTERN, Mask, filled, random_mask

from segdistill.export.polygons import outlines, ring_area, without_holes
from segdistill.export.regions import find_regions
from segdistill.export.shapes import find_shapes

small_masks = arrays.arrays(
    np.uint8,
    arrays.array_shapes(min_dims=2, max_dims=2, max_side=9),
    elements=st.sampled_from([0, 1, 2, 255]),
)


@settings(deadline=None, max_examples=150)
@given(small_masks)
def test_polygons_drawn_again_are_the_mask(mask: Mask) -> None:
    regions = find_regions(mask, connected=True)
    traced = outlines(regions.numbers, len(regions.classes))
    assert len(traced) == len(regions.classes)
    for number, rings in enumerate(traced, start=1):
        region = regions.numbers == number
        assert (filled(rings, mask.shape) == region).all()
        assert (filled([without_holes(rings)], mask.shape) == region).all()


@settings(deadline=None, max_examples=150)
@given(small_masks)
def test_polygons_are_valid_and_turn_the_right_way(mask: Mask) -> None:
    regions = find_regions(mask, connected=True)
    for number, rings in enumerate(outlines(regions.numbers, len(regions.classes)), start=1):
        around, *holes = rings
        polygon = Polygon(around, holes)
        assert polygon.is_valid
        assert polygon.area == (regions.numbers == number).sum()
        assert ring_area(around) > 0
        assert all(ring_area(hole) < 0 for hole in holes)
        # With holes running the other way, the winding rule fills the same as the even-odd one.
        assert ring_area(without_holes(rings)) == polygon.area


@settings(deadline=None, max_examples=60)
@given(small_masks)
def test_the_outlines_of_a_whole_class_draw_it(mask: Mask) -> None:
    regions = find_regions(mask, connected=False)
    traced = outlines(regions.numbers, len(regions.classes))
    for class_index, rings in zip(regions.classes, traced, strict=True):
        assert (filled(rings, mask.shape) == (mask == class_index)).all()


def test_no_corner_is_wasted() -> None:
    for rings in outlines(find_regions(PATTERN, connected=True).numbers, 30):
        for ring in rings:
            before, after = np.roll(ring, 1, axis=0), np.roll(ring, -1, axis=0)
            assert ((before == ring).sum(axis=1) == 1).all()
            assert ((after == ring).sum(axis=1) == 1).all()
            assert ((before == after).sum(axis=1) == 0).all()


def test_a_nest_of_many_holes() -> None:
    # Each cut leads into the ring around the next hole: no recursion may run out of stack.
    side = 2501
    mask = np.zeros((3, side), np.uint8)
    mask[1, 1:-1:2] = 1
    regions = find_regions(mask, connected=True)
    [rings] = outlines(regions.numbers, len(regions.classes))[:1]
    assert len(rings) == 1 + side // 2
    assert (filled([without_holes(rings)], mask.shape) == (mask == 0)).all()


@pytest.mark.parametrize("connected", [True, False])
def test_shapes_know_their_area_and_box(connected: bool) -> None:
    mask = random_mask(3)
    shapes = find_shapes(mask, connected=connected)
    assert sum(shape.area for shape in shapes) == mask.size
    assert len(shapes) == (len(find_regions(mask, connected=True).classes) if connected else 3)
    for shape in shapes:
        rows, columns = np.nonzero(filled([r for part in shape.parts for r in part], mask.shape))
        assert shape.area == len(rows)
        left, top, width, height = shape.box
        assert (left, top) == (columns.min(), rows.min())
        assert (left + width, top + height) == (columns.max() + 1, rows.max() + 1)
        assert (mask[rows, columns] == shape.class_index).all()


def test_an_image_of_one_pixel_and_one_of_nothing() -> None:
    [shape] = find_shapes(np.zeros((1, 1), np.uint8), connected=True)
    assert shape.parts[0][0].tolist() == [[0, 0], [1, 0], [1, 1], [0, 1]]
    assert find_shapes(np.full((2, 2), 255, np.uint8), connected=True) == []

"""Regions of a mask, and their polygons along the edges of pixels."""

from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.export.exporting import (
    PATTERN,
    Mask,
    export,
    filled,
    random_mask,
    small_masks,
    write_masks,
)

from segdistill.export.polygons import Ring, find_shapes, without_holes
from segdistill.export.regions import find_regions

NEST = np.zeros((3, 2501), np.uint8)
"""A region with 1250 holes side by side."""
NEST[1, 1:-1:2] = 1


def rings_of(polygon: shapely.Polygon) -> list[Ring]:
    rings = [polygon.exterior, *polygon.interiors]
    return [shapely.get_coordinates(ring)[:-1] for ring in rings]


def drawn(rings: list[Ring], size: tuple[int, int]) -> NDArray[np.bool_]:
    assert all((ring == ring.astype(int)).all() for ring in rings)
    return filled([ring.astype(int) for ring in rings], size)


@settings(deadline=None, max_examples=150)
@given(small_masks)
@example(PATTERN)
@example(NEST)
@example(np.array([[254, 255, 0]], np.uint8))
def test_polygons_drawn_again_are_the_mask(mask: Mask) -> None:
    regions = find_regions(mask, connected=True)
    assert ((regions.numbers > 0) == (mask != 255)).all()
    shapes = find_shapes(mask, connected=True)
    assert [shape.class_index for shape in shapes] == regions.classes.tolist()
    assert [shape.area for shape in shapes] == regions.areas.tolist()
    for number, shape in enumerate(shapes, start=1):
        region = regions.numbers == number
        assert (mask[region] == shape.class_index).all()
        assert shape.geometry.is_valid
        assert shape.geometry.exterior.is_ccw
        assert not any(hole.is_ccw for hole in shape.geometry.interiors)
        assert (drawn(rings_of(shape.geometry), mask.shape) == region).all()
        joined = without_holes(shape.geometry)
        assert (drawn([joined], mask.shape) == region).all()
        # With holes running the other way, the winding rule fills the same as the even-odd one.
        assert shapely.Polygon(joined).area == region.sum()


@settings(deadline=None, max_examples=60)
@given(small_masks)
@example(np.array([[254, 255, 0]], np.uint8))
def test_a_class_is_one_region_of_many_parts(mask: Mask) -> None:
    present = np.unique(mask[mask != 255]).tolist()
    regions = find_regions(mask, connected=False)
    assert regions.classes.tolist() == present
    assert (regions.classes[regions.numbers[mask != 255] - 1] == mask[mask != 255]).all()
    shapes = find_shapes(mask, connected=False)
    assert [shape.class_index for shape in shapes] == present
    for shape in shapes:
        assert shape.geometry.is_valid
        parts = shapely.get_parts(shape.geometry)
        rings = [ring for part in parts for ring in rings_of(part)]
        assert (drawn(rings, mask.shape) == (mask == shape.class_index)).all()


@settings(deadline=None, max_examples=150)
@given(mask=small_masks, tolerance=st.sampled_from([0.5, 1.0, 3.0]))
def test_simplified_polygons_stay_valid_and_apart(mask: Mask, tolerance: float) -> None:
    exact = find_shapes(mask, connected=True)
    simple = find_shapes(mask, connected=True, simplify=tolerance)
    polygons = [shape.geometry for shape in simple]
    assert shapely.is_valid(polygons).all()
    # No overlaps, and the same vertices along shared borders.
    assert shapely.coverage_is_valid(polygons)
    for before, after in zip(exact, simple, strict=True):
        assert after.class_index == before.class_index
        assert shapely.get_num_interior_rings(after.geometry) == len(before.geometry.interiors)
        corners = set(map(tuple, shapely.get_coordinates(before.geometry).tolist()))
        assert set(map(tuple, shapely.get_coordinates(after.geometry).tolist())) <= corners
        assert after.geometry.exterior.is_ccw
        joined = shapely.Polygon(without_holes(after.geometry))
        assert joined.area == pytest.approx(after.geometry.area, abs=1e-6)


def test_a_circle_keeps_its_shape_with_few_corners() -> None:
    rows, columns = np.mgrid[:200, :200]
    mask = np.where((rows - 100) ** 2 + (columns - 100) ** 2 < 80**2, 1, 0).astype(np.uint8)
    exact, simple = (
        [shape.geometry for shape in find_shapes(mask, connected=True, simplify=tolerance)]
        for tolerance in (0.0, 1.0)
    )
    assert [len(polygon.interiors) for polygon in simple] == [1, 0]
    assert len(simple[1].exterior.coords) < len(exact[1].exterior.coords) / 2
    assert simple[1].intersection(exact[1]).area / simple[1].union(exact[1]).area > 0.98


@pytest.mark.parametrize("simplify", [0.0, 1.0])
@pytest.mark.parametrize("connected", [True, False])
def test_a_mask_of_nothing_has_no_polygons(simplify: float, connected: bool) -> None:
    nothing = np.full((2, 2), 255, np.uint8)
    assert find_shapes(nothing, connected=connected, simplify=simplify) == []


def test_pixels_that_meet_at_a_corner_are_two_regions() -> None:
    mask = np.array([[0, 1], [1, 0]], np.uint8)
    assert find_regions(mask, connected=True).classes.tolist() == [0, 0, 1, 1]


def test_small_regions_are_counted_and_leave_no_holes(tmp_path: Path) -> None:
    mask = np.zeros((40, 50), np.uint8)
    mask[10:12, 10:12] = 1
    mask[:, 40:] = 255
    mask[5, 45] = 1  # alone among pixels that are not exported
    folder = write_masks(tmp_path / "masks", {"a.png": mask})
    done = export("yolo", folder, tmp_path / "out", min_region=0.01, simplify=1.0)
    assert (done.small_regions, done.small_pixels) == (2, 5)
    assert done.small_share == pytest.approx(5 / 2000)
    (line,) = (tmp_path / "out/labels/train/a.txt").read_text().splitlines()
    number, *shares = line.split()
    corners = np.array(shares, np.float64).reshape(-1, 2) * (50, 40)
    assert number == "0"
    assert filled([corners.round().astype(int)], (40, 50))[:, :40].all()


def test_regions_below_the_smallest_area_are_left_out(tmp_path: Path) -> None:
    mask = random_mask(3)
    folder = write_masks(tmp_path / "masks", {"a.png": mask})
    done = export("yolo", folder, tmp_path / "out", min_area=5)
    areas = find_regions(mask, connected=True).areas
    assert done.small_regions == (areas < 5).sum() > 0
    lines = (tmp_path / "out/labels/train/a.txt").read_text().splitlines()
    assert len(lines) == (areas >= 5).sum()

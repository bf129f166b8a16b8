"""Polygons lose corners, but neighbours keep their borders."""

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from tests.export.exporting import export, filled, write_masks

from segdistill.export.polygons import outlines, ring_area, without_holes
from segdistill.export.regions import find_regions
from segdistill.export.shapes import find_shapes
from segdistill.export.simplification import simplify_polygons

MASKS = arrays.arrays(
    np.uint8,
    st.tuples(st.integers(1, 12), st.integers(1, 12)),
    elements=st.sampled_from([0, 1, 255]),
)


def polygons_of(mask: np.ndarray) -> list[list[np.ndarray]]:
    regions = find_regions(mask, connected=True)
    return outlines(regions.numbers, len(regions.classes))


@settings(max_examples=150, deadline=None)
@given(mask=MASKS, tolerance=st.sampled_from([0.5, 1.0, 3.0]))
def test_polygons_stay_valid_and_apart(mask: np.ndarray, tolerance: float) -> None:
    before = polygons_of(mask)
    after = simplify_polygons(before, tolerance)
    shapes = []
    for old, new in zip(before, after, strict=True):
        assert len(old) == len(new)
        for one, other in zip(old, new, strict=True):
            assert 3 <= len(other) <= np.abs(np.roll(one, -1, axis=0) - one).sum()
            assert (ring_area(one) > 0) == (ring_area(other) > 0)
        shape = shapely.Polygon(new[0], new[1:])
        assert shape.is_valid
        shapes.append(shape)
    for index, shape in enumerate(shapes):
        for other in shapes[:index]:
            assert shape.intersection(other).area == pytest.approx(0)
    # Together they cover what they covered, but for corners cut off at the outer border.
    total = sum(shape.area for shape in shapes)
    assert total == pytest.approx(shapely.union_all(shapes).area)


@settings(max_examples=100, deadline=None)
@given(mask=MASKS)
def test_holes_joined_to_the_ring_around_them_enclose_the_same(mask: np.ndarray) -> None:
    for polygon in simplify_polygons(polygons_of(mask), 1.0):
        ring = without_holes(polygon)
        expected = sum(ring_area(each) for each in polygon)
        assert ring_area(ring) == pytest.approx(expected, abs=1e-6)


def test_a_circle_keeps_its_shape_with_few_corners() -> None:
    rows, columns = np.mgrid[:200, :200]
    mask = np.where((rows - 100) ** 2 + (columns - 100) ** 2 < 80**2, 1, 0).astype(np.uint8)
    exact, simple = (
        find_shapes(mask, connected=True, simplify=tolerance) for tolerance in (0.0, 1.0)
    )
    assert [len(shape.parts[0]) for shape in simple] == [2, 1]
    corners = sum(len(ring) for shape in simple for ring in shape.parts[0])
    assert corners < sum(len(ring) for shape in exact for ring in shape.parts[0]) / 2
    circle = shapely.Polygon(simple[1].parts[0][0])
    right = shapely.Polygon(exact[1].parts[0][0])
    assert circle.intersection(right).area / circle.union(right).area > 0.98


def test_small_regions_are_counted_and_leave_no_holes(tmp_path) -> None:  # type: ignore[no-untyped-def]
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

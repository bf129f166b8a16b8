"""Polygon simplification that preserves shared borders.

Outlines along pixel edges have a vertex at every step. The Visvalingam-Whyatt algorithm removes
vertices that span little area. GEOS applies it to all polygons of an image at once
(``coverage_simplify``), which avoids gaps and overlaps between neighbours and is as fast as
simplifying one polygon at a time.
"""

from collections.abc import Sequence

import numpy as np
import shapely
from numpy.typing import NDArray

from segdistill.export.polygons import Ring, ring_area

Polygon = Sequence[Ring]
"""The exterior ring of a polygon, then the rings of its holes."""


def simplify_polygons(polygons: Sequence[Polygon], tolerance: float) -> list[list[Ring]]:
    """Simplify polygons.

    Args:
        polygons: polygons that do not overlap, with rings along pixel edges.
        tolerance: in pixels; vertices that span a triangle smaller than its square are removed.
            0 changes nothing.

    Returns:
        The same number of valid polygons, with the same rings in the same orientation.

    Example:
        >>> stairs = np.array([[0, 0], [1, 0], [1, 1], [2, 1], [2, 2], [3, 2], [3, 3], [0, 3]])
        >>> [[ring]] = simplify_polygons([[stairs]], 1.0)
        >>> len(ring) < len(stairs)
        True
    """
    if not tolerance or not polygons:
        return [list(polygon) for polygon in polygons]
    # GEOS requires neighbours to have the same vertices along a shared border.
    shapes = [
        shapely.Polygon(_densify(polygon[0]), [_densify(ring) for ring in polygon[1:]])
        for polygon in polygons
    ]
    simple = shapely.coverage_simplify(shapes, tolerance, simplify_boundary=True)
    return [
        [
            _restore_orientation(np.asarray(ring.coords)[:-1], before)
            for ring, before in zip([each.exterior, *each.interiors], polygon, strict=True)
        ]
        for each, polygon in zip(simple, polygons, strict=True)
    ]


def _densify(ring: Ring) -> NDArray[np.number]:
    """Return an open ring with a vertex at every pixel corner."""
    steps = np.roll(ring, -1, axis=0) - ring
    lengths = np.abs(steps).sum(axis=1)
    start = np.repeat(ring, lengths, axis=0)
    offset = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    corners: NDArray[np.number] = start + offset[:, None] * np.repeat(
        np.sign(steps), lengths, axis=0
    )
    return corners


def _restore_orientation(ring: NDArray[np.float64], before: Ring) -> Ring:
    """Return a ring in its original orientation, as integers: vertices are never moved."""
    corners = np.rint(ring).astype(np.int64)
    return corners if (ring_area(corners) > 0) == (ring_area(before) > 0) else corners[::-1]

"""Polygons with fewer corners, in which neighbours still share their borders.

Outlines along the edges of pixels have a corner at every step. Visvalingam and Whyatt's method
leaves out corners that span little area; GEOS does it for all polygons of an image at once
(``coverage_simplify``), so that no gaps and overlaps open between neighbours. Simplifying each
polygon by itself would be no faster, and tear them apart.
"""

from collections.abc import Sequence

import numpy as np
import shapely
from numpy.typing import NDArray

from segdistill.export.polygons import Ring, ring_area

Polygon = Sequence[Ring]
"""The ring around a polygon, then those around its holes."""


def simplified(polygons: Sequence[Polygon], tolerance: float) -> list[list[Ring]]:
    """Return polygons with fewer corners.

    Args:
        polygons: that share borders but do not overlap, their rings along the edges of pixels.
        tolerance: in pixels; corners that span a triangle of less than its square are left out.
            0 changes nothing.

    Returns:
        As many valid polygons, with the same number of rings, each running as it did.

    Example:
        >>> stairs = np.array([[0, 0], [1, 0], [1, 1], [2, 1], [2, 2], [3, 2], [3, 3], [0, 3]])
        >>> [[ring]] = simplified([[stairs]], 1.0)
        >>> len(ring) < len(stairs)
        True
    """
    if not tolerance or not polygons:
        return [list(polygon) for polygon in polygons]
    # Neighbours must have all corners of a common border in common: one at every pixel.
    shapes = [
        shapely.Polygon(_every_pixel(polygon[0]), [_every_pixel(ring) for ring in polygon[1:]])
        for polygon in polygons
    ]
    simple = shapely.coverage_simplify(shapes, tolerance, simplify_boundary=True)
    return [
        [
            _like(np.asarray(ring.coords)[:-1], before)
            for ring, before in zip([each.exterior, *each.interiors], polygon, strict=True)
        ]
        for each, polygon in zip(simple, polygons, strict=True)
    ]


def _every_pixel(ring: Ring) -> NDArray[np.number]:
    """Return a ring with a corner at every pixel that it passes, not closed."""
    steps = np.roll(ring, -1, axis=0) - ring
    lengths = np.abs(steps).sum(axis=1)
    start = np.repeat(ring, lengths, axis=0)
    offset = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    corners: NDArray[np.number] = start + offset[:, None] * np.repeat(
        np.sign(steps), lengths, axis=0
    )
    return corners


def _like(ring: NDArray[np.float64], before: Ring) -> Ring:
    """Return a ring that runs the way it did, in whole numbers: corners are never moved."""
    corners = np.rint(ring).astype(np.int64)
    return corners if (ring_area(corners) > 0) == (ring_area(before) > 0) else corners[::-1]

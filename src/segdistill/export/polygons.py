"""Regions of a mask as polygons along pixel edges, exact or simplified.

Coordinates are in pixels from the top left corner of the image, x to the right and y down. The
centre of the first pixel is at (0.5, 0.5).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from segdistill.export.regions import find_regions

Ring = NDArray[np.float64]
"""Vertices (x, y) of a closed ring, shape (vertices, 2); the first is not repeated at the end."""


@dataclass(frozen=True)
class Shape:
    """A region as polygons.

    Attributes:
        class_index: exported class index.
        geometry: a shapely ``Polygon``, or a ``MultiPolygon`` of connected components. On screen,
            exterior rings are clockwise and holes anticlockwise.
    """

    class_index: int
    geometry: Any

    @property
    def area(self) -> int:
        """The area in pixels, equal to the pixel count unless the outlines are simplified."""
        return int(self.geometry.area + 0.5)


def find_shapes(mask: NDArray[np.uint8], *, connected: bool, simplify: float = 0.0) -> list[Shape]:
    """Return the regions of a mask as polygons.

    Polygons have a vertex wherever three regions meet, so neighbours share their borders.
    Simplification (Visvalingam-Whyatt) removes vertices that span little area, from all polygons of
    the mask at once, which leaves no gaps or overlaps.

    Args:
        mask: class indices, 255 for none, shape (height, width).
        connected: one region per connected component; otherwise one per class.
        simplify: tolerance in pixels; vertices that span a triangle smaller than its square are
            removed. With 0, rasterising the polygons gives exactly the mask.

    Example:
        >>> [shape] = find_shapes(np.array([[0, 255, 0]], np.uint8), connected=False)
        >>> shape.area, shape.geometry.bounds, shape.geometry.geom_type
        (2, (0.0, 0.0, 3.0, 1.0), 'MultiPolygon')
    """
    regions = find_regions(mask, connected=True)
    faces = shapely.get_parts(shapely.polygonize(_edges(regions.numbers)))
    x, y = shapely.get_coordinates(shapely.point_on_surface(faces)).astype(int).T
    numbers = regions.numbers[y, x]
    # Faces without a number are holes that are not exported.
    order = np.argsort(numbers)[np.count_nonzero(numbers == 0) :]
    polygons = faces[order]
    if simplify:
        polygons = shapely.coverage_simplify(polygons, simplify, simplify_boundary=True)
    polygons = shapely.orient_polygons(polygons)
    classes = regions.classes.tolist()
    if not connected:
        classes = sorted(set(classes))
        polygons = [_together(polygons[regions.classes == each]) for each in classes]
    return [Shape(*each) for each in zip(classes, polygons, strict=True)]


def without_holes(polygon: shapely.Polygon) -> Ring:
    """Join the rings of a polygon into one, for formats that do not support holes.

    From the leftmost vertex of each hole, a horizontal bridge leads left to the nearest edge and
    back. It has no area, so the hole stays empty under the even-odd and the non-zero winding rule.

    Example:
        >>> corners = np.array([(0, 0), (1, 0), (1, 1), (0, 1)])
        >>> polygon = shapely.Polygon(3 * corners, [corners[::-1] + 1])
        >>> without_holes(polygon).astype(int).tolist()
        [[0, 0], [3, 0], [3, 3], [0, 3], [0, 1], [1, 1], [1, 2], [2, 2], [2, 1], [1, 1], [0, 1]]
    """
    ring = _vertices(polygon.exterior)
    holes = [_from_leftmost(_vertices(hole)) for hole in polygon.interiors]
    # From left to right, so that an edge on the left is already part of the ring.
    for hole in sorted(holes, key=lambda hole: float(hole[0, 0])):
        (x, y), ends = hole[0], np.roll(ring, -1, axis=0)
        downward = (ring[:, 1] < ends[:, 1])[:, None]
        upper, lower = np.where(downward, ring, ends), np.where(downward, ends, ring)
        met = np.flatnonzero((upper[:, 1] <= y) & (y < lower[:, 1]))
        slope = (lower[met, 0] - upper[met, 0]) / (lower[met, 1] - upper[met, 1])
        crossing = upper[met, 0] + slope * (y - upper[met, 1])
        crossing[crossing > x + 1e-9] = -np.inf
        nearest = int(np.argmax(crossing))
        edge = met[nearest] + 1
        foot = [[crossing[nearest], y]]
        ring = np.concatenate([ring[:edge], foot, hole, hole[:1], foot, ring[edge:]])
    repeated = (ring == np.roll(ring, 1, axis=0)).all(axis=1)
    distinct: Ring = ring[~repeated]
    return distinct


def _edges(numbers: NDArray[np.integer]) -> Any:
    """Return the borders between regions as lines from one corner or junction to the next."""
    framed = np.pad(numbers, 1)
    level = framed[:-1, 1:-1] != framed[1:, 1:-1]  # (height + 1, width)
    upright = framed[1:-1, :-1] != framed[1:-1, 1:]  # (height, width + 1)
    horizontal, vertical = _straight_runs(level, upright), _straight_runs(upright.T, level.T)
    return shapely.linestrings(np.concatenate([horizontal, vertical[:, :, ::-1]]))


def _straight_runs(level: NDArray[np.bool_], upright: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the ends of runs of horizontal borders, cut where vertical ones meet them."""
    met = np.zeros((len(level), upright.shape[1]), np.bool_)
    met[1:] |= upright
    met[:-1] |= upright
    framed = np.pad(level, ((0, 0), (1, 1)))
    left, right = framed[:, :-1], framed[:, 1:]  # the edges on both sides of each corner
    y, start = np.nonzero(right & (met | ~left))
    end = np.nonzero(left & (met | ~right))[1]
    return np.array([[start, y], [end, y]], np.float64).transpose(2, 0, 1)  # (runs, 2, 2)


def _together(polygons: NDArray[np.object_]) -> Any:
    """Return one geometry of all polygons: a multipolygon unless there is only one."""
    return polygons[0] if len(polygons) == 1 else shapely.multipolygons(polygons)


def _vertices(ring: shapely.LinearRing) -> Ring:
    vertices: Ring = shapely.get_coordinates(ring)[:-1]
    return vertices


def _from_leftmost(ring: Ring) -> Ring:
    """Return a ring that starts at its leftmost vertex, the topmost of several."""
    return np.roll(ring, -np.lexsort((ring[:, 1], ring[:, 0]))[0], axis=0)

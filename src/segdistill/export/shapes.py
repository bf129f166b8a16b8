"""Regions of a mask as polygons."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segdistill.export.polygons import Ring, outlines, ring_area
from segdistill.export.regions import find_regions
from segdistill.export.simplification import simplify_polygons


@dataclass(frozen=True)
class Shape:
    """A region as polygons.

    Attributes:
        class_index: exported class index.
        parts: connected components, each an exterior ring followed by its holes.
    """

    class_index: int
    parts: Sequence[Sequence[Ring]]

    @property
    def area(self) -> int:
        """The area in pixels, equal to the pixel count unless the outlines are simplified."""
        # Holes have the opposite orientation, so their areas are negative.
        return round(sum(ring_area(ring) for part in self.parts for ring in part))

    @property
    def box(self) -> tuple[int, int, int, int]:
        """The bounding box: left, top, width and height."""
        corners = np.concatenate([part[0] for part in self.parts])
        (left, top), (right, bottom) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
        return left, top, right - left, bottom - top


def find_shapes(
    mask: NDArray[np.uint8], *, connected: bool, min_area: int = 1, simplify: float = 0.0
) -> list[Shape]:
    """Return the regions of a mask as polygons.

    Args:
        mask: class indices, 255 for none, shape (height, width).
        connected: one region per connected component; otherwise one per class.
        min_area: drop connected components with fewer pixels.
        simplify: tolerance in pixels; see
            :func:`~segdistill.export.simplification.simplify_polygons`.

    Example:
        >>> [shape] = find_shapes(np.array([[0, 255, 0]], np.uint8), connected=False)
        >>> shape.area, shape.box, len(shape.parts)
        (2, (0, 0, 3, 1), 2)
    """
    regions = find_regions(mask, connected=True, min_area=min_area)
    parts = simplify_polygons(outlines(regions.numbers, len(regions.classes)), simplify)
    class_indices = regions.classes.tolist()
    if connected:
        return [
            Shape(class_index, [part])
            for class_index, part in zip(class_indices, parts, strict=True)
        ]
    together: dict[int, list[Sequence[Ring]]] = defaultdict(list)
    for class_index, part in zip(class_indices, parts, strict=True):
        together[class_index].append(part)
    return [Shape(class_index, each) for class_index, each in together.items()]

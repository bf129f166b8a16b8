"""The regions of a mask as polygons."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segdistill.export.polygons import Ring, outlines, ring_area
from segdistill.export.regions import find_regions
from segdistill.export.simplification import simplified


@dataclass(frozen=True)
class Shape:
    """A region as polygons.

    Attributes:
        place: of its class.
        parts: its connected parts, each the ring around it, then those around its holes.
    """

    place: int
    parts: Sequence[Sequence[Ring]]

    @property
    def area(self) -> int:
        """Its area in pixels: their number, unless the outlines are simplified."""
        # Rings of holes run the other way, so that their areas are negative.
        return round(sum(ring_area(ring) for part in self.parts for ring in part))

    @property
    def box(self) -> tuple[int, int, int, int]:
        """The smallest box around it: first column, first row, width and height."""
        corners = np.concatenate([part[0] for part in self.parts])
        (left, top), (right, bottom) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
        return left, top, right - left, bottom - top


def find_shapes(
    mask: NDArray[np.uint8], *, connected: bool, min_area: int = 1, simplify: float = 0.0
) -> list[Shape]:
    """Return the regions of a mask as polygons.

    Args:
        mask: classes, 255 for none, shape (height, width).
        connected: each connected part of a class by itself; otherwise all of a class together.
        min_area: leave out connected parts of fewer pixels.
        simplify: tolerance in pixels; see :func:`~segdistill.export.simplification.simplified`.

    Example:
        >>> [shape] = find_shapes(np.array([[0, 255, 0]], np.uint8), connected=False)
        >>> shape.area, shape.box, len(shape.parts)
        (2, (0, 0, 3, 1), 2)
    """
    regions = find_regions(mask, connected=True, min_area=min_area)
    parts = simplified(outlines(regions.numbers, len(regions.classes)), simplify)
    places = regions.classes.tolist()
    if connected:
        return [Shape(place, [part]) for place, part in zip(places, parts, strict=True)]
    together: dict[int, list[Sequence[Ring]]] = defaultdict(list)
    for place, part in zip(places, parts, strict=True):
        together[place].append(part)
    return [Shape(place, each) for place, each in together.items()]

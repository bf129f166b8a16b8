"""Polygons along pixel edges; rasterising them gives exactly the mask.

Coordinates are in pixels from the top left corner of the image, x to the right and y down. The
centre of the first pixel is at (0.5, 0.5).
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ring = NDArray[np.number]
"""Vertices (x, y) of a closed ring, shape (vertices, 2); the first is not repeated at the end."""

Points = list[tuple[float, float]]

# The four pixels around a pixel corner are numbered 0 1 above 2 3. Bit 0 is the column, bit 1 the
# row.
_ACROSS, _DOWN, _DIAGONAL = 1, 2, 3


class _Corners(NamedTuple):
    """Corners of outlines; each array has shape (corners,).

    Attributes:
        region: region number.
        y: y coordinate.
        x: x coordinate.
        right: 1 if the horizontal edge goes right, 0 if left.
        down: 1 if the vertical edge goes down, 0 if up.
    """

    region: NDArray[np.int64]
    y: NDArray[np.int64]
    x: NDArray[np.int64]
    right: NDArray[np.int64]
    down: NDArray[np.int64]


class _Bridge(NamedTuple):
    """A horizontal bridge from a hole to another ring.

    Attributes:
        x: x of the hole's leftmost vertex, the topmost if there are several.
        y: y of that vertex and of the bridge.
        ring: index of the other ring.
        edge: index of the edge of that ring.
        end: x at which the bridge meets the edge.
    """

    x: int
    y: int
    ring: int
    edge: int
    end: float


def outlines(numbers: NDArray[np.integer], count: int) -> list[list[Ring]]:
    """Trace the outlines of all regions of an image.

    Pixels of a region that only share a corner stay joined in the outline. For 4-connected regions,
    no ring touches itself and rings of a region touch at most at single points, so the polygons are
    valid by the OGC definition.

    Args:
        numbers: region number of each pixel, from 1; 0 for none; shape (height, width).
        count: number of regions.

    Returns:
        The rings of each region: first the exterior and, if the region is connected, then the
        holes. On screen, exterior rings are clockwise and holes anticlockwise.

    Example:
        >>> [[rings]] = [outlines(np.array([[1, 1, 0]]), 1)]
        >>> rings[0].tolist()
        [[0, 0], [2, 0], [2, 1], [0, 1]]
    """
    corners = _corners(numbers)
    points = np.stack([corners.x, corners.y], axis=1)  # (corners,) twice -> (corners, 2)
    found: list[list[Ring]] = [[] for _ in range(count)]
    for members in _trace_rings(_vertical_edge_ends(corners)):
        rings = found[int(corners.region[members[0]]) - 1]
        ring = points[members]
        rings.append(np.concatenate([ring[:1], ring[:0:-1]]) if rings else ring)
    return found


def without_holes(rings: Sequence[Ring]) -> Ring:
    """Join the rings of a connected region into one, for formats that do not support holes.

    Each hole is connected to the ring on its left by a horizontal bridge. The bridge has no area,
    so the hole stays empty under the even-odd and the non-zero winding rule.

    Args:
        rings: rings of a connected region from :func:`outlines`, possibly simplified.

    Returns:
        One ring, which touches itself along the bridges.

    Example:
        >>> ring_of_pixels = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]])
        >>> without_holes(outlines(ring_of_pixels, 1)[0]).tolist()[-6:]
        [[1, 1], [1, 2], [2, 2], [2, 1], [1, 1], [0, 1]]
    """
    if len(rings) == 1:
        return rings[0]
    bridges = _find_bridges(rings)
    leading_to: dict[int, list[int]] = defaultdict(list)
    for hole, bridge in bridges.items():
        leading_to[bridge.ring].append(hole)
    joined: dict[int, Points] = {}
    # A bridge leads to a ring that extends further left, so the holes joined to a hole come first.
    for hole in sorted(bridges, key=lambda each: -bridges[each].x):
        joined[hole] = _with_joined(rings[hole], leading_to[hole], bridges, joined)
        begin = joined[hole].index((bridges[hole].x, bridges[hole].y))
        joined[hole] = joined[hole][begin:] + joined[hole][:begin]
    whole = _with_joined(rings[0], leading_to[0], bridges, joined)
    kept = [point for before, point in pairwise([whole[-1], *whole]) if point != before]
    return np.array(kept)


def ring_area(ring: NDArray[np.number]) -> float:
    """Return the signed area of a ring, positive if it is anticlockwise with y up.

    Args:
        ring: vertices, shape (vertices, 2).

    Example:
        >>> ring_area(np.array([[0, 0], [2, 0], [2, 1], [0, 1]]))
        2.0
    """
    x, y = (ring - ring[0]).T.astype(np.float64)
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2)


def _corners(numbers: NDArray[np.integer]) -> _Corners:
    """Find the corners of all outlines, sorted by region, row, column, and left before right."""
    framed = np.pad(numbers, 1)
    quads = (framed[:-1, :-1], framed[:-1, 1:], framed[1:, :-1], framed[1:, 1:])
    straight = (quads[0] == quads[1]) & (quads[2] == quads[3])
    straight |= (quads[0] == quads[2]) & (quads[1] == quads[3])
    y, x = np.nonzero(~straight)
    around = [quad[y, x].astype(np.int64) for quad in quads]
    found = []
    for quadrant in range(4):
        own, side = around[quadrant], around[quadrant ^ _ACROSS]
        below, opposite = around[quadrant ^ _DOWN], around[quadrant ^ _DIAGONAL]
        # Convex corner: the pixel differs from the other three.
        out = (own != 0) & (own != side) & (own != below) & (own != opposite)
        # Concave corner: the pixel is another region between two pixels of this one.
        into = (side != 0) & (side == below) & (own != side)
        for where, region in ((out, own), (into, side)):
            size = int(where.sum())
            right, down = np.full(size, quadrant & 1), np.full(size, quadrant >> 1)
            found.append(_Corners(region[where], y[where], x[where], right, down))
    corners = _Corners(*(np.concatenate(parts) for parts in zip(*found, strict=True)))
    order = np.lexsort((corners.right, corners.x, corners.y, corners.region))
    return _Corners(*(part[order] for part in corners))


def _vertical_edge_ends(corners: _Corners) -> list[int]:
    """Return the other end of each corner's vertical edge.

    Going down a column, the corners of a region pair up in order. Of two corners at the same point,
    the one whose edge goes up comes first.
    """
    order = np.lexsort((corners.down, corners.y, corners.x, corners.region))
    ends = np.empty(len(order), np.int64)
    ends[order[0::2]], ends[order[1::2]] = order[1::2], order[0::2]
    return [int(end) for end in ends]


def _trace_rings(vertical_edge_ends: list[int]) -> Iterator[list[int]]:
    """Yield the corners of each ring in order, from the topmost, then leftmost, to the right."""
    seen = bytearray(len(vertical_edge_ends))
    for first in range(len(vertical_edge_ends)):
        if seen[first]:
            continue
        members = []
        corner = first
        while not seen[corner]:
            # Corners are sorted along rows, so the ends of horizontal edges are adjacent.
            other = corner ^ 1
            seen[corner] = seen[other] = 1
            members += [corner, other]
            corner = vertical_edge_ends[other]
        yield members


def _find_bridges(rings: Sequence[Ring]) -> dict[int, _Bridge]:
    """Find the bridge from each hole to the ring on its left."""
    owner = np.repeat(np.arange(len(rings)), [len(ring) for ring in rings])
    edge = np.concatenate([np.arange(len(ring)) for ring in rings])
    here = np.concatenate(rings)  # (corners, 2)
    there = np.concatenate([np.roll(ring, -1, axis=0) for ring in rings])
    leftmost = np.array([ring[:, 0].min() for ring in rings])
    climbs = here[:, 1] != there[:, 1]
    owner, edge, here, there = owner[climbs], edge[climbs], here[climbs], there[climbs]
    top, bottom = np.minimum(here, there)[:, 1], np.maximum(here, there)[:, 1]
    slope = (there[:, 0] - here[:, 0]) / (there[:, 1] - here[:, 1])
    bridges = {}
    for hole, ring in enumerate(rings[1:], start=1):
        start_x, start_y = min(map(tuple, ring.tolist()))
        x = here[:, 0] + slope * (start_y - here[:, 1])
        # The first edge to the left, just below the bridge.
        met = np.flatnonzero((x < start_x) & (top <= start_y) & (start_y < bottom))
        if not len(met):
            # The hole touches a ring that extends further left, at its own leftmost vertex.
            reaches = (owner == 0) | (leftmost[owner] < start_x)
            met = np.flatnonzero(
                reaches & (owner != hole) & (x <= start_x) & (top <= start_y) & (start_y <= bottom)
            )
        nearest = met[np.argmax(x[met])]
        end = float(x[nearest])
        bridges[hole] = _Bridge(
            start_x,
            start_y,
            int(owner[nearest]),
            int(edge[nearest]),
            int(end) if end.is_integer() else end,
        )
    return bridges


def _with_joined(
    ring: Ring, holes: Sequence[int], bridges: dict[int, _Bridge], joined: dict[int, Points]
) -> Points:
    """Return the vertices of a ring with its joined holes, each bridge in both directions."""
    on_edge: dict[int, list[int]] = defaultdict(list)
    for hole in sorted(holes, key=lambda each: bridges[each].y):
        on_edge[bridges[hole].edge].append(hole)
    corners: Points = [(x, y) for x, y in ring.tolist()]
    points: Points = []
    for edge, (here, there) in enumerate(pairwise([*corners, corners[0]])):
        points.append(here)
        met = on_edge.get(edge, [])
        for hole in met if there[1] > here[1] else reversed(met):
            piece, foot = joined[hole], (bridges[hole].end, bridges[hole].y)
            points += [foot, *piece, piece[0], foot]
    return points

"""Polygons along the edges of pixels: drawn again, they give exactly the mask.

Coordinates are x to the right and y down, in pixels from the image's upper left corner; the centre
of the first pixel is at (0.5, 0.5).
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ring = NDArray[np.number]
"""Corners of a closed line, shape (corners, 2): x and y. The first is not repeated at the end."""

Points = list[tuple[float, float]]

# The four pixels around a point where pixels meet are numbered 0 1 above 2 3. Crossing the vertical
# line between them flips bit 0, the horizontal one bit 1.
_ACROSS, _DOWN, _DIAGONAL = 1, 2, 3


class _Corners(NamedTuple):
    """Corners of outlines, each of shape (corners,).

    Attributes:
        region: whose outline it is.
        y: of the point.
        x: of the point.
        right: whether the outline leaves to the right (or else to the left).
        down: whether it leaves downward (or else upward).
    """

    region: NDArray[np.int64]
    y: NDArray[np.int64]
    x: NDArray[np.int64]
    right: NDArray[np.int64]
    down: NDArray[np.int64]


class _Cut(NamedTuple):
    """Where a hole is joined to another ring.

    Attributes:
        x: of the hole's leftmost corner, the upper one of several.
        y: of that corner, and of the whole cut.
        ring: that it leads to.
        edge: of that ring, the number of its first corner.
        end: x of that edge.
    """

    x: int
    y: int
    ring: int
    edge: int
    end: float


def outlines(numbers: NDArray[np.integer], count: int) -> list[list[Ring]]:
    """Return the outlines of all regions of an image.

    Where two pixels of a region meet at a corner alone, the outline keeps them together. For
    regions that are connected by sides, no ring then meets itself, and rings of one region meet at
    single points at most: valid polygons in the sense of the OGC.

    Args:
        numbers: region of each pixel, from 1; 0 for none; shape (height, width).
        count: number of regions.

    Returns:
        For each region its rings: the first around it and, if it is connected, the others around
        its holes. Seen on the screen, the first runs clockwise and those of holes the other way.

    Example:
        >>> [[rings]] = [outlines(np.array([[1, 1, 0]]), 1)]
        >>> rings[0].tolist()
        [[0, 0], [2, 0], [2, 1], [0, 1]]
    """
    corners = _corners(numbers)
    points = np.stack([corners.x, corners.y], axis=1)  # (corners,) twice -> (corners, 2)
    found: list[list[Ring]] = [[] for _ in range(count)]
    for members in _circles(_ends_of_columns(corners)):
        rings = found[int(corners.region[members[0]]) - 1]
        ring = points[members]
        rings.append(np.concatenate([ring[:1], ring[:0:-1]]) if rings else ring)
    return found


def without_holes(rings: Sequence[Ring]) -> Ring:
    """Join the rings of a connected region into one, for formats that know no holes.

    Each hole is joined to what lies left of it by a level cut, there and back, which encloses
    nothing: drawn by the even-odd or the winding rule, the hole stays open.

    Args:
        rings: of a connected region, as :func:`outlines` gives them, or simplified.

    Returns:
        One ring, which meets itself along the cuts.

    Example:
        >>> ring_of_pixels = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]])
        >>> without_holes(outlines(ring_of_pixels, 1)[0]).tolist()[-6:]
        [[1, 1], [1, 2], [2, 2], [2, 1], [1, 1], [0, 1]]
    """
    if len(rings) == 1:
        return rings[0]
    cuts = _cuts(rings)
    leading_to: dict[int, list[int]] = defaultdict(list)
    for hole, cut in cuts.items():
        leading_to[cut.ring].append(hole)
    joined: dict[int, Points] = {}
    # A cut leads to a ring that reaches further left: all cuts to a hole come before its own.
    for hole in sorted(cuts, key=lambda each: -cuts[each].x):
        joined[hole] = _with_joined(rings[hole], leading_to[hole], cuts, joined)
        begin = joined[hole].index((cuts[hole].x, cuts[hole].y))
        joined[hole] = joined[hole][begin:] + joined[hole][:begin]
    whole = _with_joined(rings[0], leading_to[0], cuts, joined)
    kept = [point for before, point in pairwise([whole[-1], *whole]) if point != before]
    return np.array(kept)


def ring_area(ring: NDArray[np.number]) -> float:
    """Return the area inside a ring: positive if y grows upward and it runs anticlockwise.

    Args:
        ring: corners, shape (corners, 2).

    Example:
        >>> ring_area(np.array([[0, 0], [2, 0], [2, 1], [0, 1]]))
        2.0
    """
    x, y = (ring - ring[0]).T.astype(np.float64)
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2)


def _corners(numbers: NDArray[np.integer]) -> _Corners:
    """Find where outlines turn, sorted by region, row, column, and left before right."""
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
        # A pixel that sticks out by itself: the outline goes around it.
        out = (own != 0) & (own != side) & (own != below) & (own != opposite)
        # A pixel of something else between two of the region: the outline goes around that.
        into = (side != 0) & (side == below) & (own != side)
        for where, region in ((out, own), (into, side)):
            size = int(where.sum())
            right, down = np.full(size, quadrant & 1), np.full(size, quadrant >> 1)
            found.append(_Corners(region[where], y[where], x[where], right, down))
    corners = _Corners(*(np.concatenate(parts) for parts in zip(*found, strict=True)))
    order = np.lexsort((corners.right, corners.x, corners.y, corners.region))
    return _Corners(*(part[order] for part in corners))


def _ends_of_columns(corners: _Corners) -> list[int]:
    """Return for each corner the other end of its vertical edge.

    Down a column of points, the corners of a region pair up in order; where two meet at a point,
    that whose edge comes from above is first.
    """
    order = np.lexsort((corners.down, corners.y, corners.x, corners.region))
    ends = np.empty(len(order), np.int64)
    ends[order[0::2]], ends[order[1::2]] = order[1::2], order[0::2]
    return [int(end) for end in ends]


def _circles(ends_of_columns: list[int]) -> Iterator[list[int]]:
    """Yield the corners of each ring in turn, from its uppermost, leftmost one to the right."""
    seen = bytearray(len(ends_of_columns))
    for first in range(len(ends_of_columns)):
        if seen[first]:
            continue
        members = []
        corner = first
        while not seen[corner]:
            # In the order of corners, neighbours pair up along a row as well.
            other = corner ^ 1
            seen[corner] = seen[other] = 1
            members += [corner, other]
            corner = ends_of_columns[other]
        yield members


def _cuts(rings: Sequence[Ring]) -> dict[int, _Cut]:
    """Decide where each hole is joined to the ring on its left."""
    owner = np.repeat(np.arange(len(rings)), [len(ring) for ring in rings])
    edge = np.concatenate([np.arange(len(ring)) for ring in rings])
    here = np.concatenate(rings)  # (corners, 2)
    there = np.concatenate([np.roll(ring, -1, axis=0) for ring in rings])
    leftmost = np.array([ring[:, 0].min() for ring in rings])
    climbs = here[:, 1] != there[:, 1]
    owner, edge, here, there = owner[climbs], edge[climbs], here[climbs], there[climbs]
    top, bottom = np.minimum(here, there)[:, 1], np.maximum(here, there)[:, 1]
    slope = (there[:, 0] - here[:, 0]) / (there[:, 1] - here[:, 1])
    cuts = {}
    for hole, ring in enumerate(rings[1:], start=1):
        start_x, start_y = min(map(tuple, ring.tolist()))
        x = here[:, 0] + slope * (start_y - here[:, 1])
        # What is met first, going left just below the cut.
        met = np.flatnonzero((x < start_x) & (top <= start_y) & (start_y < bottom))
        if not len(met):
            # The hole touches a ring that reaches further left, at its own leftmost corner.
            reaches = (owner == 0) | (leftmost[owner] < start_x)
            met = np.flatnonzero(
                reaches & (owner != hole) & (x <= start_x) & (top <= start_y) & (start_y <= bottom)
            )
        nearest = met[np.argmax(x[met])]
        end = float(x[nearest])
        cuts[hole] = _Cut(
            start_x,
            start_y,
            int(owner[nearest]),
            int(edge[nearest]),
            int(end) if end.is_integer() else end,
        )
    return cuts


def _with_joined(
    ring: Ring, holes: Sequence[int], cuts: dict[int, _Cut], joined: dict[int, Points]
) -> Points:
    """Return the corners of a ring, with holes that are joined to it, each cut there and back."""
    on_edge: dict[int, list[int]] = defaultdict(list)
    for hole in sorted(holes, key=lambda each: cuts[each].y):
        on_edge[cuts[hole].edge].append(hole)
    corners: Points = [(x, y) for x, y in ring.tolist()]
    points: Points = []
    for edge, (here, there) in enumerate(pairwise([*corners, corners[0]])):
        points.append(here)
        met = on_edge.get(edge, [])
        for hole in met if there[1] > here[1] else reversed(met):
            piece, foot = joined[hole], (cuts[hole].end, cuts[hole].y)
            points += [foot, *piece, piece[0], foot]
    return points

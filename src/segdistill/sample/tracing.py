"""Finds what rays hit in the toy world: from the camera for the picture, to the sun for shadows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segdistill.sample.layout import Layout
from segdistill.sample.parts import Label, Material, Part
from segdistill.sample.shapes import Floats, normalised
from segdistill.sample.textures import leaf_gaps

GROUND, SKY = -1, -2
"""What stands in place of the index of a part."""
# Shadow rays start this far off the surface, so that rounding does not make it shade itself.
_LIFT = 0.03
# A leaf in shadow is still lit by what its neighbours let through.
_THROUGH_LEAVES = 0.22


@dataclass(frozen=True)
class Hits:
    """What the rays of a grid hit first."""

    directions: Floats  # (3, rows, columns), reaching 1 along the viewing axis
    depth: Floats  # (rows, columns), the given farthest depth where nothing nearer is hit
    part: NDArray[np.int16]  # (rows, columns), index of the part, GROUND or SKY


def trace(layout: Layout, directions: Floats, farthest: float) -> Hits:
    """Find what each ray from the camera meets first.

    Args:
        layout: the scene.
        directions: shape (3, rows, columns), from :meth:`Camera.rays`.
        farthest: depth in metres beyond which everything is sky.
    """
    camera = layout.camera
    rows, columns = directions.shape[1:]
    # The ground: camera height over the ray's fall.
    depth = np.minimum(camera.height / np.maximum(-directions[2], 1e-9), farthest)
    part = np.where(depth < farthest, GROUND, SKY).astype(np.int16)
    # Each solid is tried only where it can show.
    windows = camera.windows(*_bounds(layout), columns, rows)
    for index, (candidate, window) in enumerate(zip(layout.parts, windows, strict=True)):
        if window is None:
            continue
        steps = directions[:, window[0], window[1]]  # (3, rows, columns) of the window
        distances = candidate.shape.intersect(camera.position, steps)
        nearer = distances < depth[window]
        if not nearer.any():
            continue
        if candidate.surface.material is Material.FOLIAGE:
            points = steps[:, nearer] * distances[nearer]  # (3, hits)
            points[2] += camera.height
            nearer[nearer] = ~_slip_through(layout, candidate, points, steps[:, nearer])
        depth[window][nearer] = distances[nearer]
        part[window][nearer] = index
    return Hits(directions, depth, part)


def labels_of(layout: Layout, hits: Hits) -> NDArray[np.uint8]:
    """Class indices of the hits, shape (rows, columns)."""
    table = np.array([*(part.surface.label for part in layout.parts), Label.SKY, Label.GROUND])
    labels = table[hits.part].astype(np.uint8)  # SKY and GROUND, -2 and -1, find the last entries
    points = hits.directions[:2] * hits.depth
    paved = layout.ground.paved(points[0], points[1])
    labels[(hits.part == GROUND) & paved] = Label.ROAD
    return labels


def leafy_hits(layout: Layout, part: NDArray[np.int16]) -> NDArray[np.bool_]:
    """Which hits, given by their parts' indices, are foliage."""
    leafy = [each.surface.material is Material.FOLIAGE for each in layout.parts]
    return np.array([*leafy, False, False], dtype=np.bool_)[part]


def sunlight(layout: Layout, points: Floats, normals: Floats, leafy: NDArray[np.bool_]) -> Floats:
    """How much of the sun reaches points (3, n) of bare normals (3, n): 0 in shadow to 1."""
    light = layout.light
    reached = np.zeros(points.shape[1], dtype=points.dtype)
    if not light.has_sun:
        return reached
    to_sun = np.array(light.to_sun, dtype=points.dtype)
    # Leaves let light through from behind: they are lit whichever way they face.
    open_to_sun = np.flatnonzero((to_sun @ normals > 0) | leafy)
    starts = points[:, open_to_sun] + _LIFT * normals[:, open_to_sun]
    # Seen along the sun's rays, a solid can only shade points within its outline: sort the points
    # by one coordinate of that view, and each solid has to look at a short run of them only.
    across = normalised(np.array([-to_sun[1], to_sun[0], 0.0], dtype=points.dtype))
    up = np.cross(to_sun, across)
    order = np.argsort(across @ starts)
    starts = np.ascontiguousarray(starts[:, order])
    first, second = across @ starts, up @ starts
    visible = np.ones(order.size, dtype=np.bool_)
    lows, highs = _bounds(layout)
    middles, halves = (lows + highs) / 2, (highs - lows) / 2  # (parts, 3)
    # Where each part's box lies along the two axes of the sun's view, and how far it reaches.
    middle_second, reach_second = middles @ up, halves @ np.abs(up)
    edges = (middles @ across)[:, None] + (halves @ np.abs(across))[:, None] * [-1.0, 1.0]
    runs = np.searchsorted(first, edges.astype(first.dtype))  # (parts, 2)
    for index, part in enumerate(layout.parts):
        begin, end = runs[index]
        within = np.abs(second[begin:end] - float(middle_second[index])) < reach_second[index]
        candidates = begin + np.flatnonzero(within & visible[begin:end])
        if candidates.size:
            visible[candidates[_blocked(layout, part, starts[:, candidates], to_sun)]] = False
    reached[open_to_sun[order]] = visible
    reached[leafy] = _THROUGH_LEAVES + (1 - _THROUGH_LEAVES) * reached[leafy]
    return reached


def _blocked(layout: Layout, part: Part, starts: Floats, to_sun: Floats) -> NDArray[np.bool_]:
    """Which rays from points (3, n) to the sun a part stops."""
    steps = np.repeat(to_sun[:, None], starts.shape[1], axis=1)  # (3, n)
    distances = part.shape.intersect(starts, steps)
    blocked = np.isfinite(distances)
    if part.surface.material is Material.FOLIAGE and blocked.any():
        entries = starts[:, blocked] + steps[:, blocked] * distances[blocked]
        blocked[blocked] = ~_slip_through(layout, part, entries, steps[:, blocked])
    return blocked


def _slip_through(
    layout: Layout, part: Part, points: Floats, directions: Floats
) -> NDArray[np.bool_]:
    """Which rays pass between the leaves of a crown that they enter at points; both (3, n)."""
    facing = (part.shape.normals(points) * normalised(directions)).sum(axis=0)
    return leaf_gaps(part.surface, points, facing, layout.noise)


def _bounds(layout: Layout) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Opposite corners of boxes round the parts, (parts, 3) each."""
    lows = np.array([part.shape.low for part in layout.parts], dtype=np.float64)
    highs = np.array([part.shape.high for part in layout.parts], dtype=np.float64)
    return lows.reshape(-1, 3), highs.reshape(-1, 3)

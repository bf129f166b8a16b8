"""Solid shapes that rays can hit: convex solids, ellipsoids and tapered cylinders.

Arrays of points and directions hold their three components FIRST, shape ``(3, ...)``: each
component is then one contiguous block, which is what makes the per-pixel arithmetic quick. World
axes are x to the right, y forward, z up, in metres; the ground is the plane z = 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

# float32 for the colour pass, float64 for the exact label pass: the shapes follow their input.
Floats = NDArray[np.floating[Any]]
Triple = tuple[float, float, float]
# An origin is one point for all the rays (the camera) or a point a ray, shape (3, ...).
Origins = Triple | Floats

_PARALLEL = 1e-9
# Rays start this far out, so that a surface does not shade itself through rounding.
_NEAREST = 1e-3


class Shape(Protocol):
    """What the tracer asks of a solid."""

    @property
    def low(self) -> Triple:
        """Smallest x, y and z of a box that holds the solid."""

    @property
    def high(self) -> Triple:
        """Largest x, y and z of that box."""

    def intersect(self, origins: Origins, directions: Floats) -> Floats:
        """Distance to the first hit in multiples of the direction, infinity where there is none."""

    def normals(self, points: Floats) -> Floats:
        """Outward unit normals at points on the surface, shape (3, n)."""


@dataclass(frozen=True)
class Frame:
    """A local frame standing in the world: turned by ``yaw`` about the vertical, then moved."""

    x: float
    y: float
    z: float = 0.0
    yaw: float = 0.0

    def to_world(self, point: Triple) -> Triple:
        """Place a local point in the world.

        >>> Frame(10.0, 0.0).to_world((1.0, 2.0, 3.0))
        (11.0, 2.0, 3.0)
        """
        turned = self.turn((point[0], point[1], point[2]))
        return (self.x + turned[0], self.y + turned[1], self.z + turned[2])

    def turn(self, direction: Triple) -> Triple:
        """Turn a local direction into the world, without moving it."""
        cosine, sine = math.cos(self.yaw), math.sin(self.yaw)
        along, across, up = direction
        return (cosine * along - sine * across, sine * along + cosine * across, up)

    def to_local(self, points: Floats, *, directions: bool = False) -> Floats:
        """World points (or directions, which only turn), shape (3, n), in this frame."""
        cosine, sine = math.cos(self.yaw), math.sin(self.yaw)
        x, y, z = points
        if not directions:
            x, y, z = x - self.x, y - self.y, z - self.z
        return np.stack([cosine * x + sine * y, cosine * y - sine * x, z])


def normalised(vectors: Floats) -> Floats:
    """Vectors of shape (3, ...) scaled to unit length."""
    lengths = np.sqrt(vectors[0] ** 2 + vectors[1] ** 2 + vectors[2] ** 2)
    scaled: Floats = vectors / np.maximum(lengths, 1e-12)
    return scaled


@dataclass(frozen=True)
class ConvexSolid:
    """The inside of a set of planes: ``normal . point <= offset`` for every one of them.

    ``bevel`` (metres) rounds the SHADING of the edges: near an edge the normals of the faces blend,
    which catches the light as a rounded edge would at no cost in geometry.
    """

    plane_normals: tuple[Triple, ...]
    plane_offsets: tuple[float, ...]
    low: Triple
    high: Triple
    bevel: float = 0.02

    def intersect(self, origins: Origins, directions: Floats) -> Floats:
        """See :meth:`Shape.intersect`: the last plane entered before the first plane left."""
        origin_x, origin_y, origin_z = origins
        entering: Floats = np.full_like(directions[0], _NEAREST)
        leaving: Floats = np.full_like(directions[0], np.inf)
        planes = zip(self.plane_normals, self.plane_offsets, strict=True)
        for (normal_x, normal_y, normal_z), offset in planes:
            speed = normal_x * directions[0] + normal_y * directions[1] + normal_z * directions[2]
            speed[np.abs(speed) < _PARALLEL] = _PARALLEL
            gap = offset - (normal_x * origin_x + normal_y * origin_y + normal_z * origin_z)
            crossing = gap / speed
            inwards = speed < 0
            np.maximum(entering, crossing, out=entering, where=inwards)
            np.minimum(leaving, crossing, out=leaving, where=~inwards)
        entering[entering > leaving] = np.inf
        return entering

    def normals(self, points: Floats) -> Floats:
        """See :meth:`Shape.normals`: the faces' normals, blended within the bevel of an edge."""
        planes = np.array(self.plane_normals, dtype=points.dtype)  # (planes, 3)
        offsets = np.array(self.plane_offsets, dtype=points.dtype)  # (planes,)
        depths = np.maximum(offsets[:, None] - planes @ points, 0)  # (planes, n)
        weights = np.exp(-np.minimum(depths / self.bevel, 40.0))
        return normalised(planes.T @ weights)  # (3, n)


def profile_solid(
    frame: Frame,
    profile: Sequence[tuple[float, float]],
    half_width: float,
    *,
    taper: float = 0.0,
    bevel: float = 0.02,
) -> ConvexSolid:
    """A convex outline in the frame's (x, z), drawn out along its y to ``half_width`` each side.

    The outline runs anticlockwise seen with x to the right and z up. ``taper`` is how far each
    side leans inwards for each metre above the outline's lowest point.

    >>> block = profile_solid(Frame(0.0, 5.0), [(-1, 0), (1, 0), (1, 2), (-1, 2)], 1.0)
    >>> float(block.intersect((0.0, 0.0, 1.0), np.array([[0.0], [1.0], [0.0]]))[0])
    4.0
    """
    bottom = min(height for _, height in profile)
    local_normals: list[Triple] = []
    anchors: list[Triple] = []
    for (start_x, start_z), (end_x, end_z) in zip(profile, (*profile[1:], profile[0]), strict=True):
        length = math.hypot(end_x - start_x, end_z - start_z)
        local_normals.append(((end_z - start_z) / length, 0.0, (start_x - end_x) / length))
        anchors.append((start_x, 0.0, start_z))
    steepness = math.hypot(1.0, taper)
    for side in (-1.0, 1.0):
        local_normals.append((0.0, side / steepness, taper / steepness))
        anchors.append((0.0, side * half_width, bottom))
    normals = tuple(frame.turn(normal) for normal in local_normals)
    offsets = tuple(
        math.fsum(a * b for a, b in zip(normal, frame.to_world(anchor), strict=True))
        for normal, anchor in zip(normals, anchors, strict=True)
    )
    corners = np.array(
        [
            frame.to_world((x, side * max(half_width - taper * (z - bottom), 0.0), z))
            for x, z in profile
            for side in (-1.0, 1.0)
        ]
    )  # (corners, 3)
    low, high = _triple(corners.min(axis=0)), _triple(corners.max(axis=0))
    return ConvexSolid(normals, offsets, low, high, bevel)


def box(
    frame: Frame, length: float, width: float, height: float, *, bevel: float = 0.02
) -> ConvexSolid:
    """A block centred on the frame's origin and standing on it."""
    half = length / 2
    outline = [(-half, 0.0), (half, 0.0), (half, height), (-half, height)]
    return profile_solid(frame, outline, width / 2, bevel=bevel)


@dataclass(frozen=True)
class Ellipsoid:
    """An ellipsoid with its axes along the world's."""

    centre: Triple
    radii: Triple

    @property
    def low(self) -> Triple:
        """See :attr:`Shape.low`."""
        return _triple(np.subtract(self.centre, self.radii))

    @property
    def high(self) -> Triple:
        """See :attr:`Shape.high`."""
        return _triple(np.add(self.centre, self.radii))

    def intersect(self, origins: Origins, directions: Floats) -> Floats:
        """See :meth:`Shape.intersect`."""
        starts = [
            (value - centre) / radius
            for value, centre, radius in zip(origins, self.centre, self.radii, strict=True)
        ]
        steps = [value / radius for value, radius in zip(directions, self.radii, strict=True)]
        speed = steps[0] ** 2 + steps[1] ** 2 + steps[2] ** 2
        nearest = -(starts[0] * steps[0] + starts[1] * steps[1] + starts[2] * steps[2]) / speed
        # From the point of closest approach rather than the textbook discriminant: the latter
        # subtracts two numbers as large as the squared distance and loses small far ellipsoids.
        missed = sum(
            (start + nearest * step) ** 2 for start, step in zip(starts, steps, strict=True)
        )
        hits = nearest - np.sqrt(np.maximum(1 - missed, 0) / speed)
        return _first_if((missed < 1) & (hits > _NEAREST), hits)

    def normals(self, points: Floats) -> Floats:
        """See :meth:`Shape.normals`."""
        gradient = [
            (value - centre) / radius**2
            for value, centre, radius in zip(points, self.centre, self.radii, strict=True)
        ]
        return normalised(np.stack(gradient))


@dataclass(frozen=True)
class TaperedCylinder:
    """A cylinder from ``base`` along the unit vector ``axis``, its radius changing evenly.

    With ``tip_radius`` 0 it is a cone. Both ends are closed.
    """

    base: Triple
    axis: Triple
    length: float
    base_radius: float
    tip_radius: float
    low: Triple = field(init=False)
    high: Triple = field(init=False)

    def __post_init__(self) -> None:
        """Work out the bounding box once: it is asked for at every pass."""
        axis = np.array(self.axis)
        spread = np.sqrt(np.maximum(1 - axis**2, 0))  # how far a disc across the axis reaches
        ends = np.stack([np.array(self.base), np.array(self.base) + self.length * axis])
        reach = np.outer([self.base_radius, self.tip_radius], spread)  # (2 ends, 3)
        object.__setattr__(self, "low", _triple((ends - reach).min(axis=0)))
        object.__setattr__(self, "high", _triple((ends + reach).max(axis=0)))

    def intersect(self, origins: Origins, directions: Floats) -> Floats:
        """See :meth:`Shape.intersect`: the sides (a quadratic), then the two end discs."""
        starts: list[Any] = [value - base for value, base in zip(origins, self.base, strict=True)]
        slope = (self.tip_radius - self.base_radius) / self.length
        start_height = _dot(starts, self.axis)
        speed = _dot(directions, self.axis)
        start_radius = self.base_radius + slope * start_height
        # |sideways(t)|^2 = radius(t)^2, as square * t^2 + 2 * linear * t + constant = 0.
        square = _dot(directions, directions) - (1 + slope**2) * speed**2
        square = np.where(np.abs(square) < _PARALLEL, _PARALLEL, square)
        linear = _dot(directions, starts) - speed * start_height - slope * speed * start_radius
        constant = _dot(starts, starts) - start_height**2 - start_radius**2
        root = np.sqrt(np.maximum(linear**2 - square * constant, 0))
        real = linear**2 >= square * constant
        nearest: Floats = np.full_like(directions[0], np.inf)
        for sign in (-1.0, 1.0):
            hits = (sign * root - linear) / square
            height = start_height + hits * speed
            inside = real & (height >= 0) & (height <= self.length) & (hits > _NEAREST)
            nearest = np.minimum(nearest, _first_if(inside, hits))
        safe_speed = np.where(np.abs(speed) < _PARALLEL, _PARALLEL, speed)
        for end, radius in ((0.0, self.base_radius), (self.length, self.tip_radius)):
            hits = (end - start_height) / safe_speed
            away = sum(
                (start + hits * step) ** 2 for start, step in zip(starts, directions, strict=True)
            )
            inside = (away - end**2 <= radius**2) & (hits > _NEAREST)
            nearest = np.minimum(nearest, _first_if(inside, hits))
        return nearest

    def normals(self, points: Floats) -> Floats:
        """See :meth:`Shape.normals`; within a hair of an end, that end's."""
        offsets = np.stack([value - base for value, base in zip(points, self.base, strict=True)])
        heights = _dot(offsets, self.axis)
        axis = np.array(self.axis, dtype=points.dtype)[:, None]  # (3, 1)
        slope = (self.tip_radius - self.base_radius) / self.length
        sides = normalised(normalised(offsets - heights * axis) - slope * axis)
        away = np.sqrt(np.maximum(_dot(offsets, offsets) - heights**2, 0))
        hair = 0.01 * self.length
        ends = np.where(heights < self.length / 2, -axis, axis)
        at_end = (np.minimum(heights, self.length - heights) < hair) & (
            away < self.base_radius + slope * heights - hair
        )
        return np.where(at_end, ends, sides)


def _first_if(valid: NDArray[np.bool_], distances: Floats) -> Floats:
    """The distances where valid, infinity elsewhere, in the distances' own precision."""
    return np.where(valid, distances, distances.dtype.type(np.inf))


def _dot(left: Sequence[Any] | Floats, right: Sequence[Any] | Floats) -> Any:
    """Dot product over the first axis, for any mix of arrays and plain numbers."""
    return left[0] * right[0] + left[1] * right[1] + left[2] * right[2]


def _triple(values: Floats) -> Triple:
    """Three plain floats: unlike NumPy's own scalars they leave float32 arrays as float32."""
    return (float(values[0]), float(values[1]), float(values[2]))

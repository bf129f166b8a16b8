"""Camera and solids of the toy world, and their intersection by rays.

Points and directions are arrays of shape ``(3, ...)``. World axes are x to the right, y forward and
z up, in metres; the ground is the plane z = 0.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

# float32 for colours, float64 for exact labels and depth; results have the dtype of the rays.
Floats = NDArray[np.floating[Any]]
Triple = tuple[float, float, float]
Window = tuple[slice, slice]

_NEAR = 0.05
_PARALLEL = 1e-9


@dataclass(frozen=True)
class Frame:
    """A local frame: rotated by ``yaw`` (radians) about the vertical axis, then translated."""

    x: float
    y: float
    z: float = 0.0
    yaw: float = 0.0

    def at(self, x: float, y: float, z: float = 0.0, turn: float = 0.0) -> Frame:
        """Return a frame at a position in this frame, rotated further by ``turn`` radians.

        >>> Frame(10.0, 0.0).at(1.0, 2.0)
        Frame(x=11.0, y=2.0, z=0.0, yaw=0.0)
        """
        moved = rotate(np.array([x, y, z], dtype=np.float64), self.yaw).tolist()
        return Frame(self.x + moved[0], self.y + moved[1], self.z + moved[2], self.yaw + turn)

    def to_local(self, points: Floats) -> Floats:
        """Convert world points of shape (3, n) to this frame."""
        return rotate(points - self.origin.astype(points.dtype), -self.yaw)

    @property
    def origin(self) -> NDArray[np.float64]:
        """The origin in world coordinates, shape (3, 1)."""
        return np.array([[self.x], [self.y], [self.z]])


def rotate(vectors: Floats, yaw: float) -> Floats:
    """Rotate vectors of shape (3, ...) anticlockwise about the vertical axis by ``yaw`` radians."""
    if yaw == 0:
        return vectors
    cosine, sine = math.cos(yaw), math.sin(yaw)
    x, y, z = vectors
    return np.stack([cosine * x - sine * y, sine * x + cosine * y, z])


def normalise(vectors: Floats) -> Floats:
    """Scale vectors of shape (3, ...) to unit length."""
    lengths: Floats = np.sqrt((vectors**2).sum(axis=0))
    return vectors / np.maximum(lengths, 1e-12)


@dataclass(frozen=True)
class Solid:
    """An ellipsoid or a convex polyhedron, centred on the origin of a frame."""

    frame: Frame
    half: Triple
    """Half the sides of the bounding box, along the axes of the frame."""
    planes: NDArray[np.float64] | None = None
    """Outward unit normals and distances of the faces, shape (planes, 4); None for an ellipsoid."""

    def corners(self) -> NDArray[np.float64]:
        """Return the corners of the bounding box in world coordinates, shape (8, 3)."""
        local = np.array(list(itertools.product((-1.0, 1.0), repeat=3))) * self.half
        return rotate(local.T, self.frame.yaw).T + self.frame.origin.T

    def intersect(
        self, origins: Floats, directions: Floats
    ) -> tuple[NDArray[np.intp], Floats, Floats]:
        """Find the rays that hit the solid from outside.

        Origins and directions have shape (3, n) or (3, 1). Returns the indices of the m rays that
        hit, their distances (m,) in multiples of the direction vectors, and the outward unit
        normals (3, m) in world coordinates.
        """
        yaw, starts = self.frame.yaw, origins - self.frame.origin.astype(origins.dtype)
        if self.planes is None:
            radii = np.array(self.half, dtype=origins.dtype)[:, None]
            starts, steps = rotate(starts, -yaw) / radii, rotate(directions, -yaw) / radii
            speed = (steps**2).sum(axis=0)
            # From the closest approach: the textbook discriminant misses small distant ellipsoids.
            closest = -(starts * steps).sum(axis=0) / speed
            missed = ((starts + closest * steps) ** 2).sum(axis=0)
            distances = closest - np.sqrt(np.maximum(1 - missed, 0) / speed)
            hits = np.flatnonzero((missed < 1) & (distances > _NEAR))
            normals = rotate((starts + distances * steps)[:, hits] / radii, yaw)
        else:
            faces = rotate(self.planes[:, :3].T, yaw).T.astype(origins.dtype)
            speed = faces @ directions  # (planes, n)
            speed[np.abs(speed) < _PARALLEL] = _PARALLEL
            crossings = (self.planes[:, 3:].astype(origins.dtype) - faces @ starts) / speed
            entering = np.where(speed < 0, crossings, -np.inf)
            leaving = np.where(speed < 0, np.inf, crossings).min(axis=0)
            distances = entering.max(axis=0)
            hits = np.flatnonzero((distances < leaving) & (distances > _NEAR))
            normals = faces[entering[:, hits].argmax(axis=0)].T
        return hits, distances[hits], normalise(normals)


def block(frame: Frame, size: Triple, top: tuple[float, float] = (1.0, 1.0)) -> Solid:
    """Return a block with sides ``size`` whose base is centred on a frame's origin.

    ``top`` scales the top relative to the base in x and y: (1, 0) gives a gabled roof.

    >>> solid = block(Frame(0.0, 5.0), (2.0, 2.0, 2.0))
    >>> solid.intersect(np.array([[0.0], [0.0], [1.0]]), np.array([[0.0], [1.0], [0.0]]))[1]
    array([4.])
    """
    height = size[2]
    planes = [[0.0, 0.0, 1.0, height / 2], [0.0, 0.0, -1.0, height / 2]]
    for axis in (0, 1):
        slope = size[axis] * (1 - top[axis]) / 2 / height
        for sign in (-1.0, 1.0):
            plane = [0.0, 0.0, slope, size[axis] * (1 + top[axis]) / 4]
            plane[axis] = sign
            planes.append([value / math.hypot(1, slope) for value in plane])
    half = (size[0] / 2, size[1] / 2, height / 2)
    return Solid(frame.at(0, 0, height / 2), half, np.array(planes))


@dataclass(frozen=True)
class Camera:
    """A pinhole camera at the origin of a frame, looking along the frame's y axis.

    ``pitch`` is the downward tilt in radians, and ``field_of_view`` is horizontal, in degrees.
    """

    frame: Frame
    pitch: float
    field_of_view: float

    def axes(self) -> Floats:
        """Return unit vectors pointing right, down and forward, as columns, shape (3, 3)."""
        level, dip = math.cos(self.pitch), math.sin(self.pitch)
        return rotate(np.array([[1, 0, 0], [0, -dip, level], [0, -level, -dip]]), self.frame.yaw)

    def focal(self, width: int) -> float:
        """Return the focal length in pixels for an image width."""
        return width / 2 / math.tan(math.radians(self.field_of_view / 2))

    def rays(self, width: int, height: int, kind: DTypeLike) -> Floats:
        """Return the ray directions through the pixel centres, shape (3, height, width).

        Their component along the viewing axis is 1, so distances along rays are depths.

        >>> Camera(Frame(0.0, 0.0, 1.5), 0.0, 60.0).rays(3, 3, "float64")[:, 1, 1].round(6).tolist()
        [0.0, 1.0, 0.0]
        """
        across = (np.arange(width) + 0.5 - width / 2) / self.focal(width)
        down = (np.arange(height) + 0.5 - height / 2) / self.focal(width)
        right_axis, down_axis, forward_axis = self.axes().T[:, :, None, None]
        rays: Floats = forward_axis + right_axis * across + down_axis * down[:, None]
        return rays.astype(kind)

    def windows(self, corners: NDArray[np.float64], width: int, height: int) -> list[Window]:
        """Return the rows and columns that can show each box; corners have shape (boxes, 8, 3)."""
        across, down, depth = np.moveaxis((corners - self.frame.origin.T) @ self.axes(), -1, 0)
        scale = self.focal(width) / np.maximum(depth, _NEAR)
        rows, columns = height / 2 + scale * down, width / 2 + scale * across
        edges = (rows.min(1) - 1, rows.max(1) + 2, columns.min(1) - 1, columns.max(1) + 2)
        bounds = np.stack(edges, axis=1)
        # Boxes partly behind the camera have no projection; use the whole image.
        bounds[depth.min(axis=1) < _NEAR] = (0, height, 0, width)
        bounds[depth.max(axis=1) < _NEAR] = 0
        limits = np.clip(bounds, 0, [height, height, width, width]).astype(int).tolist()
        return [(slice(top, bottom), slice(left, right)) for top, bottom, left, right in limits]

"""The camera of the toy world and the solids that its rays hit.

Arrays of points and directions hold their components first, shape ``(3, ...)``. World axes are x to
the right, y forward and z up, in metres; the ground is the plane z = 0.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

# float32 for colours, float64 for exact labels and depth: results have the type of the rays.
Floats = NDArray[np.floating[Any]]
Triple = tuple[float, float, float]
Window = tuple[slice, slice]

_NEAR = 0.05
_PARALLEL = 1e-9


@dataclass(frozen=True)
class Frame:
    """A local frame in the world: turned by ``yaw`` (radians) about the vertical, then moved."""

    x: float
    y: float
    z: float = 0.0
    yaw: float = 0.0

    def at(self, x: float, y: float, z: float = 0.0, turn: float = 0.0) -> Frame:
        """Return a frame at a local position of this one, turned further by ``turn``.

        >>> Frame(10.0, 0.0).at(1.0, 2.0)
        Frame(x=11.0, y=2.0, z=0.0, yaw=0.0)
        """
        moved = rotate(np.array([x, y, z], dtype=np.float64), self.yaw).tolist()
        return Frame(self.x + moved[0], self.y + moved[1], self.z + moved[2], self.yaw + turn)

    def to_local(self, points: Floats) -> Floats:
        """Return points of the world, (3, n), in this frame."""
        return rotate(points - self.origin.astype(points.dtype), -self.yaw)

    @property
    def origin(self) -> NDArray[np.float64]:
        """Its origin in the world, (3, 1)."""
        return np.array([[self.x], [self.y], [self.z]])


def rotate(vectors: Floats, yaw: float) -> Floats:
    """Turn vectors (3, ...) anticlockwise about the vertical by ``yaw`` radians."""
    if yaw == 0:
        return vectors
    cosine, sine = math.cos(yaw), math.sin(yaw)
    x, y, z = vectors
    return np.stack([cosine * x - sine * y, sine * x + cosine * y, z])


def normalise(vectors: Floats) -> Floats:
    """Scale vectors (3, ...) to unit length."""
    lengths: Floats = np.sqrt((vectors**2).sum(axis=0))
    return vectors / np.maximum(lengths, 1e-12)


@dataclass(frozen=True)
class Solid:
    """An ellipsoid or a convex polyhedron about the origin of a frame."""

    frame: Frame
    half: Triple
    """Half the sides of the box in the frame that holds the solid."""
    planes: NDArray[np.float64] | None = None
    """Faces, (planes, 4): outward unit normals and distances in the frame; None: an ellipsoid."""

    def corners(self) -> NDArray[np.float64]:
        """Return the corners of the box in the world, (8, 3)."""
        local = np.array(list(itertools.product((-1.0, 1.0), repeat=3))) * self.half
        return rotate(local.T, self.frame.yaw).T + self.frame.origin.T

    def intersect(
        self, origins: Floats, directions: Floats
    ) -> tuple[NDArray[np.intp], Floats, Floats]:
        """Find the rays that enter the solid; origins and directions are (3, n) or (3, 1).

        Returns the indices of the m rays that hit, distances (m,) in multiples of the direction
        and outward unit normals (3, m) in the world.
        """
        yaw, starts = self.frame.yaw, origins - self.frame.origin.astype(origins.dtype)
        if self.planes is None:
            radii = np.array(self.half, dtype=origins.dtype)[:, None]
            starts, steps = rotate(starts, -yaw) / radii, rotate(directions, -yaw) / radii
            speed = (steps**2).sum(axis=0)
            # From the closest approach: the textbook discriminant loses small far ellipsoids.
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
    """Make a block with sides ``size`` that stands on a frame's origin.

    Its top is narrower by the shares ``top`` in x and y: (1, 0) makes a gabled roof.

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
    """A pinhole camera at the origin of a frame, looking along the frame's y.

    ``pitch`` tips it down, in radians; ``field_of_view`` is the horizontal one, in degrees.
    """

    frame: Frame
    pitch: float
    field_of_view: float

    def axes(self) -> Floats:
        """Return unit vectors to the right, downwards and forwards, in columns, shape (3, 3)."""
        level, dip = math.cos(self.pitch), math.sin(self.pitch)
        return rotate(np.array([[1, 0, 0], [0, -dip, level], [0, -level, -dip]]), self.frame.yaw)

    def focal(self, width: int) -> float:
        """Return the focal length in pixels of an image of this width."""
        return width / 2 / math.tan(math.radians(self.field_of_view / 2))

    def rays(self, width: int, height: int, kind: DTypeLike) -> Floats:
        """Return directions through the centres of the pixels, shape (3, height, width).

        Each reaches exactly 1 along the viewing axis: a multiple of it is the depth.

        >>> Camera(Frame(0.0, 0.0, 1.5), 0.0, 60.0).rays(3, 3, "float64")[:, 1, 1].round(6).tolist()
        [0.0, 1.0, 0.0]
        """
        across = (np.arange(width) + 0.5 - width / 2) / self.focal(width)
        down = (np.arange(height) + 0.5 - height / 2) / self.focal(width)
        right_axis, down_axis, forward_axis = self.axes().T[:, :, None, None]
        rays: Floats = forward_axis + right_axis * across + down_axis * down[:, None]
        return rays.astype(kind)

    def windows(self, corners: NDArray[np.float64], width: int, height: int) -> list[Window]:
        """Return the rows and columns that can show each of several boxes, (boxes, 8, 3)."""
        across, down, depth = np.moveaxis((corners - self.frame.origin.T) @ self.axes(), -1, 0)
        scale = self.focal(width) / np.maximum(depth, _NEAR)
        rows, columns = height / 2 + scale * down, width / 2 + scale * across
        edges = (rows.min(1) - 1, rows.max(1) + 2, columns.min(1) - 1, columns.max(1) + 2)
        bounds = np.stack(edges, axis=1)
        # A box that is partly behind the camera has no projection: look everywhere.
        bounds[depth.min(axis=1) < _NEAR] = (0, height, 0, width)
        bounds[depth.max(axis=1) < _NEAR] = 0
        limits = np.clip(bounds, 0, [height, height, width, width]).astype(int).tolist()
        return [(slice(top, bottom), slice(left, right)) for top, bottom, left, right in limits]

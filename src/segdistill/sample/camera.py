"""The pinhole camera of the toy world."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from segdistill.sample.shapes import Floats, Triple

_NEAR = 0.05
Window = tuple[slice, slice]


@dataclass(frozen=True)
class Camera:
    """A camera above the origin, looking along +y when ``yaw`` and ``pitch`` are 0.

    ``yaw`` turns it to the right and ``pitch`` tips it down, in radians; ``field_of_view`` is the
    horizontal one, in degrees; ``height`` is above the ground, in metres.
    """

    height: float
    yaw: float
    pitch: float
    field_of_view: float

    @property
    def position(self) -> Triple:
        """Where the camera is."""
        return (0.0, 0.0, self.height)

    @property
    def azimuth(self) -> float:
        """Direction of view over the ground, radians anticlockwise from x."""
        return math.pi / 2 - self.yaw

    def axes(self) -> tuple[Triple, Triple, Triple]:
        """Unit vectors to the right, downwards and forwards, in the world."""
        sine, cosine = math.sin(self.yaw), math.cos(self.yaw)
        level, dip = math.cos(self.pitch), math.sin(self.pitch)
        right = (cosine, -sine, 0.0)
        down = (-sine * dip, -cosine * dip, -level)
        forward = (sine * level, cosine * level, -dip)
        return right, down, forward

    def rays(self, width: int, height: int, kind: DTypeLike) -> NDArray[np.floating[Any]]:
        """Directions through the centres of the pixels, shape (3, height, width).

        Each reaches exactly 1 along the viewing axis, so a multiple of it IS the depth.

        >>> Camera(1.5, 0.0, 0.0, 60.0).rays(3, 3, "float64")[:, 1, 1].round(6).tolist()
        [0.0, 1.0, 0.0]
        """
        focal = self._focal(width)
        across = ((np.arange(width) + 0.5 - width / 2) / focal)[None, :]  # (1, width)
        down = ((np.arange(height) + 0.5 - height / 2) / focal)[:, None]  # (height, 1)
        right_axis, down_axis, forward_axis = self.axes()
        components = [
            forward_axis[i] + right_axis[i] * across + down_axis[i] * down for i in range(3)
        ]
        directions: Floats = np.stack(components).astype(kind)  # (3, height, width)
        return directions

    def windows(
        self, lows: NDArray[np.float64], highs: NDArray[np.float64], width: int, height: int
    ) -> list[Window | None]:
        """Rows and columns that can show each of many boxes; None where none can.

        ``lows`` and ``highs``, both (boxes, 3), are the boxes' opposite corners.
        """
        picks = np.array([[(code >> axis) & 1 for axis in range(3)] for code in range(8)])  # (8, 3)
        corners = np.where(picks[None] == 1, highs[:, None], lows[:, None])  # (boxes, 8, 3)
        across, down, depth = np.moveaxis(
            (corners - np.array(self.position)) @ np.array(self.axes()).T, -1, 0
        )  # (boxes, 8) each
        focal = self._focal(width)
        safe = np.maximum(depth, _NEAR)
        columns = np.clip(width / 2 + focal * across / safe, -2, width + 2)
        rows = np.clip(height / 2 + focal * down / safe, -2, height + 2)
        bounds = np.stack(
            [
                rows.min(axis=1) - 1,
                rows.max(axis=1) + 2,
                columns.min(axis=1) - 1,
                columns.max(axis=1) + 2,
            ],
            axis=1,
        )  # (boxes, 4)
        # Partly behind the camera: the projection means nothing, so look everywhere.
        bounds[depth.min(axis=1) < _NEAR] = (0, height, 0, width)
        hidden = depth.max(axis=1) < _NEAR
        limits = np.clip(bounds, 0, [height, height, width, width]).astype(int).tolist()
        return [
            None
            if gone or top >= bottom or left >= right
            else (slice(top, bottom), slice(left, right))
            for gone, (top, bottom, left, right) in zip(hidden.tolist(), limits, strict=True)
        ]

    def sees(self, x: float, y: float, radius: float) -> bool:
        """Whether a disc on the ground comes within the view's sides."""
        sine, cosine = math.sin(self.yaw), math.cos(self.yaw)
        across, ahead = cosine * x - sine * y, sine * x + cosine * y
        half = math.radians(self.field_of_view / 2)
        outside = abs(across) * math.cos(half) - ahead * math.sin(half)
        return ahead > -radius and outside < radius

    def _focal(self, width: int) -> float:
        """Focal length in pixels of an image so wide."""
        return width / 2 / math.tan(math.radians(self.field_of_view / 2))

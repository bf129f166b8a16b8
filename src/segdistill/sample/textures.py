"""Procedural textures of the toy world: noise, and the paint of objects and the ground.

Colours are linear, with shape (3, n) or (3, 1).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from functools import cache

import numpy as np
from numpy.typing import NDArray

from segdistill.sample.geometry import Floats, Frame, Triple, normalise

Label = IntEnum("Label", "SKY GROUND ROAD TREE BUILDING CAR", start=0)
"""Class index of a pixel."""
FLOOR_HEIGHT = 2.9
# Index steps along x, y and z in the periodic lattice of random values.
_STRIDES = (1, 251, 63001)
_LATTICE_SIZE = 2**16


def colour(code: str, strength: float = 1.0) -> NDArray[np.float32]:
    """Convert an sRGB colour in the form ``rrggbb`` to linear components, shape (3, 1).

    >>> colour("ff0000").ravel().tolist()
    [1.0, 0.0, 0.0]
    """
    values = [[strength * (int(code[i : i + 2], 16) / 255) ** 2.2] for i in (0, 2, 4)]
    return np.array(values, dtype=np.float32)


def mix(start: Floats, end: Floats, share: Floats | float) -> Floats:
    """Interpolate linearly from ``start`` (share 0) to ``end`` (share 1)."""
    return start + (end - start) * share


def smoothstep(low: float, high: float, values: Floats) -> Floats:
    """Return 0 below ``low``, 1 above ``high``, and a smooth transition in between."""
    ramp: Floats = np.clip((values - low) / (high - low), 0, 1)
    return ramp * ramp * (3 - 2 * ramp)


@cache
def _lattice() -> NDArray[np.float32]:
    """Return the lattice of random values that all noise interpolates."""
    return np.random.default_rng(0).random(_LATTICE_SIZE, dtype=np.float32)


def noise(*coordinates: Floats) -> Floats:
    """Return smooth 2D or 3D noise in 0..1, with features about one unit in size.

    >>> bool(0 <= noise(np.array([0.3]), np.array([5.0]))[0] <= 1)
    True
    """
    lows = [np.floor(values) for values in coordinates]
    base = sum(low.astype(np.int32) * stride for low, stride in zip(lows, _STRIDES, strict=False))
    steps = [(0, stride) for stride in reversed(_STRIDES[: len(coordinates)])]
    # Values at the 4 or 8 surrounding corners, interpolated along one axis after the other.
    indices = [base + sum(offsets) for offsets in itertools.product(*steps)]
    corners: list[Floats] = [_lattice()[index & (_LATTICE_SIZE - 1)] for index in indices]
    for values, low in zip(coordinates, lows, strict=True):
        part = values - low
        part *= part * (3 - 2 * part)
        pairs = zip(corners[::2], corners[1::2], strict=True)
        corners = [mix(start, end, part) for start, end in pairs]
    return corners[0]


def fractal(x: Floats, y: Floats, octaves: int) -> Floats:
    """Return 2D noise summed over octaves, each twice as fine and half as strong as the last."""
    total = np.zeros_like(x)
    for octave in range(octaves):
        scale, shift = 2.0**octave, 17.37 * octave
        total += noise(x * scale + shift, y * scale - shift) / scale
    return total / (2 - 2.0 ** (1 - octaves))


@dataclass(frozen=True)
class Paint:
    """Paint of an object.

    ``texture`` returns the colours (3, n) of points (3, n) with unit normals (3, n), both in
    ``frame``. Its last argument (n,) is the pixel size in metres; finer detail is omitted.
    """

    label: Label
    texture: Callable[[Paint, Floats, Floats, Floats], Floats]
    frame: Frame  # of the whole object; its solids have their own frames
    size: Triple  # of the whole object along the axes of its frame
    colour: NDArray[np.float32]
    variant: float = 0.0  # 0..1, to vary similar objects


def plain(paint: Paint, points: Floats, _normals: Floats, _blur: Floats) -> Floats:
    """Paint slightly rough bark or stone."""
    return paint.colour * (0.8 + 0.4 * noise(*(points * 5)))


def leaves(paint: Paint, points: Floats, normals: Floats, _blur: Floats) -> Floats:
    """Paint a crown with ``size`` as its radii, and perturb its normals in place."""
    clumps, small, fine = (noise(*(points * scale)) for scale in (2, 7.5, 17))
    outward = points / np.array(paint.size, dtype=np.float32)[:, None]
    ruffle = np.stack([clumps, small, noise(*(points * 3.1))]) - 0.5
    normals[:] = normalise(0.5 * normals + 0.65 * normalise(outward) + ruffle)
    # Darker inside the crown and at the bottom.
    depth = smoothstep(0.35, 1.05, np.sqrt((outward**2).sum(axis=0)))
    tone: Floats = (0.4 + 0.44 * clumps + 0.46 * small + 0.4 * fine) * (0.3 + 0.7 * depth)
    tone *= 0.8 + 0.2 * np.clip(outward[2], -1, 1)
    return paint.colour * tone


def leaf_gaps(points: Floats, facing: Floats) -> NDArray[np.bool_]:
    """Mark crown points (3, n) in gaps; ``facing`` (n,) is the cosine between normal and ray."""
    clumps, small = noise(*(points * 2)), noise(*(points * 7.5))
    outline: NDArray[np.bool_] = np.abs(facing) < 0.55 * clumps + 0.5 * small - 0.1
    return outline | (0.25 * clumps + 0.75 * small < 0.25)


def walls(paint: Paint, points: Floats, normals: Floats, blur: Floats) -> Floats:
    """Paint plaster or brick walls with windows and a door."""
    x, y, z = points
    side = np.abs(normals[0]) > np.abs(normals[1])
    along, span = np.where(side, y, x), np.where(side, paint.size[1], paint.size[0])
    course = np.floor(z / 0.14)
    bricks = noise(np.floor(along / 0.42 + 0.5 * (course % 2)), course)
    seen = np.clip(1.4 - 10 * blur, 0, 1) * (paint.variant > 0.6)
    tone = (1 + seen * (0.6 * bricks - 0.4)) * (0.9 + 0.25 * noise(x, y, z))
    colours = paint.colour * tone * np.where(z < 0.3, 0.5, 0.7 + 0.3 * smoothstep(0, 2.2, z))
    # A grid of bays and floors, with an opening in each cell.
    bays = np.maximum(np.round(span / 2.7), 2)
    bay, floor = np.floor((along / span + 0.5) * bays), np.floor((z - 0.3) / FLOOR_HEIGHT)
    aside = np.abs(along + span / 2 - (bay + 0.5) * span / bays)
    above = z - 0.3 - floor * FLOOR_HEIGHT
    door = (normals[1] < -0.7) & (floor == 0) & (bay == np.floor(bays / 2))
    inside = np.minimum(above - np.where(door, -0.3, 0.85), 2.15 - above)
    inside = np.minimum(0.56 - aside, inside)
    trim = colour("3d4a48" if paint.variant > 0.8 else "f2efe6")
    colours = np.where(inside > -0.1, trim, colours)
    chance = noise(bay + 31 * floor + 7 * side, np.floor(0 * z + 100 * paint.variant))
    curtain = (chance > 0.55) & (aside > 0.3)
    pane = np.where(curtain, colour("b6b0a4"), colour("222c36") * (0.6 + 0.8 * chance))
    pane = np.where(door, colour("5a3a26"), pane * np.where(above > 1.85, 0.45, 1))
    return np.where((inside > 0.07) & (aside > 0.035), pane, colours)


def roof(paint: Paint, points: Floats, normals: Floats, blur: Floats) -> Floats:
    """Paint rows of tiles, and plaster on gables."""
    x, y, z = points
    facing = np.abs(normals)
    row = np.floor(z / 0.24)
    tile = np.floor(np.where(facing[0] < facing[1], x, y) / 0.36 + 0.5 * (row % 2))
    tone = 0.35 * (noise(tile, row) - 0.5) - 0.3 * (z / 0.24 - row < 0.25)
    tiles = paint.colour * (1 + np.clip(1.5 - 4 * blur, 0, 1) * tone)
    colours: Floats = np.where(facing[2] < 0.25, colour("d8cfba"), tiles)
    return colours * (0.8 + 0.4 * noise(x, y, z))


def car_paint(paint: Paint, points: Floats, normals: Floats, _blur: Floats) -> Floats:
    """Paint a car with windows, lights, sills and wheels."""
    x, y, z = points
    length, width, height = paint.size
    radius = 0.17 + 0.1 * height
    from_hub = np.hypot(np.abs(x) - 0.3 * length, z - radius)
    side, end = np.abs(normals[1]) > 0.6, np.abs(x) > length / 2 - 0.2
    post = (side & (np.abs(x) < 0.045)) | (normals[2] > 0.95)
    glass = (z > 0.63 * height) & (z < height - 0.09) & ~post
    grille = end & (x > 0) & (np.abs(y) < 0.24 * width) & (np.abs(z - 0.6) < 0.09)
    dark = glass | grille | (z < 0.33) | (from_hub < radius + 0.07)
    colours: Floats = np.where(dark, colour("1b1e22"), paint.colour)
    lamps = end & (np.abs(y) > 0.26 * width) & (np.abs(z - 0.6) < 0.08)
    colours = np.where(lamps, np.where(x > 0, colour("eeeeea"), colour("b42420")), colours)
    colours = np.where(side & (from_hub < 0.6 * radius), colour("b4b6b8"), colours)
    return colours * (0.45 + 0.55 * smoothstep(0.1, 0.75, z))


@dataclass(frozen=True)
class Street:
    """A street along y with grass on both sides; its centre line is x = ``bend * y ** 2``."""

    half_width: float
    pavement: float  # width on each side in metres, 0 for none
    bend: float
    grass: tuple[str, str]  # lush and dry
    shift: float  # offset of the noise

    def place(self, along: float, across: float, turn: float = 0.0) -> Frame:
        """Return a frame on or next to the street, with x along the street and y to the left."""
        yaw = math.pi / 2 - math.atan(2 * self.bend * along)
        return Frame(self.bend * along**2, along, 0.0, yaw).at(0.0, across, 0.0, turn)

    def across(self, x: Floats, y: Floats) -> Floats:
        """Return the distance of ground points from the centre line, in metres."""
        across: Floats = np.abs(x - self.bend * y**2) / np.sqrt(1 + (2 * self.bend * y) ** 2)
        return across

    def paved(self, x: Floats, y: Floats) -> NDArray[np.bool_]:
        """Mark the ground points on the street or its pavements."""
        paved: NDArray[np.bool_] = self.across(x, y) < self.half_width + self.pavement
        return paved

    def albedo(self, x: Floats, y: Floats, blur: Floats) -> Floats:
        """Return the colours (3, n) of ground points (n,); ``blur`` is the pixel size in metres."""
        along, across = y, self.across(x, y)
        edge = across - self.half_width
        x, y = x + self.shift, y - self.shift
        grain = np.zeros_like(x)
        for cell, strength in ((1.1, 0.4), (0.31, 0.5), (0.105, 0.7), (0.043, 0.6)):
            seen = strength * np.clip(1.4 - blur / cell, 0, 1)
            grain += seen * (noise(x / cell, y / cell) - 0.5)
        lush, dry = (colour(code) for code in self.grass)
        grass: Floats = mix(lush, dry, smoothstep(0.3, 0.8, fractal(x / 12, y / 12, 4))) * (
            1 + grain
        )
        ragged = edge - self.pavement + 0.9 * (noise(x / 0.7, y / 0.7) - 0.5)
        grass = mix(grass, colour("8f7f5f"), 0.5 * smoothstep(0.75, 0, ragged))
        joint = np.minimum(np.abs(along % 0.9 - 0.45), np.abs(edge % 0.6 - 0.3)) < 0.03
        slabs = colour("a8a296") * (1 + 0.15 * grain) * (1 - 0.3 * (joint & (blur < 0.1)))
        stains = 0.2 * noise(across * 1.5, along / 40) + 0.2 * noise(x / 3, y / 3)
        asphalt: Floats = colour("6d6c6c") * (0.8 + stains + 0.2 * grain)
        lines = (across < 0.075) & (along % 6 < 3.2)
        lines |= (np.abs(edge + 0.3) < 0.065) & (self.pavement == 0)
        asphalt = np.where(lines, mix(asphalt, colour("ccc9c4"), 0.75), asphalt)
        return np.where(edge < 0, asphalt, np.where(edge < self.pavement, slabs, grass))

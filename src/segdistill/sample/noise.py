"""Smooth random fields and colour arithmetic for the toy world.

Colours are linear light (not sRGB) throughout; an array of colours holds its three components
first, shape ``(3, n)``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from segdistill.sample.shapes import Floats, Triple

_PLANE_CELLS = 128
_VOLUME_CELLS = 32
# Each octave is moved by this much, so that the lattices of different octaves never line up.
_OCTAVE_SHIFT = 17.37


def linear(code: str) -> Triple:
    """Linear-light components of an sRGB colour written ``rrggbb``.

    >>> linear("ff0000")
    (1.0, 0.0, 0.0)
    """
    values = [int(code[start : start + 2], 16) / 255 for start in (0, 2, 4)]
    decoded = [
        value / 12.92 if value <= 0.04045 else math.pow((value + 0.055) / 1.055, 2.4)
        for value in values
    ]
    return (decoded[0], decoded[1], decoded[2])


def column(colour: Triple) -> NDArray[np.float32]:
    """A colour as a (3, 1) column, to spread over the n of a (3, n) array."""
    return np.array(colour, dtype=np.float32)[:, None]


def smoothstep(low: float, high: float, values: Floats) -> Floats:
    """0 below ``low``, 1 above ``high``, an S-shaped rise between."""
    ramp = np.clip((values - low) / (high - low), 0, 1)
    eased: Floats = ramp * ramp * (3 - 2 * ramp)
    return eased


def mix(start: Floats, end: Floats, share: Floats | float) -> Floats:
    """``start`` where ``share`` is 0, ``end`` where it is 1."""
    blended: Floats = start + (end - start) * share
    return blended


@dataclass(frozen=True)
class Noise:
    """Smooth random fields in the plane and in space: values in 0..1, about one bump a unit.

    >>> field = Noise(7)
    >>> bool(0 <= field.plane(np.array([0.3]), np.array([5.0]))[0] <= 1)
    True
    """

    seed: int
    _plane: NDArray[np.float32] = field(init=False, repr=False)
    _volume: NDArray[np.float32] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Draw the two lattices; both wrap round, so any coordinate will do."""
        generator = np.random.default_rng(self.seed)
        plane = generator.random(_PLANE_CELLS**2, dtype=np.float32)
        volume = generator.random(_VOLUME_CELLS**3, dtype=np.float32)
        object.__setattr__(self, "_plane", plane)
        object.__setattr__(self, "_volume", volume)

    def plane(self, x: Floats, y: Floats) -> Floats:
        """Noise over the plane, in the shape of the coordinates."""
        (column_low, column_high, part_x) = _cells(x, _PLANE_CELLS)
        (row_low, row_high, part_y) = _cells(y, _PLANE_CELLS)
        row_low, row_high = row_low * _PLANE_CELLS, row_high * _PLANE_CELLS
        lattice = self._plane
        low = mix(lattice[row_low + column_low], lattice[row_low + column_high], part_x)
        high = mix(lattice[row_high + column_low], lattice[row_high + column_high], part_x)
        return mix(low, high, part_y)

    def volume(self, points: Floats) -> Floats:
        """Noise through space at points of shape (3, n); shape (n,)."""
        (x_low, x_high, part_x) = _cells(points[0], _VOLUME_CELLS)
        (y_low, y_high, part_y) = _cells(points[1], _VOLUME_CELLS)
        (z_low, z_high, part_z) = _cells(points[2], _VOLUME_CELLS)
        lattice = self._volume
        layers: list[Floats] = []
        for z in (z_low, z_high):
            rows: list[Floats] = []
            for y in (y_low, y_high):
                start = (z * _VOLUME_CELLS + y) * _VOLUME_CELLS
                rows.append(mix(lattice[start + x_low], lattice[start + x_high], part_x))
            layers.append(mix(rows[0], rows[1], part_y))
        return mix(layers[0], layers[1], part_z)

    def volumes(self, points: Floats, scales: Sequence[float], shift: float) -> Floats:
        """Space noise of several scales (bumps a metre) at points (3, n); shape (scales, n).

        One evaluation for all the scales: for few points the calls cost more than the arithmetic.
        Neighbouring scales are shifted by ``shift`` in opposite directions.
        """
        signs = [shift if index % 2 == 0 else -shift for index in range(len(scales))]
        stacked = [points * scale + sign for scale, sign in zip(scales, signs, strict=True)]
        return self.volume(np.concatenate(stacked, axis=1)).reshape(len(scales), -1)

    def fractal(self, x: Floats, y: Floats, octaves: int) -> Floats:
        """Plane noise summed over octaves, each twice as fine and half as strong; in 0..1."""
        total = np.zeros_like(x)
        strength, weights = 1.0, 0.0
        for octave in range(octaves):
            scale, shift = 2.0**octave, _OCTAVE_SHIFT * octave
            total += strength * self.plane(x * scale + shift, y * scale - shift)
            weights += strength
            strength /= 2
        return total / weights

    def detail(self, x: Floats, y: Floats, cell: float, blur: Floats) -> Floats:
        """Noise of one scale about 0 (in -0.5..0.5), faded out where a pixel covers a whole cell.

        ``cell`` is the size of a bump and ``blur`` what a pixel covers there, both in metres.
        """
        faded = np.clip(1.4 - blur / cell, 0, 1)
        centred: Floats = (self.plane(x / cell, y / cell) - 0.5) * faded
        return centred


def _cells(values: Floats, count: int) -> tuple[NDArray[np.int32], NDArray[np.int32], Floats]:
    """Lattice indices below and above each value, wrapped, and the eased way between them."""
    floors = np.floor(values)
    parts = values - floors
    low = floors.astype(np.int32) & (count - 1)
    return low, (low + 1) & (count - 1), parts * parts * (3 - 2 * parts)

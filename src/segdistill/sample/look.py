"""What painting a surface of the toy world takes and gives.

Points are in world metres, shape (3, n); ``blur`` (n,) is how many metres a pixel covers there, and
detail finer than that is faded out instead of being left to flicker.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from segdistill.sample.noise import Noise, column
from segdistill.sample.parts import Surface
from segdistill.sample.shapes import Floats


@dataclass
class Look:
    """How a surface answers light at n points."""

    albedo: Floats  # (3, n), linear, 0..1
    normals: Floats  # (3, n), unit, bumps included
    gloss: Floats  # (n,), share of mirrored sky seen face on, 0..1
    openness: Floats  # (n,), share of the sky that can reach the point, 0..1
    emission: Floats  # (3, n), light given off


@dataclass(frozen=True)
class Spot:
    """The points to paint and what is known of them."""

    points: Floats  # (3, n), world
    normals: Floats  # (3, n), unit, of the bare shape
    blur: Floats  # (n,), metres a pixel covers
    noise: Noise
    lamps: float  # 0 by day to 1 when windows are lit


def plain_look(surface: Surface, spot: Spot) -> Look:
    """One flat colour, no gloss: where every painter starts."""
    count = spot.points.shape[1]
    kind = spot.points.dtype
    albedo = np.repeat(column(surface.colour), count, axis=1).astype(kind)
    open_sky = np.ones(count, dtype=kind)
    dark = np.zeros((3, count), dtype=kind)
    return Look(albedo, spot.normals, np.zeros(count, dtype=kind), open_sky, dark)

"""Paint for the toy world: colour, gloss and roughness of each material; leaves and bark here."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from segdistill.sample.car_paint import paint_body, paint_cabin, paint_wheel
from segdistill.sample.facades import paint_facade, paint_roof
from segdistill.sample.look import Look, Spot, plain_look
from segdistill.sample.noise import Noise, column, mix, smoothstep
from segdistill.sample.parts import Material, Surface
from segdistill.sample.shapes import Floats, normalised


def surface_look(surface: Surface, spot: Spot) -> Look:
    """Paint points of one part, whatever its material."""
    return _PAINTERS[surface.material](surface, spot)


def leaf_gaps(surface: Surface, points: Floats, facing: Floats, noise: Noise) -> NDArray[np.bool_]:
    """Which points of a crown (3, n) are gaps between leaves, as a (n,) array of booleans.

    ``facing`` (n,) is the cosine between ray and surface. Gaps crowd towards the outline, where
    the ray grazes the solid: that breaks the smooth outline up into twigs.
    """
    clumps, leaves = noise.volumes(points, (2.0, 7.5), 40 * surface.variant)
    gaps: NDArray[np.bool_] = (np.abs(facing) < 0.55 * clumps + 0.5 * leaves - 0.10) | (
        0.25 * clumps + 0.75 * leaves < 0.25
    )
    return gaps


def _paint_plain(surface: Surface, spot: Spot) -> Look:
    look = plain_look(surface, spot)
    stain = spot.noise.volume(spot.points * 1.3) - 0.5
    look.albedo *= 1 + 0.16 * stain
    return look


def _paint_foliage(surface: Surface, spot: Spot) -> Look:
    look = plain_look(surface, spot)
    scales = (2.0, 7.5, 16.0, 3.1)
    clumps, leaves, fine, bumps = spot.noise.volumes(spot.points, scales, 40 * surface.variant)
    fine = np.clip(1.3 - spot.blur / 0.12, 0, 1) * (fine - 0.5)
    tone = 0.58 + 0.44 * clumps + 0.46 * leaves + 0.7 * fine
    # Young leaves at the outside are lighter and yellower.
    warm = column((1.16, 1.06, 0.72))
    look.albedo *= mix(column((0.92, 0.98, 1.02)), warm, np.clip(leaves + fine, 0, 1)) * tone
    frame, size = surface.frame, np.array(surface.size)[:, None]
    centre = np.array([frame.x, frame.y, frame.z])[:, None]
    outward = ((spot.points - centre) / size).astype(spot.points.dtype)
    reach = np.sqrt((outward**2).sum(axis=0))
    low = np.clip(0.5 + 0.5 * outward[2], 0, 1)
    look.openness = (0.30 + 0.70 * smoothstep(0.35, 1.05, reach)) * (0.62 + 0.38 * low)
    ruffle = np.stack([clumps, leaves, bumps]) - 0.5
    look.normals = normalised(0.50 * spot.normals + 0.65 * normalised(outward) + 0.95 * ruffle)
    return look


def _paint_bark(surface: Surface, spot: Spot) -> Look:
    look = plain_look(surface, spot)
    x, y, z = spot.points
    ridges = spot.noise.volume(np.stack([x * 9, y * 9, z * 1.4]))
    bands = spot.noise.volume(np.stack([x * 2, y * 2, z * 7])) > 0.72
    look.albedo *= 0.7 + 0.6 * ridges
    if surface.colour[0] > 0.5:  # birch: dark bands round a pale trunk
        look.albedo = mix(look.albedo, column(surface.accent), 0.8 * bands)
    look.openness = 0.55 + 0.45 * np.clip(1 - z / 6, 0, 1)
    return look


_PAINTERS: dict[Material, Callable[[Surface, Spot], Look]] = {
    Material.FOLIAGE: _paint_foliage,
    Material.HEDGE: _paint_foliage,
    Material.BARK: _paint_bark,
    Material.FACADE: paint_facade,
    Material.ROOF: paint_roof,
    Material.PLAIN: _paint_plain,
    Material.CAR_BODY: paint_body,
    Material.CAR_CABIN: paint_cabin,
    Material.WHEEL: paint_wheel,
}

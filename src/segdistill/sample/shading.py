"""Turns what the rays of the toy world hit into light: paint, sun, sky, mirror images, haze."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segdistill.sample.layout import Layout
from segdistill.sample.light import Light, clear_sky, cloudy_sky, through_haze
from segdistill.sample.look import Look, Spot
from segdistill.sample.noise import column, mix, smoothstep
from segdistill.sample.shapes import Floats
from segdistill.sample.textures import surface_look
from segdistill.sample.tracing import GROUND, SKY, Hits, leafy_hits, sunlight

_SKY_STRENGTH = 1.15
# The most that a surface mirrors, however grazing the view.
_GRAZING = 0.55
# How far the ground beside a thing is dimmed by it.
_CONTACT = 0.62


@dataclass(frozen=True)
class _Solid:
    """The hits that are not sky, n of them."""

    part: NDArray[np.int16]  # (n,)
    points: Floats  # (3, n), world
    metres: Floats  # (n,), from the camera
    blur: Floats  # (n,), metres that a pixel covers


def shade(layout: Layout, hits: Hits) -> Floats:
    """Linear colours of the hits, shape (3, rays)."""
    directions = hits.directions.reshape(3, -1)
    part, depth = hits.part.ravel(), hits.depth.ravel()
    lengths = np.sqrt((directions**2).sum(axis=0))
    rays = directions / lengths
    colours: Floats = np.empty_like(rays)
    sky, solid = np.flatnonzero(part == SKY), np.flatnonzero(part != SKY)
    colours[:, sky] = _SKY_STRENGTH * cloudy_sky(layout.light, rays[:, sky], layout.noise)
    points = directions[:, solid] * depth[solid]
    points[2] += layout.camera.height
    rays, metres = rays[:, solid], (depth * lengths)[solid]
    half_view = math.radians(layout.camera.field_of_view / 2)
    pixel = 2 * math.tan(half_view) / hits.directions.shape[2]
    look, bare = _paint(layout, _Solid(part[solid], points, metres, metres * pixel))
    lit = sunlight(layout, points, bare, leafy_hits(layout, part[solid]))
    surface = _illuminate(layout.light, look, rays, lit)
    colours[:, solid] = through_haze(layout.light, surface, rays, metres)
    return colours


def _paint(layout: Layout, solid: _Solid) -> tuple[Look, Floats]:
    """Looks of all the hits, and the normals of their bare shapes, shape (3, n)."""
    points, count = solid.points, solid.part.size
    look = Look(
        albedo=np.zeros_like(points),
        normals=np.zeros_like(points),
        gloss=np.zeros(count, dtype=points.dtype),
        openness=np.zeros(count, dtype=points.dtype),
        emission=np.zeros_like(points),
    )
    bare = np.zeros_like(points)
    # Hits sorted by part: each part then paints one contiguous run of them.
    order = np.argsort(solid.part, kind="stable")
    bounds = np.searchsorted(solid.part[order], np.arange(GROUND, len(layout.parts) + 1))
    ground = order[: bounds[1]]
    x, y, metres = points[0, ground], points[1, ground], solid.metres[ground]
    # A pixel covers more ground in depth than across: the mean of the two decides what blurs.
    stretch = np.minimum(np.sqrt(metres / layout.camera.height), 6)
    look.albedo[:, ground] = layout.ground.albedo(x, y, solid.blur[ground] * stretch)
    look.normals[2, ground] = bare[2, ground] = 1
    look.openness[ground] = _ground_openness(layout, x, y)
    for index, candidate in enumerate(layout.parts):
        mine = order[bounds[index + 1] : bounds[index + 2]]
        if mine.size == 0:
            continue
        normals = candidate.shape.normals(points[:, mine])
        spot = Spot(points[:, mine], normals, solid.blur[mine], layout.noise, layout.light.lamps)
        painted = surface_look(candidate.surface, spot)
        bare[:, mine] = normals
        look.albedo[:, mine] = painted.albedo
        look.normals[:, mine] = painted.normals
        look.gloss[mine] = painted.gloss
        look.openness[mine] = painted.openness
        look.emission[:, mine] = painted.emission
    return look, bare


def _ground_openness(layout: Layout, x: Floats, y: Floats) -> Floats:
    """How much sky points of the ground (n,) see past the things that stand near them, 0..1."""
    openness = np.ones_like(x)
    for footprint, reach in layout.shades:
        frame = footprint.frame
        size = footprint.radius + 3 * reach
        near = np.flatnonzero((np.abs(x - frame.x) < size) & (np.abs(y - frame.y) < size))
        if near.size == 0:
            continue
        local = frame.to_local(np.stack([x[near], y[near], np.zeros_like(x[near])]))
        beyond_x = np.maximum(np.abs(local[0]) - footprint.half_length, 0)
        beyond_y = np.maximum(np.abs(local[1]) - footprint.half_width, 0)
        openness[near] *= 1 - _CONTACT * np.exp(-np.hypot(beyond_x, beyond_y) / reach)
    return openness


def _illuminate(light: Light, look: Look, rays: Floats, lit: Floats) -> Floats:
    """Linear colours (3, n) of painted points seen along unit rays (3, n)."""
    normals = look.normals
    to_sun = column(light.to_sun)
    toward: Floats = (normals * to_sun).sum(axis=0)
    diffuse = column(light.sun) * (np.maximum(toward, 0) * lit)
    upward = 0.5 + 0.5 * normals[2]
    skylight = mix(column(light.bounce), column(light.ambient), upward) * look.openness
    colours: Floats = look.albedo * (diffuse + skylight) + look.emission
    shiny = np.flatnonzero(look.gloss > 0)
    if shiny.size:
        normal, ray = normals[:, shiny], rays[:, shiny]
        cosine = -(normal * ray).sum(axis=0)
        mirrored = ray + 2 * cosine * normal
        # Grazing views mirror more; below the horizon lies the darker ground.
        share = (
            look.gloss[shiny] + (_GRAZING - look.gloss[shiny]) * (1 - np.clip(cosine, 0, 1)) ** 5
        )
        above = smoothstep(-0.15, 0.1, mirrored[2])
        seen = mix(column(light.bounce), clear_sky(light, mirrored), above)
        spark = np.maximum((mirrored * to_sun).sum(axis=0), 0) ** 180 * lit[shiny]
        glare = column(light.sun) * (spark * 6 * share)
        colours[:, shiny] = mix(colours[:, shiny], seen, share * look.openness[shiny]) + glare
    return colours

"""Paint for the buildings of the toy world: walls with windows and doors, and tiled roofs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segdistill.sample.buildings import BRICK_VARIANT
from segdistill.sample.look import Look, Spot, plain_look
from segdistill.sample.noise import column, linear, mix, smoothstep
from segdistill.sample.parts import Surface
from segdistill.sample.shapes import Floats

_GLASS = linear("222c36")
_LAMP = linear("ffcf7a")
_WOOD = linear("5a3a26")
_LEDGE = (0.62, 0.60, 0.55)
_PLINTH = 0.30


def paint_facade(surface: Surface, spot: Spot) -> Look:
    """A wall with its windows and doors; on top, the gravel of a flat roof."""
    look = plain_look(surface, spot)
    local = surface.frame.to_local(spot.points)
    facing = surface.frame.to_local(spot.normals, directions=True)
    roof = facing[2] > 0.7
    _lay_wall(look, surface, spot, np.where(_on_side(facing), local[1], local[0]), local[2])
    _set_windows(look, surface, spot, _openings(surface, local, facing))
    gravel = column((0.30, 0.29, 0.27)) * (0.8 + 0.4 * spot.noise.volume(spot.points * 4.0))
    look.albedo = np.where(roof, gravel, look.albedo)
    # Walls see less sky near the ground and under the eaves.
    low = 0.55 + 0.45 * smoothstep(-0.2, 2.2, local[2])
    high = 1 - 0.25 * smoothstep(0.9, 0.0, surface.size[2] - local[2])
    look.openness = np.where(roof, 1.0, low * high)
    return look


@dataclass(frozen=True)
class _Openings:
    """Where n points of a wall lie in its grid of windows and doors; lengths in metres."""

    inside: Floats  # in from the edge of the opening; negative on the wall
    aside: Floats  # from the middle line of the opening
    below_head: Floats  # above its upper edge, so negative inside
    ledge: NDArray[np.bool_]  # the stone under a window
    door: NDArray[np.bool_]
    key: Floats  # one number for each opening, to draw its curtains and lamps by


def _openings(surface: Surface, local: Floats, facing: Floats) -> _Openings:
    """Divide a wall into bays and floors and find each point's place in them."""
    floor_height, bays_x, bays_y, shop_front = surface.details
    width, depth, top = surface.size
    sideways = _on_side(facing)
    across = np.where(sideways, local[1] / depth, local[0] / width) + 0.5  # 0..1 along the wall
    bays = np.where(sideways, bays_y, bays_x)
    bay_width = np.where(sideways, depth / bays_y, width / bays_x)
    height = local[2] - _PLINTH
    bay, floor = np.floor(across * bays), np.floor(height / floor_height)
    aside = (across * bays - bay - 0.5) * bay_width
    above = height - floor * floor_height
    street_level = (facing[1] < -0.7) & (floor < 0.5)
    display = street_level & (shop_front > 0.5)
    door = street_level & ~display & (bay == np.floor(bays / 2))
    half = np.where(display, bay_width / 2 - 0.16, 0.56)
    sill = np.where(display, 0.45, np.where(door, -_PLINTH, 0.85))
    head = np.where(display, 2.35, np.where(door, 2.05, 2.18))
    # Nothing in the parapet, and nothing in a bay too narrow for it.
    fits = (height > -0.4) & (height < top - 0.6) & (facing[2] <= 0.7) & (bay_width > 1.5)
    inside = np.minimum(half - np.abs(aside), np.minimum(above - sill, head - above))
    ledge = fits & ~door & (np.abs(aside) < half + 0.12) & (np.abs(above - sill + 0.10) < 0.07)
    key = bay * 3.7 + floor * 9.1 + sideways * 5.3
    return _Openings(np.where(fits, inside, -9.0), aside, above - head, ledge, door, key)


def _lay_wall(look: Look, surface: Surface, spot: Spot, along: Floats, height: Floats) -> None:
    """Plaster or brick between the windows, a plinth below, all with some weather on it."""
    stain = spot.noise.volume(np.stack([spot.points[0], spot.points[1], spot.points[2] * 0.35]))
    look.albedo *= 0.90 + 0.22 * stain
    if surface.variant > BRICK_VARIANT:
        course = np.floor(height / 0.14)
        brick = along / 0.42 + 0.5 * (course % 2)
        tone = spot.noise.plane(np.floor(brick) * 1.37 + 0.5, course * 1.71 + 0.5) - 0.5
        seen = np.clip(1.4 - spot.blur / 0.10, 0, 1)
        look.albedo *= 1 + 0.55 * seen * tone
        edge = np.maximum(np.abs(height / 0.14 - course - 0.5) - 0.40, 0) * 8
        look.albedo = mix(look.albedo, column((0.42, 0.38, 0.33)), np.clip(edge, 0, 1) * 0.5 * seen)
    else:
        grain = spot.noise.detail(along, height, 0.16, spot.blur)
        look.albedo *= 1 + 0.16 * grain
    look.albedo = np.where(height < 0.32, look.albedo * 0.45 + 0.07, look.albedo)


def _set_windows(look: Look, surface: Surface, spot: Spot, openings: _Openings) -> None:
    """Frames, panes, curtains, ledges and doors."""
    inside, door = openings.inside, openings.door
    trim = column(surface.accent)
    frame = (inside > -0.10) & (inside <= 0.07)
    look.albedo = np.where(frame, trim * 0.95 + 0.02, look.albedo)
    pane = inside > 0.07
    distance = np.abs(openings.aside)
    glass = pane & ~door & (distance >= 0.035)  # a bar divides it in the middle
    # Each window has its own curtains and, at dusk, its own light.
    place = openings.key * 1.31 + 0.5 + 60 * surface.variant
    chance = spot.noise.plane(place, openings.key * 0.77 + 0.5)
    curtain = glass & (chance > 0.55) & (distance > 0.30)
    # The lintel throws its shade on the top of the pane.
    shade = np.where(openings.below_head > -0.28, 0.45, 1.0)
    dark = column(_GLASS) * (0.6 + 0.8 * chance)
    colour = np.where(curtain, column((0.45, 0.42, 0.37)), dark) * shade
    look.albedo = np.where(pane, np.where(glass, colour, trim * 0.9), look.albedo)
    panel = np.where((np.abs(distance - 0.22) < 0.03) | (openings.below_head > -0.5), 0.6, 1.0)
    look.albedo = np.where(pane & door, mix(trim, column(_WOOD), 0.65) * panel, look.albedo)
    look.albedo = np.where(openings.ledge, column(_LEDGE), look.albedo)
    look.gloss = np.where(glass, np.where(curtain, 0.08, 0.16), 0.0)
    lit = glass & (chance < 0.30 + 0.35 * spot.lamps)
    look.emission = np.where(lit, column(_LAMP) * (1.5 * spot.lamps * (0.55 + 0.45 * shade)), 0.0)


def paint_roof(surface: Surface, spot: Spot) -> Look:
    """Rows of tiles on the slopes; gables plastered, fascias painted."""
    look = plain_look(surface, spot)
    local = surface.frame.to_local(spot.points)
    facing = surface.frame.to_local(spot.normals, directions=True)
    level = np.abs(facing[0]) > np.abs(facing[1])
    along = np.where(level, local[1], local[0])
    row_height = 0.24
    course = local[2] / row_height
    row = np.floor(course)
    tile = np.floor(along / 0.36 + 0.5 * (row % 2))
    tone = spot.noise.plane(tile * 1.37 + 0.5, row * 1.71 + 0.5) - 0.5
    seen = np.clip(1.5 - spot.blur / 0.24, 0, 1)
    lip = smoothstep(0.30, 0.0, course - row)
    weather = spot.noise.volume(spot.points * 0.9) - 0.5
    look.albedo *= 1 + 0.45 * seen * tone - 0.40 * seen * lip + 0.35 * weather
    moss = smoothstep(0.62, 0.85, spot.noise.volume(spot.points * 0.45 + 9.0))
    look.albedo = mix(look.albedo, column(linear("6b6a45")) * 0.8, 0.35 * moss)
    # Upright faces above the eaves are gables, plastered as the walls; below they are fascias.
    upright = np.abs(facing[2]) < 0.25
    gable = upright & (local[2] > surface.details[0] + 0.1)
    fascia = (upright & ~gable) | (facing[2] < -0.5)
    look.albedo = np.where(gable, column(surface.accent) * (0.95 + 0.2 * weather), look.albedo)
    look.albedo = np.where(fascia, column((0.55, 0.52, 0.47)), look.albedo)
    return look


def _on_side(facing: Floats) -> NDArray[np.bool_]:
    """Which points lie on the walls at the ends of the front, given local normals (3, n)."""
    sideways: NDArray[np.bool_] = np.abs(facing[0]) > np.abs(facing[1])
    return sideways

"""Buildings of the toy world: houses with pitched roofs, blocks of flats and shops.

A building's frame has x along its front and y away from the street: the front is the wall at
negative y.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from segdistill.sample.noise import linear
from segdistill.sample.parts import Label, Material, Part, Surface
from segdistill.sample.shapes import Frame, box, profile_solid

_PLASTERS = (
    "e6d3ac",
    "d9a67c",
    "e9e4d8",
    "c9b08a",
    "b9c7c9",
    "d8b9b0",
    "c7675a",
    "e3c878",
    "9db0b8",
    "b5c0a0",
    "d98f6a",
)
_BRICKS = ("9c4f3c", "a8644a", "8a4a3e", "b5794f", "c4986c")
_TILES = ("a2452f", "8d3b2e", "b35a3a", "5b5f66", "4c4f57", "6e4a3c", "7a3f34")
_TRIMS = ("f2efe6", "e8e0d0", "3d5a48", "54402f", "2f4a63", "f4f2ee")
_FLAT_FACADES = ("c9c4b8", "b9b2a4", "d8cdb8", "a9b0b4", "c98d68", "dcd6cc", "9a6a58", "c2b59a")
_AWNINGS = ("b23a30", "2f6b57", "2f5486", "d8b040")
BRICK_VARIANT = 0.6
"""Facades whose variant is above this are laid in brick."""


def house(frame: Frame, width: float, depth: float, generator: np.random.Generator) -> list[Part]:
    """A house of one to three floors with a gabled or hipped roof and a chimney."""
    floors = int(generator.choice([1, 2, 3], p=[0.35, 0.52, 0.13]))
    walls = _walls(frame, width, depth, generator, floors=floors, floor_height=2.75)
    roof = _roof_paint(walls, generator)
    eaves = walls.size[2]
    parts = [Part(box(frame, width, depth, eaves), walls)]
    pitch = generator.uniform(0.62, 1.0)
    hipped = bool(generator.random() < 0.3)
    across = bool(generator.random() < 0.3) and not hipped
    # The ridge runs along the street, or away from it: then a gable faces the street.
    ridge_side, slope_side = (depth, width) if across else (width, depth)
    cover = _pitched_roof(
        frame,
        roof,
        ridge_side=ridge_side,
        slope_side=slope_side,
        eaves=eaves,
        pitch=pitch,
        turned=not across,
        hipped=hipped,
    )
    parts.append(cover)
    ridge = eaves + pitch * slope_side / 2
    if not hipped:
        parts.append(_chimney(frame, width, depth, ridge, generator))
    if not across and width > 8.5 and generator.random() < 0.5:
        parts += _front_wing(frame, walls, roof, pitch, generator)
    elif generator.random() < 0.5:
        parts.append(_porch(frame, depth, roof))
    return parts


def flats(frame: Frame, width: float, depth: float, generator: np.random.Generator) -> list[Part]:
    """A flat-roofed block of three to six floors, at times with balconies."""
    floors = int(generator.integers(3, 7))
    walls = _walls(frame, width, depth, generator, floors=floors, floor_height=3.0, flat=True)
    height = walls.size[2]
    parts = [Part(box(frame, width, depth, height), walls)]
    coping = _plain(walls, generator.choice(["d9d4c8", "8c8880", "b8b2a6"]))
    parts += _parapet(frame, width, depth, height, coping)
    hut = _inside(frame, generator.uniform(-0.25, 0.25) * width, 0.0, height)
    parts.append(Part(box(hut, 3.4, 3.0, 2.2), _plain(walls, "a9a59b")))
    if generator.random() < 0.6:
        slab = _plain(walls, generator.choice(["e4e0d6", "c2bcb0", "8f959a"]))
        reach = width * generator.uniform(0.32, 0.42)
        for floor in range(1, floors):
            level = _inside(frame, 0.0, -depth / 2 - 0.5, floor * 3.0 - 0.05)
            parts.append(Part(box(level, 2 * reach, 1.0, 0.16), slab))
            rail = _inside(frame, 0.0, -depth / 2 - 0.97, floor * 3.0 + 0.11)
            parts.append(Part(box(rail, 2 * reach, 0.06, 0.75), slab))
    return parts


def shop(frame: Frame, width: float, depth: float, generator: np.random.Generator) -> list[Part]:
    """A flat-roofed shop of one to three floors with display windows and an awning."""
    floors = int(generator.integers(1, 4))
    walls = _walls(frame, width, depth, generator, floors=floors, floor_height=3.4, flat=True)
    walls = replace(walls, details=(*walls.details[:3], 1.0))
    height = walls.size[2]
    parts = [Part(box(frame, width, depth, height), walls)]
    parts += _parapet(frame, width, depth, height, _plain(walls, generator.choice(_TRIMS)))
    awning = _plain(walls, generator.choice(_AWNINGS))
    canopy = _inside(frame, 0.0, -depth / 2, 0.0)
    # Drawn along the front: the outline lies in the plane across it.
    outline = [(-1.3, 2.62), (0.1, 2.62), (0.1, 3.15), (-1.3, 2.72)]
    across = Frame(canopy.x, canopy.y, 0.0, frame.yaw + math.pi / 2)
    parts.append(Part(profile_solid(across, outline, width * 0.44), awning))
    return parts


def _walls(
    frame: Frame,
    width: float,
    depth: float,
    generator: np.random.Generator,
    *,
    floors: int,
    floor_height: float,
    flat: bool = False,
) -> Surface:
    """Facade paint, and through its size the dimensions of the block it covers."""
    variant = float(generator.random())
    palette = _FLAT_FACADES if flat else (_BRICKS if variant > BRICK_VARIANT else _PLASTERS)
    bay = generator.uniform(2.3, 3.1)
    bays = (float(max(round(width / bay), 2)), float(max(round(depth / bay), 2)))
    return Surface(
        Label.BUILDING,
        Material.FACADE,
        linear(str(generator.choice(palette))),
        linear(str(generator.choice(_TRIMS))),
        frame,
        (width, depth, floors * floor_height + 0.35),
        (floor_height, *bays, 0.0),
        variant,
    )


def _roof_paint(walls: Surface, generator: np.random.Generator) -> Surface:
    """Tiles; the gable ends keep the colour of the walls."""
    return replace(
        walls,
        material=Material.ROOF,
        colour=linear(str(generator.choice(_TILES))),
        accent=walls.colour,
        details=(walls.size[2],),
    )


def _pitched_roof(
    frame: Frame,
    surface: Surface,
    *,
    ridge_side: float,
    slope_side: float,
    eaves: float,
    pitch: float,
    turned: bool,
    hipped: bool = False,
) -> Part:
    """A roof over a block: its outline across ``slope_side``, drawn along ``ridge_side``."""
    over = 0.38
    half = slope_side / 2 + over
    low = eaves - over * pitch * 0.5
    outline = [
        (-half, low),
        (half, low),
        (half, low + 0.16),
        (0.0, low + 0.16 + pitch * half),
        (-half, low + 0.16),
    ]
    across = replace(frame, yaw=frame.yaw + math.pi / 2) if turned else frame
    # Hips lean in as steeply as the main slopes rise, as far as the length allows.
    taper = min(1 / pitch, 0.8 * (ridge_side / 2 + over) / (pitch * half)) if hipped else 0.0
    ends = ridge_side / 2 + (over if hipped else 0.18)
    return Part(profile_solid(across, outline, ends, taper=taper), surface)


def _chimney(
    frame: Frame, width: float, depth: float, ridge: float, generator: np.random.Generator
) -> Part:
    """A brick stack through the roof beside the ridge."""
    side = float(generator.choice([-1.0, 1.0]))
    foot = _inside(frame, side * 0.27 * width, 0.12 * depth, ridge - 2.4)
    brick = Surface(
        Label.BUILDING,
        Material.PLAIN,
        linear(str(generator.choice(_BRICKS))),
        linear("4a3a34"),
        frame,
    )
    return Part(box(foot, 0.75, 0.75, 2.4 + 0.55), brick)


def _front_wing(
    frame: Frame, walls: Surface, roof: Surface, pitch: float, generator: np.random.Generator
) -> list[Part]:
    """A gabled bay that stands forward of the front wall."""
    width, depth, eaves = walls.size
    wide = width * generator.uniform(0.32, 0.42)
    side = float(generator.choice([-1.0, 1.0]))
    forward = 1.5
    # Reaches back into the middle of the house, so that its roof runs into the main one.
    length = depth / 2 + forward
    centre = _inside(frame, side * (width - wide) / 2 * 0.94, -length / 2, 0.0)
    bay = replace(
        walls,
        frame=centre,
        size=(wide, length, eaves),
        details=(walls.details[0], max(round(wide / 2.6), 1.0), 2.0, 0.0),
    )
    cover = _pitched_roof(
        centre,
        replace(roof, frame=centre),
        ridge_side=length,
        slope_side=wide,
        eaves=eaves,
        pitch=pitch,
        turned=False,
    )
    return [Part(box(centre, wide, length, eaves), bay), cover]


def _porch(frame: Frame, depth: float, roof: Surface) -> Part:
    """A small sloping roof over the front door."""
    canopy = _inside(frame, 0.0, -depth / 2, 0.0)
    across = Frame(canopy.x, canopy.y, 0.0, frame.yaw + math.pi / 2)
    outline = [(-1.1, 2.30), (0.1, 2.30), (0.1, 2.85), (-1.1, 2.40)]
    return Part(profile_solid(across, outline, 1.0), replace(roof, details=(0.0,)))


def _parapet(
    frame: Frame, width: float, depth: float, height: float, surface: Surface
) -> list[Part]:
    """A coping round a flat roof, standing a little proud of the walls."""
    rims: list[Part] = []
    for side in (-1.0, 1.0):
        along = _inside(frame, 0.0, side * depth / 2, height - 0.05)
        rims.append(Part(box(along, width + 0.3, 0.3, 0.45), surface))
        ends = _inside(frame, side * width / 2, 0.0, height - 0.05)
        rims.append(Part(box(ends, 0.3, depth, 0.45), surface))
    return rims


def _plain(walls: Surface, code: str) -> Surface:
    """One colour, in the frame of the building."""
    return replace(walls, material=Material.PLAIN, colour=linear(str(code)), details=())


def _inside(frame: Frame, x: float, y: float, z: float) -> Frame:
    """A frame at a local position of another, turned alike."""
    place = frame.to_world((x, y, z))
    return Frame(place[0], place[1], place[2], frame.yaw)

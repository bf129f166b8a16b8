"""Trees, bushes and hedges of the toy world; all of them carry the label tree.

Every builder takes a frame on the ground and a random generator and gives the parts of one plant.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from segdistill.sample.noise import linear
from segdistill.sample.parts import Label, Material, Part, Surface
from segdistill.sample.shapes import Ellipsoid, Frame, TaperedCylinder, Triple, box

_LEAVES = ("4f7a2c", "5d8a34", "3f6e2e", "6b8f3a", "7c9440", "48752f")
_AUTUMN = ("c98a2b", "b8602a", "d2a73a", "a8492c")
_NEEDLES = ("2c5335", "34603a", "3d6848", "2a4a3c")
_BARKS = ("6a5240", "5a4636", "7a6350")
_BIRCH_BARK = "d8d4ca"


def broadleaf(
    frame: Frame, height: float, generator: np.random.Generator, *, autumn: bool, blobs: int = 9
) -> list[Part]:
    """A tree with a round, lobed crown of so many blobs."""
    spread = height * generator.uniform(0.33, 0.46)
    tallness = height * generator.uniform(0.34, 0.41)
    middle = (frame.x, frame.y, height - tallness)
    colour = _pick(generator, _AUTUMN if autumn and generator.random() < 0.6 else _LEAVES)
    crown = _foliage(frame, middle, (spread, spread, tallness), colour, generator)
    parts = [_trunk(frame, middle[2], height * 0.03, generator)]
    parts.append(_blob(middle, (0.66 * spread, 0.66 * spread, 0.72 * tallness), crown))
    turn = generator.uniform(0, 2 * math.pi)
    for index in range(blobs):
        # Evenly round the crown on a spiral, then pushed about: irregular but without gaps.
        rise = -0.85 + 1.75 * (index + 0.5) / blobs + generator.uniform(-0.14, 0.14)
        level = math.sqrt(max(1 - max(rise, -0.55) ** 2, 0.05))
        angle = turn + 2.4 * index + generator.uniform(-0.4, 0.4)
        reach = generator.uniform(0.50, 0.74)
        size = generator.uniform(0.30, 0.52)
        centre = (
            middle[0] + spread * reach * level * math.cos(angle),
            middle[1] + spread * reach * level * math.sin(angle),
            middle[2] + tallness * reach * rise,
        )
        parts.append(_blob(centre, (size * spread, size * spread, 1.0 * size * tallness), crown))
    return parts


def slender(
    frame: Frame, height: float, generator: np.random.Generator, *, autumn: bool, blobs: int = 7
) -> list[Part]:
    """A birch or poplar: pale trunk, a tall narrow crown of blobs stacked along it."""
    spread = height * generator.uniform(0.15, 0.20)
    tallness = height * 0.42
    middle = (frame.x, frame.y, height - tallness)
    colour = _AUTUMN[2] if autumn and generator.random() < 0.6 else _pick(generator, _LEAVES[3:])
    crown = _foliage(frame, middle, (spread, spread, tallness), colour, generator)
    parts = [_trunk(frame, height * 0.85, height * 0.013, generator, bark=_BIRCH_BARK)]
    core = (0.62 * spread, 0.62 * spread, 0.92 * tallness)
    parts.append(_blob((middle[0], middle[1], middle[2] - 0.06 * tallness), core, crown))
    turn = generator.uniform(0, 2 * math.pi)
    for index in range(blobs):
        rise = -0.85 + 1.6 * (index + 0.5) / blobs
        # Widest a third of the way up, running out to a thin top.
        girth = spread * math.sqrt(max(1 - (abs(rise + 0.3) / 1.3) ** 1.8, 0.02))
        angle = turn + 2.4 * index
        reach = girth * generator.uniform(0.28, 0.52)
        wide = girth * generator.uniform(0.46, 0.66)
        centre = (
            middle[0] + reach * math.cos(angle),
            middle[1] + reach * math.sin(angle),
            middle[2] + tallness * rise,
        )
        parts.append(_blob(centre, (wide, wide, tallness * generator.uniform(0.20, 0.32)), crown))
    return parts


def conifer(
    frame: Frame, height: float, generator: np.random.Generator, *, layers: int = 7
) -> list[Part]:
    """A spruce: a trunk and skirts of branches, one cone above another."""
    spread = height * generator.uniform(0.19, 0.26)
    bare = height * generator.uniform(0.06, 0.12)
    colour = _pick(generator, _NEEDLES)
    middle = (frame.x, frame.y, bare + 0.4 * (height - bare))
    crown = _foliage(frame, middle, (spread, spread, 0.6 * (height - bare)), colour, generator)
    parts = [_trunk(frame, height * 0.6, height * 0.022, generator)]
    step = (height - bare) / (layers + 0.6)
    for index in range(layers):
        low = bare + index * step
        radius = spread * (1 - index / layers) ** 0.9 * generator.uniform(0.92, 1.06)
        top = min(step * 2.3, height - low)
        # Each skirt hangs a little askew, as branches do.
        lean_x, lean_y = generator.uniform(-0.09, 0.09, 2)
        upright = math.sqrt(1 - lean_x**2 - lean_y**2)
        axis = (float(lean_x), float(lean_y), upright)
        base = (frame.x - 0.5 * top * axis[0], frame.y - 0.5 * top * axis[1], low)
        parts.append(Part(TaperedCylinder(base, axis, top, radius, 0.04 * radius), crown))
    return parts


def bush(frame: Frame, height: float, generator: np.random.Generator) -> list[Part]:
    """A low shrub; it counts as tree."""
    colour = _pick(generator, _LEAVES)
    middle = (frame.x, frame.y, 0.45 * height)
    crown = _foliage(frame, middle, (height, height, 0.7 * height), colour, generator)
    parts: list[Part] = []
    for _ in range(3):
        centre = (
            frame.x + 0.45 * height * generator.uniform(-1, 1),
            frame.y + 0.45 * height * generator.uniform(-1, 1),
            height * generator.uniform(0.35, 0.5),
        )
        size = height * generator.uniform(0.5, 0.65)
        parts.append(_blob(centre, (size, size, 0.9 * size), crown))
    return parts


def hedge(frame: Frame, length: float, generator: np.random.Generator) -> list[Part]:
    """A clipped hedge along the frame's x; it counts as tree."""
    height, thickness = generator.uniform(0.9, 1.4), 0.7
    middle = (frame.x, frame.y, 0.4 * height)
    size = (0.6 * length, 0.6 * length, 0.7 * height)
    crown = _foliage(frame, middle, size, _pick(generator, _LEAVES), generator)
    leaves = replace(crown, material=Material.HEDGE)
    return [Part(box(frame, length, thickness, height, bevel=0.15), leaves)]


def _foliage(
    frame: Frame, middle: Triple, size: Triple, colour: str, generator: np.random.Generator
) -> Surface:
    """Surface of a crown: its frame sits at the crown's centre."""
    tint = generator.uniform(0.86, 1.12)
    red, green, blue = linear(colour)
    return Surface(
        Label.TREE,
        Material.FOLIAGE,
        (red * tint, green * tint, blue * tint),
        linear("2c4a1e"),
        Frame(middle[0], middle[1], middle[2], frame.yaw),
        size,
        (),
        float(generator.random()),
    )


def _blob(centre: Triple, radii: Triple, surface: Surface) -> Part:
    """One ellipsoid of a crown."""
    return Part(Ellipsoid(centre, radii), surface)


def _trunk(
    frame: Frame,
    height: float,
    radius: float,
    generator: np.random.Generator,
    *,
    bark: str | None = None,
) -> Part:
    """A trunk narrowing upwards."""
    colour = linear(bark or _pick(generator, _BARKS))
    surface = Surface(Label.TREE, Material.BARK, colour, linear("2e2620"), frame)
    shape = TaperedCylinder((frame.x, frame.y, 0.0), (0.0, 0.0, 1.0), height, radius, radius * 0.55)
    return Part(shape, surface)


def _pick(generator: np.random.Generator, choices: tuple[str, ...]) -> str:
    """One of the choices."""
    return choices[int(generator.integers(len(choices)))]

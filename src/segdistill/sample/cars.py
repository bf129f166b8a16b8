"""Cars of the toy world: a body, a cabin and four wheels."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from segdistill.sample.noise import linear
from segdistill.sample.parts import Label, Material, Part, Surface
from segdistill.sample.shapes import Frame, TaperedCylinder, profile_solid

_CAR_COLOURS = (
    "b3261e",
    "1f4e8c",
    "e8e8e4",
    "2b2d30",
    "8d949b",
    "d9a521",
    "2f6b4f",
    "c7ccd1",
    "6fa3c4",
    "c65d21",
    "7a1f2b",
)


@dataclass(frozen=True)
class _Model:
    """Proportions of a kind of car, in metres."""

    share: float
    length: float
    width: float
    height: float
    waist: float
    """Height of the lower edge of the windows."""
    bonnet: float
    boot: float
    screen_run: float
    """How far the windscreen leans back from its foot to its top."""
    rear_run: float
    """How far the rear window leans forward."""
    may_deliver: bool = False
    """Whether it may have panels in place of its rear windows."""


_HATCHBACK = _Model(0.34, 3.95, 1.74, 1.48, 0.86, 0.95, 0.06, screen_run=0.62, rear_run=0.30)
_SALOON = _Model(0.34, 4.55, 1.80, 1.44, 0.86, 1.15, 0.62, screen_run=0.72, rear_run=0.62)
_OFF_ROADER = _Model(0.20, 4.50, 1.88, 1.70, 0.98, 1.05, 0.06, screen_run=0.55, rear_run=0.28)
_VAN = _Model(0.12, 4.85, 1.92, 2.02, 1.02, 0.62, 0.06, 0.66, 0.08, may_deliver=True)
_MODELS = (_HATCHBACK, _SALOON, _OFF_ROADER, _VAN)


def car(frame: Frame, generator: np.random.Generator) -> list[Part]:
    """A car facing along the frame's x, standing on its wheels."""
    model = _MODELS[int(generator.choice(len(_MODELS), p=[each.share for each in _MODELS]))]
    side = model.width / 2
    radius, axle = 0.17 + 0.10 * model.height, 0.30 * model.length
    colour = _CAR_COLOURS[int(generator.integers(len(_CAR_COLOURS)))]
    paint = Surface(
        Label.CAR,
        Material.CAR_BODY,
        linear(colour),
        linear("15171a"),
        frame,
        (model.length, model.width, model.height),
        (radius, axle, model.waist),
        float(generator.random()),
    )
    glass_share = 0.42 if model.may_deliver and generator.random() < 0.6 else 1.0
    body = profile_solid(frame, _body_outline(model), side, taper=0.07, bevel=0.055)
    parts = [Part(body, paint), _cabin(model, paint, glass_share)]
    for x in (-axle, axle):
        for direction in (-1.0, 1.0):
            hub = frame.to_world((x, direction * (side - 0.21), radius))
            rubber = replace(
                paint,
                material=Material.WHEEL,
                frame=Frame(hub[0], hub[1], hub[2], frame.yaw),
                size=(radius, radius, radius),
            )
            axis = frame.turn((0.0, direction, 0.0))
            parts.append(Part(TaperedCylinder(hub, axis, 0.225, radius, 0.97 * radius), rubber))
    return parts


def _body_outline(model: _Model) -> list[tuple[float, float]]:
    """The lower body seen from the side, anticlockwise from the rear sill; x forward."""
    half, sill, nose = model.length / 2, 0.24, 0.72 * model.waist
    return [
        (-half + 0.12, sill),
        (half - 0.14, sill),
        (half - 0.02, sill + 0.12),
        (half, 0.52),
        (half - 0.05, nose),
        (half - 0.20, nose + 0.07),
        (half - model.bonnet, model.waist),
        (-half + 0.16, model.waist + 0.02),
        (-half + 0.03, model.waist - 0.10),
        (-half, 0.50),
    ]


def _cabin(model: _Model, paint: Surface, glass_share: float) -> Part:
    """The upper body: windows, posts and roof."""
    half, height = model.length / 2, model.height
    rear, front = -half + model.boot + 0.08, half - model.bonnet + 0.10
    base = model.waist - 0.04
    roof_rear, roof_front = rear + model.rear_run, front - model.screen_run
    outline = [
        (rear, base),
        (front, base),
        (roof_front, height - 0.06),
        (roof_front - 0.35, height),
        (roof_rear + 0.35, height),
        (roof_rear, height - 0.05),
    ]
    taper = 0.20 if height - base < 0.9 else 0.12
    shell = profile_solid(paint.frame, outline, model.width / 2 - 0.05, taper=taper, bevel=0.05)
    details = (rear, front, roof_rear, roof_front, base, glass_share)
    return Part(shell, replace(paint, material=Material.CAR_CABIN, details=details))

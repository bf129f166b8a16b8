"""Where things stand in a scene of the toy world: camera, roads, buildings, cars, trees."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from segdistill.sample import buildings
from segdistill.sample.camera import Camera
from segdistill.sample.ground import Ground, Road
from segdistill.sample.light import Light, draw_light
from segdistill.sample.noise import Noise
from segdistill.sample.parts import Footprint, Part
from segdistill.sample.site import Kind, Site, Theme


@dataclass(frozen=True)
class Layout:
    """A scene before it is drawn."""

    camera: Camera
    light: Light
    ground: Ground
    noise: Noise
    parts: tuple[Part, ...]
    shades: tuple[tuple[Footprint, float], ...]
    """Footprints that dim the ground about them, each with how far that reaches in metres."""


_HOUSE = Kind(buildings.house, widths=(7.5, 12.0), depths=(7.0, 9.5))
_FLATS = Kind(buildings.flats, widths=(11.0, 19.0), depths=(10.0, 13.0))
_SHOP = Kind(buildings.shop, widths=(8.0, 14.0), depths=(8.0, 11.0))
_THEMES = (
    Theme(  # country road
        kinds=((_HOUSE, 1.0),),
        pavement=(0.0, 0.0),
        half_width=(2.9, 3.4),
        setback=(5.0, 12.0),
        gap=(7.0, 30.0),
        parked=0.0,
        avenue=0.35,
        scattered=(14, 26),
        woods=0.9,
        fields=True,
    ),
    Theme(  # suburb
        kinds=((_HOUSE, 0.9), (_SHOP, 0.1)),
        pavement=(1.5, 2.0),
        half_width=(3.6, 4.6),
        setback=(3.5, 6.5),
        gap=(3.0, 8.0),
        parked=0.5,
        avenue=0.6,
        scattered=(10, 20),
        woods=0.6,
        fields=False,
    ),
    Theme(  # town
        kinds=(
            (_FLATS, 0.45),
            (_SHOP, 0.3),
            (_HOUSE, 0.25),
        ),
        pavement=(2.2, 3.2),
        half_width=(4.6, 5.4),
        setback=(2.0, 3.4),
        gap=(0.8, 7.0),
        parked=0.7,
        avenue=0.8,
        scattered=(6, 14),
        woods=0.35,
        fields=False,
    ),
)
_GRASSES = (
    ("54752f", "6c8641", "a29a5a"),
    ("607f3a", "7b9450", "aea468"),
    ("4f6d38", "647d45", "8f9058"),
    ("70843f", "87924f", "b8a468"),
)


def lay_out(seed: int) -> Layout:
    """Draw everything about a scene from one seed.

    >>> lay_out(3).camera == lay_out(3).camera
    True
    """
    generator = np.random.default_rng(seed)
    theme = _THEMES[int(generator.choice(len(_THEMES), p=[0.3, 0.4, 0.3]))]
    roads, camera = _roads_and_camera(theme, generator)
    light = draw_light(generator, camera.azimuth)
    noise = Noise(int(generator.integers(2**31)))
    autumn = bool(generator.random() < 0.22)
    ground = Ground(
        roads=roads,
        grass=_GRASSES[int(generator.integers(len(_GRASSES)))],
        fields=theme.fields and bool(generator.random() < 0.75),
        lined=bool(generator.random() < 0.7) and theme.parked == 0,
        noise=noise,
        wear=generator.uniform(0.3, 1.0),
    )
    site = Site(camera, roads, generator, autumn)
    for road in roads:
        site.add_cars(road, theme)
    for road in roads:
        site.add_buildings(road, theme)
    for road in roads:
        site.add_avenue(road, theme)
    site.add_trees(theme)
    site.add_woods(theme)
    return Layout(camera, light, ground, noise, tuple(site.parts), tuple(site.shades))


def _roads_and_camera(
    theme: Theme, generator: np.random.Generator
) -> tuple[tuple[Road, ...], Camera]:
    """One of four kinds of road, and a camera that looks along or at it."""
    half_width = generator.uniform(*theme.half_width)
    pavement = generator.uniform(*theme.pavement)
    height = float(generator.choice([generator.uniform(1.5, 2.4), generator.uniform(2.8, 6.5)]))
    view = generator.uniform(52, 78)
    kind = str(generator.choice(["ahead", "bend", "junction", "across"], p=[0.3, 0.3, 0.22, 0.18]))
    pitch = math.radians(generator.uniform(-1.5, 3.0) + 1.5 * (height - 1.5))
    if kind == "across":
        distance = generator.uniform(7.5, 13.0) + half_width + pavement
        road = Road(0.0, distance, math.radians(generator.uniform(-24, 24)), half_width, pavement)
        return (road,), Camera(height, 0.0, pitch, view)
    side = float(generator.choice([-1.0, 1.0]))
    # From a lane, from the pavement, or from the grass some way off.
    aside = side * float(
        generator.choice(
            [half_width * 0.5, half_width + 0.5 * pavement + 0.6, half_width + pavement + 4.0],
            p=[0.3, 0.35, 0.35],
        )
    )
    heading = math.pi / 2 + math.radians(generator.uniform(-4, 4))
    bend = generator.uniform(5.0, 13.0) if kind == "bend" else 0.0
    rate = 2 * math.pi / generator.uniform(90, 150) if bend else 0.0
    phase = generator.uniform(0, 2 * math.pi) if bend else 0.0
    road = Road(aside, 0.0, heading, half_width, pavement, bend, rate, phase)
    # Looking a little towards the road from beside it, which then crosses the picture.
    yaw = math.radians(generator.uniform(-6, 10)) * side
    roads = [road]
    if kind == "junction":
        spot = road.place(generator.uniform(17, 32), 0.0)
        turn = -math.pi / 2 + math.radians(generator.uniform(-14, 14))
        roads.append(
            Road(spot.x, spot.y, heading + turn, half_width * generator.uniform(0.8, 1), pavement)
        )
        roads = [replace(each, zebra=_zebra(each, roads[1 - i])) for i, each in enumerate(roads)]
    return tuple(roads), Camera(height, yaw, pitch, view)


def _zebra(road: Road, other: Road) -> float:
    """Where a crossing for walkers lies on a road: just short of the other one."""
    along, _ = road.coordinates(np.array([other.x]), np.array([other.y]))
    return float(along[0]) - other.half_width - other.pavement - 3.2

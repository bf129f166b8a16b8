"""Times of day for the toy world: sun, sky with clouds, haze and the final exposure."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segdistill.sample.noise import Noise, column, linear, mix, smoothstep
from segdistill.sample.shapes import Floats, Triple

_OPAQUE_CLOUD = 0.93
_FILM = 1.22
_SATURATION = 0.98


@dataclass(frozen=True)
class Light:
    """What lights a scene. Colours are linear; strengths are relative to a white surface."""

    to_sun: Triple
    sun: Triple
    ambient: Triple
    bounce: Triple
    zenith: Triple
    horizon: Triple
    glow: Triple
    cloud_lit: Triple
    cloud_dark: Triple
    cloud_cover: float
    haze_metres: float
    lamps: float
    exposure: float

    @property
    def has_sun(self) -> bool:
        """Whether the sun is strong enough to cast shadows."""
        return max(self.sun) > 0.05


@dataclass(frozen=True)
class _Mood:
    """A time of day before chance has had its say: ranges and colours in sRGB."""

    weight: float
    elevation: tuple[float, float]
    sun: str
    sun_strength: float
    ambient: str
    ambient_strength: float
    zenith: str
    horizon: str
    glow: str
    cloud_lit: str
    cloud_dark: str
    cover: tuple[float, float]
    haze: tuple[float, float]
    lamps: tuple[float, float]
    exposure: float


_MOODS = (
    _Mood(  # clear day
        weight=0.34,
        elevation=(36, 58),
        sun="fff1d8",
        sun_strength=2.15,
        ambient="a8c4ee",
        ambient_strength=0.90,
        zenith="3f7fd0",
        horizon="c3ddf2",
        glow="fff6e0",
        cloud_lit="ffffff",
        cloud_dark="b4c0d0",
        cover=(0.30, 0.62),
        haze=(420, 900),
        lamps=(0.0, 0.0),
        exposure=1.0,
    ),
    _Mood(  # slanting morning or afternoon sun
        weight=0.26,
        elevation=(18, 30),
        sun="ffdfae",
        sun_strength=2.3,
        ambient="adc2e8",
        ambient_strength=0.82,
        zenith="4a86cc",
        horizon="dfe3e2",
        glow="ffeec0",
        cloud_lit="fff6e6",
        cloud_dark="aab2c4",
        cover=(0.30, 0.66),
        haze=(280, 600),
        lamps=(0.0, 0.1),
        exposure=1.05,
    ),
    _Mood(  # low golden sun
        weight=0.16,
        elevation=(9, 15),
        sun="ffb56a",
        sun_strength=2.6,
        ambient="a4acd4",
        ambient_strength=0.72,
        zenith="5679b4",
        horizon="f6cf9c",
        glow="ffc878",
        cloud_lit="ffd9ae",
        cloud_dark="94809a",
        cover=(0.40, 0.70),
        haze=(200, 420),
        lamps=(0.1, 0.5),
        exposure=1.12,
    ),
    _Mood(  # dusk, the last light
        weight=0.10,
        elevation=(5, 8),
        sun="ff9a66",
        sun_strength=1.5,
        ambient="8d98c8",
        ambient_strength=0.98,
        zenith="46639c",
        horizon="efb894",
        glow="ff9a5c",
        cloud_lit="f0a890",
        cloud_dark="645f88",
        cover=(0.40, 0.72),
        haze=(170, 340),
        lamps=(0.6, 0.9),
        exposure=1.3,
    ),
    _Mood(  # overcast
        weight=0.14,
        elevation=(45, 60),
        sun="ffffff",
        sun_strength=0.0,
        ambient="dfe6ee",
        ambient_strength=1.85,
        zenith="9aa7b6",
        horizon="d3d9de",
        glow="e8eaea",
        cloud_lit="e2e6ea",
        cloud_dark="98a3b0",
        cover=(0.85, 1.1),
        haze=(150, 320),
        lamps=(0.0, 0.3),
        exposure=1.0,
    ),
)


def draw_light(generator: np.random.Generator, view_azimuth: float) -> Light:
    """Draw a time of day and a direction of the sun.

    ``view_azimuth`` is the direction the camera looks in, radians anticlockwise from x. The sun
    stands behind or beside the camera more often than in front: lit sides show colours best.
    """
    weights = np.array([mood.weight for mood in _MOODS])
    mood = _MOODS[int(generator.choice(len(_MOODS), p=weights / weights.sum()))]
    behind = generator.random() < 0.82
    turn = generator.uniform(1.2, 2.75) if behind else generator.uniform(0.55, 1.2)
    azimuth = view_azimuth + turn * generator.choice([-1.0, 1.0])
    elevation = math.radians(generator.uniform(*mood.elevation))
    level = math.cos(elevation)
    ambient = _scaled(linear(mood.ambient), mood.ambient_strength)
    sun = _scaled(linear(mood.sun), mood.sun_strength)
    # What the grass throws back up: sun and sky, dimmed and greened.
    lit_ground = (math.sin(elevation) * sun[i] + ambient[i] for i in range(3))
    bounce = tuple(a * b for a, b in zip(lit_ground, (0.16, 0.17, 0.09), strict=True))
    return Light(
        to_sun=(level * math.cos(azimuth), level * math.sin(azimuth), math.sin(elevation)),
        sun=sun,
        ambient=ambient,
        bounce=(bounce[0], bounce[1], bounce[2]),
        zenith=linear(mood.zenith),
        horizon=linear(mood.horizon),
        glow=linear(mood.glow),
        cloud_lit=linear(mood.cloud_lit),
        cloud_dark=linear(mood.cloud_dark),
        cloud_cover=generator.uniform(*mood.cover),
        haze_metres=generator.uniform(*mood.haze),
        lamps=generator.uniform(*mood.lamps),
        exposure=mood.exposure * generator.uniform(0.93, 1.08),
    )


def clear_sky(light: Light, directions: Floats) -> Floats:
    """Sky without clouds, shape (3, n), along unit directions of shape (3, n).

    Directions below the horizon get the horizon's colour: it is also the colour of the haze.
    """
    height = np.clip(directions[2], 0, 1)
    colours = mix(column(light.horizon), column(light.zenith), 1 - np.exp(-height / 0.24))
    toward_sun = np.clip(_along_sun(light, directions), -1, 1)
    halo = 0.50 * np.exp((toward_sun - 1) * 5.0) + 0.5 * np.exp((toward_sun - 1) * 60.0)
    return mix(colours, column(light.glow), np.clip(halo, 0, 1))


def cloudy_sky(light: Light, directions: Floats, noise: Noise) -> Floats:
    """Sky with soft clouds, shape (3, n), along unit directions of shape (3, n)."""
    colours = clear_sky(light, directions)
    height = np.clip(directions[2], 0, 1)
    # A flat layer of cloud seen from below, its far edge held back from the horizon.
    stretch = 1.5 / (height + 0.16)
    x, y = directions[0] * stretch, directions[1] * stretch
    warp = noise.plane(x * 0.9 + 40, y * 0.9) - 0.5
    thickness = noise.fractal(x + 0.5 * warp, y - 0.4 * warp, 5)
    threshold = 0.66 - 0.30 * light.cloud_cover
    density = smoothstep(threshold, threshold + 0.20, thickness)
    density *= _OPAQUE_CLOUD * smoothstep(0.0, 0.10, height)
    # Light falls off into the cloud: compare with the thickness a step towards the sun.
    step_x, step_y = 0.22 * light.to_sun[0], 0.22 * light.to_sun[1]
    ahead = noise.fractal(x + step_x, y + step_y, 3)
    lit = np.clip(0.62 + 1.9 * (thickness - ahead) - 1.1 * (thickness - threshold - 0.12), 0, 1)
    clouds = mix(column(light.cloud_dark), column(light.cloud_lit), lit)
    return mix(colours, clouds, density)


def through_haze(light: Light, colours: Floats, directions: Floats, metres: Floats) -> Floats:
    """Colours (3, n) seen along unit directions (3, n) through so many metres (n,) of air."""
    veil = 1 - np.exp(-((metres / light.haze_metres) ** 1.25))
    level = np.stack([directions[0], directions[1], np.zeros_like(metres)])
    return mix(colours, clear_sky(light, level), veil)


def to_display(light: Light, colours: Floats) -> NDArray[np.uint8]:
    """Linear colours of any shape as 8-bit sRGB: exposure, a film-like shoulder, encoding."""
    exposed = np.maximum(colours * light.exposure, 0)
    # A shoulder without a toe: highlights roll off, shadows stay open, as in a bright miniature.
    toned = 1 - np.exp(-_FILM * exposed)
    grey = (toned * np.reshape([0.25, 0.62, 0.13], (3,) + (1,) * (toned.ndim - 1))).sum(axis=0)
    toned = np.clip(mix(grey.astype(toned.dtype)[None], toned, _SATURATION), 0, 1)
    toned = toned * (0.80 + 0.20 * toned) * 1.02
    encoded = np.where(
        toned <= 0.0031308,
        12.92 * toned,
        1.055 * np.power(np.maximum(toned, 1e-6), 1 / 2.4) - 0.055,
    )
    return np.asarray(np.round(255 * encoded), dtype=np.uint8)


def _along_sun(light: Light, directions: Floats) -> Floats:
    """Cosine between unit directions and the direction of the sun."""
    x, y, z = light.to_sun
    cosines: Floats = directions[0] * x + directions[1] * y + directions[2] * z
    return cosines


def _scaled(colour: Triple, strength: float) -> Triple:
    """A colour made brighter or darker."""
    return (colour[0] * strength, colour[1] * strength, colour[2] * strength)

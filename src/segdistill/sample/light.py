"""Lighting of the toy world by time of day: sun, sky, clouds, haze and exposure.

Colours are linear, with shape (3, n) or (3, 1).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segdistill.sample.geometry import Floats, Frame, rotate
from segdistill.sample.textures import colour, fractal, mix, smoothstep

# Elevation of the sun in degrees, colour and strength of the sun and of ambient light, colours of
# zenith and horizon, cloud threshold, haze distance in metres.
_TIMES = (
    ((36, 58), ("fff1d8", 2.15), ("a8c4ee", 0.9), "3f7fd0", "c3ddf2", 0.52, 650),
    ((18, 30), ("ffdfae", 2.3), ("adc2e8", 0.85), "4a86cc", "dfe3e2", 0.51, 450),
    ((9, 15), ("ffb56a", 2.8), ("a4acd4", 0.82), "5679b4", "f6cf9c", 0.49, 300),
    ((5, 8), ("ff9a66", 1.9), ("8d98c8", 1.2), "46639c", "efb894", 0.49, 250),
    ((45, 60), ("ffffff", 0.0), ("dfe6ee", 1.85), "9aa7b6", "d3d9de", 0.36, 240),
)
_SHARES = (0.34, 0.26, 0.16, 0.10, 0.14)


@dataclass(frozen=True)
class Light:
    """The light of a scene; strengths are relative to a white surface."""

    to_sun: NDArray[np.float32]  # (3,), unit vector
    sun: Floats
    ambient: Floats
    zenith: Floats
    horizon: Floats
    clouds: float  # noise threshold above which there are clouds
    shift: float  # offset of the cloud noise
    haze: float  # distance in metres at which about two thirds of a colour are lost
    exposure: float


def draw_light(generator: np.random.Generator, camera: Frame) -> Light:
    """Draw a time of day, and a sun that is rarely in front of the camera."""
    time = _TIMES[int(generator.choice(len(_TIMES), p=_SHARES))]
    elevations, sun, ambient, zenith, horizon, clouds, haze = time
    azimuth = camera.yaw + generator.uniform(0.7, 2.75) * float(generator.choice([-1.0, 1.0]))
    elevation = math.radians(generator.uniform(*elevations))
    to_sun = rotate(np.array([0.0, math.cos(elevation), math.sin(elevation)]), azimuth)
    return Light(
        to_sun=to_sun.astype(np.float32),
        sun=colour(*sun),
        ambient=colour(*ambient),
        zenith=colour(zenith),
        horizon=colour(horizon),
        clouds=clouds + generator.uniform(-0.05, 0.05),
        shift=generator.uniform(0, 200),
        haze=haze * generator.uniform(0.7, 1.4),
        exposure=generator.uniform(0.93, 1.15),
    )


def clear_sky(light: Light, directions: Floats) -> Floats:
    """Return colours of the sky without clouds, shape (3, n), for unit directions (3, n)."""
    rise = 1 - np.exp(-np.maximum(directions[2], 0) / 0.24)
    glow = 0.15 * np.exp((light.to_sun @ directions - 1) * 5)
    return mix(light.horizon, light.zenith, rise) + glow * light.sun


def cloudy_sky(light: Light, directions: Floats) -> Floats:
    """Return colours of the sky with clouds, shape (3, n), for unit directions (3, n)."""
    height = np.maximum(directions[2], 0)
    # A flat layer of clouds, seen from below.
    x, y = directions[:2] * (1.5 / (height + 0.16)) + light.shift
    excess = fractal(x, y, 5) - light.clouds
    density = 0.93 * smoothstep(0, 0.2, excess) * smoothstep(0, 0.1, height)
    bright = 0.6 * light.horizon + 0.1 * light.sun + 0.1 * light.ambient
    clouds = mix(bright, 0.5 * light.ambient, smoothstep(0.05, 0.4, excess))
    return mix(clear_sky(light, directions), clouds, density)


def to_display(light: Light, colours: Floats) -> Floats:
    """Convert linear colours of any shape to sRGB in 0..255, with highlights compressed."""
    toned = 1 - np.exp(-1.22 * light.exposure * np.maximum(colours, 0))
    return 255 * np.clip(toned * (0.82 + 0.2 * toned), 0, 1) ** (1 / 2.2)

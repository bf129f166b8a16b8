"""Renders scenes of a toy world: picture, exact labels and exact depth, from one seed.

The scenes show streets under a sky, with grass, trees, buildings and cars, at different times of
day. Every pixel is traced by itself against simple solids, so labels and depth are exact: those of
the ray through the pixel's centre, never a mixture.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segdistill.sample.camera import Camera
from segdistill.sample.layout import lay_out
from segdistill.sample.light import to_display
from segdistill.sample.parts import Label
from segdistill.sample.shading import shade
from segdistill.sample.tracing import labels_of, trace

CLASSES: tuple[str, ...] = tuple(label.name.lower() for label in Label)
"""Names of the classes, in the order of their indices."""
FAR: float = 200.0
"""Depth of the sky, and the farthest that anything is seen, in metres."""

_SAMPLES = 2  # a side: each pixel's colour is the mean of 2 x 2 rays


@dataclass(frozen=True)
class Scene:
    """A rendered scene."""

    image: NDArray[np.uint8]
    """(height, width, 3), sRGB."""
    labels: NDArray[np.uint8]
    """(height, width), index into :data:`CLASSES`."""
    depth: NDArray[np.float32]
    """(height, width), metres along the viewing axis; :data:`FAR` for sky."""
    field_of_view: float
    """Horizontal, in degrees."""


def render_scene(seed: int, width: int = 320, height: int = 240) -> Scene:
    """Render one scene; the same arguments always give the same scene.

    Pavements count as road, bushes and hedges as tree.

    Args:
        seed: any integer from 0 up.
        width: of the picture in pixels, at least 1.
        height: of the picture in pixels, at least 1.

    Returns:
        The picture with its labels and depth.

    Raises:
        ValueError: the seed is negative or a side is below 1.

    Example:
        >>> scene = render_scene(5, 32, 32)
        >>> scene.image.shape, scene.labels.shape, float(scene.depth.max())
        ((32, 32, 3), (32, 32), 200.0)
    """
    if seed < 0 or width < 1 or height < 1:
        raise ValueError(
            f"seed {seed}, size {width} x {height}: the seed must be 0 or more, the sides 1 or more"
        )
    layout = lay_out(seed)
    exact = trace(layout, layout.camera.rays(width, height, np.float64), FAR)
    rays = layout.camera.rays(width * _SAMPLES, height * _SAMPLES, np.float32)
    colours = shade(layout, trace(layout, rays, FAR))  # (3, rays)
    # Averaged after the film curve: a bright edge then stays a smooth edge.
    shown = to_display(layout.light, colours).reshape(3, height, _SAMPLES, width, _SAMPLES)
    image = np.round(shown.mean(axis=(2, 4), dtype=np.float32)).astype(np.uint8)
    return Scene(
        image=np.ascontiguousarray(image.transpose(1, 2, 0)),  # (height, width, 3)
        labels=labels_of(layout, exact),
        depth=exact.depth.astype(np.float32),
        field_of_view=layout.camera.field_of_view,
    )


def scene_camera(seed: int) -> Camera:
    """The camera that :func:`render_scene` uses for a seed: its depth can be unprojected with it.

    Example:
        >>> scene_camera(5).height > 1
        True
    """
    return lay_out(seed).camera

"""Rendering of scenes of a toy world: image, exact labels and exact depth, from a seed.

The scenes show streets under a sky, with grass, trees, buildings and cars, at different times of
day. Labels and depth come from the ray through the centre of each pixel and are never blended.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segdistill.sample.geometry import Floats, normalise, rotate
from segdistill.sample.layout import Layout, Part
from segdistill.sample.light import clear_sky, cloudy_sky, to_display
from segdistill.sample.textures import Label, leaf_gaps, leaves, mix

CLASSES: tuple[str, ...] = tuple(label.name.lower() for label in Label)
"""Class names by index."""
FAR: float = 200.0
"""Depth of the sky and maximum viewing distance, in metres."""

_GROUND, _SKY = -2, -1
_SAMPLES = 2  # per side: a pixel's colour is the mean of 2 x 2 rays
# Offset of shadow rays from the surface in metres, to avoid self-shadowing.
_LIFT = 0.03


@dataclass(frozen=True)
class Scene:
    """A rendered scene."""

    image: NDArray[np.uint8]
    """sRGB image, shape (height, width, 3)."""
    labels: NDArray[np.uint8]
    """Indices into :data:`CLASSES`, shape (height, width)."""
    depth: NDArray[np.float32]
    """Depth along the viewing axis in metres, shape (height, width); :data:`FAR` for sky."""
    field_of_view: float
    """Horizontal field of view in degrees."""


def render_scene(seed: int, width: int = 320, height: int = 240) -> Scene:
    """Render a scene; the same arguments always give the same scene.

    Pavements are labelled as road, and bushes as trees.

    Args:
        seed: random seed, 0 or more.
        width: width of the image in pixels, at least 1.
        height: height of the image in pixels, at least 1.

    Returns:
        The image with its labels and depth.

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
    layout = Layout(seed)
    camera = layout.camera
    exact = _trace(layout, camera.rays(width, height, np.float64))
    hits = _trace(layout, camera.rays(width * _SAMPLES, height * _SAMPLES, np.float32))
    colours = to_display(layout.light, _shade(layout, hits))
    means = colours.reshape(3, height, _SAMPLES, width, _SAMPLES).mean(axis=(2, 4))
    return Scene(
        image=np.ascontiguousarray(means.round().astype(np.uint8).transpose(1, 2, 0)),
        labels=exact.label.reshape(height, width),
        depth=exact.depth.astype(np.float32).reshape(height, width),
        field_of_view=camera.field_of_view,
    )


@dataclass(frozen=True)
class _Hits:
    """First hits of n = height x width rays."""

    rays: Floats  # (3, n), with a component of 1 along the viewing axis
    depth: Floats  # (n,), FAR for sky
    label: NDArray[np.uint8]  # (n,)
    part: NDArray[np.int16]  # (n,), index of the part, _GROUND or _SKY
    normals: Floats  # (3, n), unit vectors
    pixel: float  # metres that a pixel covers at a depth of 1 m


def _trace(layout: Layout, rays: Floats) -> _Hits:
    """Find the first hits of camera rays of shape (3, height, width)."""
    camera, (height, width) = layout.camera, rays.shape[1:]
    # Intersection with the ground: camera height divided by the downward slope of the ray.
    depth = np.minimum(camera.frame.z / np.maximum(-rays[2], 1e-9), FAR)
    paved = layout.street.paved(rays[0] * depth + camera.frame.x, rays[1] * depth)
    label = np.where(depth < FAR, np.where(paved, Label.ROAD, Label.GROUND), Label.SKY)
    origin = camera.frame.origin.astype(rays.dtype)
    part = np.where(depth < FAR, _GROUND, _SKY).astype(np.int16)
    normals = np.zeros_like(rays)
    normals[2] = 1
    # Test each solid only where it can be visible.
    for index, window in enumerate(camera.windows(layout.corners, width, height)):
        tried, near = rays[:, *window].reshape(3, -1), depth[window]
        if near.size:
            found, distances, facing = _meet(layout.parts[index], origin, tried, near.ravel())
            y, x = np.unravel_index(found, near.shape)
            near[y, x], part[window][y, x] = distances, index
            label[window][y, x] = layout.parts[index][1].label
            normals[:, *window][:, y, x] = facing
    return _Hits(
        *(rays.reshape(3, -1), depth.ravel(), label.ravel().astype(np.uint8), part.ravel()),
        *(normals.reshape(3, -1), 1 / camera.focal(width)),
    )


def _meet(
    part: Part, origins: Floats, directions: Floats, farthest: Floats
) -> tuple[NDArray[np.intp], Floats, Floats]:
    """Find the rays that hit a part before ``farthest`` (n,), except through gaps in leaves."""
    solid, paint = part
    hits, distances, normals = solid.intersect(origins, directions)
    wanted = distances < farthest[hits]
    if paint.texture is leaves and wanted.any():
        rays = np.broadcast_to(directions, (3, farthest.size))[:, hits]
        starts = np.broadcast_to(origins, (3, farthest.size))[:, hits]
        facing = (normals * normalise(rays)).sum(axis=0)
        wanted[wanted] = ~leaf_gaps((starts + distances * rays)[:, wanted], facing[wanted])
    return hits[wanted], distances[wanted], normals[:, wanted]


def _shade(layout: Layout, hits: _Hits) -> Floats:
    """Return the linear colours of the hits, shape (3, n)."""
    light, points = layout.light, hits.rays * hits.depth
    points += layout.camera.frame.origin
    albedo, normals = np.zeros_like(points), hits.normals.copy()
    # Sort by part, so that the points of each part are contiguous.
    order = np.argsort(hits.part, kind="stable")
    found, starts = np.unique(hits.part[order], return_index=True)
    for index, mine in zip(found.tolist(), np.split(order, starts[1:]), strict=True):
        blur = hits.depth[mine] * hits.pixel
        if index == _GROUND:
            x, y, _ = points[:, mine]
            albedo[:, mine] = layout.street.albedo(x, y, 2 * blur) * layout.open_sky(x, y)
        elif index != _SKY:
            _, paint = layout.parts[index]
            local, yaw = paint.frame.to_local(points[:, mine]), paint.frame.yaw
            facing = rotate(normals[:, mine], -yaw)
            albedo[:, mine] = paint.texture(paint, local, facing, blur)
            normals[:, mine] = rotate(facing, yaw)
    direct = np.maximum(light.to_sun @ normals, 0) * _sunlight(layout, points, hits)
    bounce = 0.15 * (light.to_sun[2] * light.sun + light.ambient)
    skylight = mix(bounce, light.ambient, 0.5 + 0.5 * normals[2])
    veil = 1 - np.exp(-((hits.depth / light.haze) ** 1.25))
    directions = normalise(hits.rays)
    colours = mix(albedo * (direct * light.sun + skylight), clear_sky(light, directions), veil)
    sky = np.flatnonzero(hits.part == _SKY)
    colours[:, sky] = 1.15 * cloudy_sky(light, directions[:, sky])
    return colours


def _sunlight(layout: Layout, points: Floats, hits: _Hits) -> NDArray[np.bool_]:
    """Mark the hits that are in sunlight, given their points of shape (3, n)."""
    to_sun, lit = layout.light.to_sun, np.zeros(hits.part.size, dtype=np.bool_)
    # Seen from the sun, a solid can only shade points inside its bounding box. Points are sorted by
    # one coordinate of that view, so that only a short range has to be tested per solid.
    across = normalise(np.array([-to_sun[1], to_sun[0], 0], dtype=points.dtype))
    up = np.cross(to_sun, across)
    order = np.flatnonzero((to_sun @ hits.normals > 0) & (hits.part != _SKY))
    order = order[np.argsort(across @ points[:, order])]
    starts = points[:, order] + _LIFT * hits.normals[:, order]
    first, second, far = across @ starts, up @ starts, np.full(order.size, np.inf)
    columns, rows = layout.corners @ across, layout.corners @ up  # (parts, 8)
    runs = np.searchsorted(first, [columns.min(axis=1), columns.max(axis=1)]).T
    reached = np.ones(order.size, dtype=np.bool_)
    for part, (begin, end), heights in zip(layout.parts, runs.tolist(), rows, strict=True):
        inside = (second[begin:end] > heights.min()) & (second[begin:end] < heights.max())
        near = begin + np.flatnonzero(inside & reached[begin:end])
        if near.size:
            shaded, _, _ = _meet(part, starts[:, near], to_sun[:, None], far[near])
            reached[near[shaded]] = False
    lit[order] = reached
    return lit

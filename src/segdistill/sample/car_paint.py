"""Paint for the cars of the toy world."""

from __future__ import annotations

import numpy as np

from segdistill.sample.look import Look, Spot, plain_look
from segdistill.sample.noise import column, smoothstep
from segdistill.sample.parts import Surface


def paint_body(surface: Surface, spot: Spot) -> Look:
    """Paint of the lower body with its lamps, seams, grille and wheel arches."""
    look = plain_look(surface, spot)
    x, y, z = surface.frame.to_local(spot.points)
    facing = surface.frame.to_local(spot.normals, directions=True)
    radius, axle, waist = surface.details
    length, width, _ = surface.size
    look.gloss = np.full_like(x, 0.07)
    dark = column(surface.accent)
    side = np.abs(facing[1]) > 0.6
    arch = side & (np.hypot(np.abs(x) - axle, z - radius) < radius + 0.07)
    trim = arch | (z < 0.33) | (side & (np.abs(z - waist + 0.28) < 0.012))
    for seam in (-0.62, 0.35):
        trim |= side & (np.abs(x - seam) < 0.014) & (z > 0.36)
    handle = side & (np.abs(z - waist + 0.13) < 0.025) & (np.abs(np.abs(x - 0.02) - 0.46) < 0.10)
    look.albedo = np.where(trim | handle, dark, look.albedo)
    ends = np.abs(x) > length / 2 - 0.30
    lamp = ends & (np.abs(y) > 0.27 * width) & (np.abs(z - 0.62 * waist - 0.03) < 0.07)
    lamp &= np.abs(x) > length / 2 - 0.16
    front_lamp, rear_lamp = lamp & (x > 0), lamp & (x < 0)
    look.albedo = np.where(front_lamp, column((0.85, 0.85, 0.82)), look.albedo)
    look.albedo = np.where(rear_lamp, column((0.45, 0.015, 0.012)), look.albedo)
    face = np.abs(facing[0]) > 0.6
    grille = face & (x > 0) & (np.abs(y) < 0.26 * width) & (np.abs(z - 0.60) < 0.09)
    plate = face & (np.abs(y) < 0.26) & (np.abs(z - 0.46) < 0.06)
    look.albedo = np.where(grille, dark, look.albedo)
    look.albedo = np.where(plate, column((0.75, 0.74, 0.66)), look.albedo)
    look.gloss = np.where(trim | grille, 0.02, look.gloss)
    glow = column((1.2, 1.1, 0.8)) * front_lamp + column((0.9, 0.03, 0.02)) * rear_lamp
    look.emission = (glow * spot.lamps).astype(look.emission.dtype)
    look.openness = 0.35 + 0.65 * smoothstep(0.1, 0.75, z)
    return look


def paint_cabin(surface: Surface, spot: Spot) -> Look:
    """Glass between painted posts under a painted roof."""
    look = plain_look(surface, spot)
    x, y, z = surface.frame.to_local(spot.points)
    facing = surface.frame.to_local(spot.normals, directions=True)
    rear_low, front_low, rear_high, front_high, base, glass_share = surface.details
    _, width, height = surface.size
    rise = (z - base) / (height - base)
    rear = rear_low + (rear_high - rear_low) * rise
    front = front_low + (front_high - front_low) * rise
    tall = (rise > 0.14) & (z < height - 0.12)
    side = np.abs(facing[1]) > 0.6
    post = (np.abs(x + 0.12 * (1 - rise) - 0.02) < 0.045) | (x < rear + 0.16) | (x > front - 0.12)
    if glass_share < 1:  # a delivery van: panels behind the driver's door
        post |= x < rear + (1 - glass_share) * (front - rear)
    if rear_high - rear_low < 0.5:
        post |= np.abs(x - rear - 0.62) < 0.05
    flat = (np.abs(facing[0]) > 0.42) & ~side & (np.abs(y) < width / 2 - 0.15 - 0.16 * rise)
    if glass_share < 1:
        flat &= x > 0
    glass = tall & ((side & ~post) | flat)
    look.albedo = np.where(glass, column((0.018, 0.022, 0.027)), look.albedo)
    look.gloss = np.where(glass, 0.17, 0.07).astype(look.gloss.dtype)
    return look


def paint_wheel(surface: Surface, spot: Spot) -> Look:
    """A tyre round a five-spoked rim."""
    look = plain_look(surface, spot)
    local = surface.frame.to_local(spot.points)
    radius = surface.size[0]
    away = np.hypot(local[0], local[2]) / radius
    angle = np.arctan2(local[2], local[0])
    spokes = (np.cos(angle * 5) > -0.2) | (away < 0.22) | (away > 0.54)
    facing = surface.frame.to_local(spot.normals, directions=True)
    rim = (np.abs(facing[1]) > 0.5) & (away < 0.64)
    look.albedo = np.where(rim & spokes, 0.50, 0.022) * np.ones((3, 1), dtype=np.float32)
    look.gloss = np.where(rim & spokes, 0.10, 0.0).astype(look.gloss.dtype)
    look.openness = 0.35 + 0.65 * smoothstep(0.0, 0.8, local[2] + radius)
    return look

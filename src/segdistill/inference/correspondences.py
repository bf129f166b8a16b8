"""Heat maps of the correspondences of a point, in its own and another image (STEGO, figure 2)."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from segdistill.files import atomic_path
from segdistill.images.resize import enlarge, resize_image
from segdistill.inference.animation import write_frames
from segdistill.model.segmenter import Segmenter
from segdistill.objective.correspondence import correspondence

PANEL_HEIGHT = 300
# Two panels of this width fit side by side on a screen.
PANEL_WIDTH = 900
GAP = 8
CAPTION = 22
FRAMES = 48
FRAME_MILLISECONDS = 80


@dataclass(frozen=True)
class EmbeddedImage:
    """An image with its feature map and code map.

    Attributes:
        image: shape (height, width, 3).
        features: preprocessed features, shape (1, channels, h, w).
        codes: shape (1, code channels, h, w).
    """

    image: NDArray[np.uint8]
    features: torch.Tensor
    codes: torch.Tensor


def embed(segmenter: Segmenter, image: NDArray[np.uint8]) -> EmbeddedImage:
    """Compute the feature map and code map of an image.

    Args:
        segmenter: the model.
        image: shape (height, width, 3).
    """
    features = segmenter.grid_features(image)
    with torch.no_grad():
        codes = segmenter.codes_of(features.to(segmenter.compute.device)).float().cpu()
    return EmbeddedImage(image, features, codes)


def heat_map(
    source: torch.Tensor, point: tuple[float, float], target: torch.Tensor
) -> torch.Tensor:
    """Return the correspondence of each location of a map with a point of another map.

    Args:
        source: map that contains the point, shape (1, channels, h, w).
        point: (x, y) as fractions of width and height, in 0..1.
        target: map to compare with the point, shape (1, channels, rows, columns).

    Returns:
        Cosine similarities of shape (rows, columns), in -1..1.

    Example:
        >>> maps = torch.eye(2).view(1, 2, 1, 2)
        >>> heat_map(maps, (0.25, 0.5), maps).tolist()
        [[1.0, 0.0]]
    """
    location = torch.tensor(point, dtype=source.dtype) * 2 - 1
    at_point = F.grid_sample(
        source, location[None, None, None], padding_mode="border", align_corners=False
    )
    return correspondence(at_point.flatten(2).mT, target.flatten(2).mT).view(target.shape[2:])


def draw_correspondences(
    first: EmbeddedImage, second: EmbeddedImage, point: tuple[float, float]
) -> Image.Image:
    """Draw the correspondences of a point, by features and by codes, in both images.

    Args:
        first: image that contains the point.
        second: image to compare with.
        point: (x, y) as fractions of width and height, in 0..1.

    Returns:
        Two rows of panels (features and codes), each with the first and the second image.
    """
    rows = []
    for caption, name in (("features", "features"), ("codes", "codes")):
        source: torch.Tensor = getattr(first, name)
        panels = []
        for embedded, marked in ((first, point), (second, None)):
            heat = heat_map(source, point, getattr(embedded, name))
            panels.append(_panel(embedded.image, heat, marked))
        rows.append(_captioned(_side_by_side(panels), caption))
    return _stacked(rows)


def write_png(path: Path, image: Image.Image) -> None:
    """Write an image as PNG."""
    with atomic_path(path) as temporary:
        image.save(temporary, format="PNG")


def write_animation(path: Path, first: EmbeddedImage, second: EmbeddedImage) -> None:
    """Write an animation in which the point moves around an ellipse in the first image.

    Args:
        path: output file; ``.gif`` or ``.mp4``.
        first: image that contains the point.
        second: image to compare with.

    Raises:
        UserError: the suffix is not supported, PyAV is needed but not installed, or the file
            cannot be written.
    """
    frames = [
        draw_correspondences(
            first,
            second,
            (
                0.5 + 0.38 * math.cos(2 * math.pi * number / FRAMES),
                0.5 + 0.38 * math.sin(2 * math.pi * number / FRAMES),
            ),
        )
        for number in range(FRAMES)
    ]
    write_frames(path, frames, FRAME_MILLISECONDS)


def panel_size(height: int, width: int) -> tuple[int, int]:
    """Return the (height, width) of the panel of an image.

    Example:
        >>> panel_size(1000, 2000), panel_size(1000, 20000)
        ((300, 600), (45, 900))
    """
    scale = min(PANEL_HEIGHT / height, PANEL_WIDTH / width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def _panel(
    image: NDArray[np.uint8], heat: torch.Tensor, point: tuple[float, float] | None
) -> Image.Image:
    height, width = panel_size(image.shape[0], image.shape[1])
    resized = resize_image(image, (height, width)).astype(np.float32)
    strength = enlarge(heat[None, None], (height, width))[0, 0].clamp(0, 1).numpy()[..., None]
    grey = resized.mean(axis=2, keepdims=True) * 0.55
    # Blend from the dimmed greyscale image to a warm colour as the correspondence increases.
    warm = np.array([255.0, 176.0, 32.0], np.float32)
    mixed = grey * (1 - strength) + (0.45 * resized + 0.55 * warm) * strength
    panel = Image.fromarray(mixed.clip(0, 255).astype(np.uint8))
    if point is not None:
        x, y = point[0] * width, point[1] * height
        draw = ImageDraw.Draw(panel)
        for radius, colour in ((8, "black"), (6, "white")):
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=colour, width=2)
    return panel


def _side_by_side(panels: list[Image.Image]) -> Image.Image:
    width = sum(panel.width for panel in panels) + GAP * (len(panels) - 1)
    canvas = Image.new("RGB", (width, max(panel.height for panel in panels)), "white")
    left = 0
    for panel in panels:
        canvas.paste(panel, (left, 0))
        left += panel.width + GAP
    return canvas


def _captioned(panel: Image.Image, caption: str) -> Image.Image:
    canvas = Image.new("RGB", (panel.width, panel.height + CAPTION), "white")
    ImageDraw.Draw(canvas).text((2, 4), caption, fill="black", font_size=14)
    canvas.paste(panel, (0, CAPTION))
    return canvas


def _stacked(rows: list[Image.Image]) -> Image.Image:
    height = sum(row.height for row in rows) + GAP * (len(rows) - 1)
    canvas = Image.new("RGB", (rows[0].width, height), "white")
    top = 0
    for row in rows:
        canvas.paste(row, (0, top))
        top += row.height + GAP
    return canvas

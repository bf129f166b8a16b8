"""Crops, and the size at which a network sees an image."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image

MAX_ENLARGEMENT = 4.0
"""Small images are not enlarged further than this: there is no more to see in them."""


@dataclass(frozen=True)
class Crop:
    """A part of an image, in shares of its sides, from 0 to 1.

    Attributes:
        top: of the upper edge.
        left: of the left edge.
        height: of the crop, above 0.
        width: of the crop, above 0.
    """

    top: float = 0.0
    left: float = 0.0
    height: float = 1.0
    width: float = 1.0

    def pixels(self, height: int, width: int) -> tuple[slice, slice]:
        """Return the rows and columns of the crop in an image of the given size.

        Example:
            >>> Crop(0.5, 0.0, 0.5, 0.5).pixels(10, 20)
            (slice(5, 10, None), slice(0, 10, None))
        """
        top = min(int(self.top * height), height - 1)
        left = min(int(self.left * width), width - 1)
        bottom = max(top + 1, round((self.top + self.height) * height))
        right = max(left + 1, round((self.left + self.width) * width))
        return slice(top, bottom), slice(left, right)

    @property
    def key(self) -> str:
        """A short name, for use in file names."""
        if self == Crop():
            return "whole"
        return f"{self.top:.3f}-{self.left:.3f}-{self.height:.3f}-{self.width:.3f}"


def crops_of(kind: Literal["none", "five"]) -> tuple[Crop, ...]:
    """Return the crops to take of each image.

    Args:
        kind: ``none`` gives the whole image; ``five`` gives the four corners and the centre at
            half the side, on which STEGO trains.

    Example:
        >>> len(crops_of("five"))
        5
    """
    if kind == "none":
        return (Crop(),)
    corners = tuple(Crop(top, left, 0.5, 0.5) for top in (0.0, 0.5) for left in (0.0, 0.5))
    return (*corners, Crop(0.25, 0.25, 0.5, 0.5))


def working_size(height: int, width: int, *, resolution: int, multiple: int) -> tuple[int, int]:
    """Return the height and width at which a network sees an image.

    The shorter side becomes ``resolution`` (at most :data:`MAX_ENLARGEMENT` times as large as it
    is), then both sides are rounded to multiples of the network's stride.

    Args:
        height: of the image, in pixels.
        width: of the image, in pixels.
        resolution: wanted shorter side, in pixels.
        multiple: what both sides must be a multiple of.

    Example:
        >>> working_size(360, 480, resolution=720, multiple=32)
        (704, 960)
    """
    scale = min(resolution / min(height, width), MAX_ENLARGEMENT)
    sides = (max(1, round(side * scale / multiple)) * multiple for side in (height, width))
    rows, columns = sides
    return rows, columns


def resize_image(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize with an antialiased bicubic filter.

    Args:
        image: shape (height, width, 3).
        size: wanted height and width.

    Returns:
        Array of shape (*size, 3).
    """
    if image.shape[:2] == size:
        return image
    resized = Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.BICUBIC)
    return np.array(resized)


def enlarge(maps: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Bring maps from a network's grid to pixels, bilinearly, cell centres onto cell centres.

    Args:
        maps: shape (batch, channels, rows, columns).
        size: wanted height and width.

    Returns:
        Tensor of shape (batch, channels, *size).
    """
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=False)

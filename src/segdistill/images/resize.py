"""Crops, and the input size of the network."""

import random
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image

Resampling = Literal["bicubic", "nearest"]
Size = tuple[int, int]
Value = TypeVar("Value", bound=np.generic)

MAX_ENLARGEMENT = 4.0
"""Maximum enlargement of small images: more adds no detail."""


@dataclass(frozen=True)
class Crop:
    """A part of an image: its upper left corner and size, in shares of the image's sides (0..1)."""

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
        return f"{self.top:.6g}-{self.left:.6g}-{self.height:.6g}-{self.width:.6g}"


CropKind = Literal["none", "five", "random"]
RANDOM_CROPS = 5


def crops_of(kind: CropKind, ratio: float = 0.5, *, seed: str = "") -> tuple[Crop, ...]:
    """Return the crops of an image to train on.

    Args:
        kind: ``none``: the whole image; ``five``: the four corners and the centre, as STEGO does;
            ``random``: five crops at random positions.
        ratio: side length of a crop, as a share of the image's.
        seed: seed of random crops.

    Example:
        >>> len(crops_of("five"))
        5
        >>> crops_of("random", 0.25, seed="one") == crops_of("random", 0.25, seed="two")
        False
    """
    if kind == "none":
        return (Crop(),)
    rest = 1 - ratio
    if kind == "random":
        draw = random.Random(seed)  # noqa: S311 - nothing secret
        return tuple(
            Crop(draw.uniform(0, rest), draw.uniform(0, rest), ratio, ratio)
            for _ in range(RANDOM_CROPS)
        )
    corners = tuple(Crop(top, left, ratio, ratio) for top in (0.0, rest) for left in (0.0, rest))
    return (*corners, Crop(rest / 2, rest / 2, ratio, ratio))


@dataclass(frozen=True)
class Viewing:
    """How images are resized for a network.

    Attributes:
        resolution: shorter side of the resized image, in pixels.
        multiple: number that both sides must be a multiple of.
        square: whether to take a square centre crop after resizing, as STEGO does, enlarging small
            images without a limit; otherwise the aspect ratio is kept and images are enlarged at
            most :data:`MAX_ENLARGEMENT` times.
        resampling: filter; ``nearest`` is that of STEGO's released code: it drops fine detail and
            is only meant for comparisons.
    """

    resolution: int
    multiple: int
    square: bool = False
    resampling: Resampling = "bicubic"

    def sizes(self, height: int, width: int) -> tuple[Size, Size]:
        """Return the size to which an image is resized, and the size of its centre crop.

        Example:
            >>> Viewing(720, 32).sizes(360, 480)
            ((704, 960), (704, 960))
            >>> Viewing(224, 8, square=True).sizes(360, 480)
            ((224, 298), (224, 224))
        """
        if self.square:
            side = max(1, round(self.resolution / self.multiple)) * self.multiple
            short = min(height, width)
            return (height * side // short, width * side // short), (side, side)
        scale = min(self.resolution / min(height, width), MAX_ENLARGEMENT)
        rows, columns = (
            max(1, round(side * scale / self.multiple)) * self.multiple for side in (height, width)
        )
        return (rows, columns), (rows, columns)

    def apply(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Resize an image (height, width, 3) to the input size of the network."""
        resized, size = self.sizes(image.shape[0], image.shape[1])
        return centre_of(resize_image(image, resized, resampling=self.resampling), size)


def resize_image(
    image: NDArray[np.uint8], size: Size, *, resampling: Resampling = "bicubic"
) -> NDArray[np.uint8]:
    """Resize an image (height, width, 3), antialiased or to the nearest pixels."""
    if image.shape[:2] == size:
        return image
    kind = Image.Resampling.BICUBIC if resampling == "bicubic" else Image.Resampling.NEAREST
    return np.array(Image.fromarray(image).resize((size[1], size[0]), kind))


def centre_of(array: NDArray[Value], size: Size) -> NDArray[Value]:
    """Return the centre crop, of a given height and width, of an array (height, width, ...).

    Example:
        >>> centre_of(np.arange(5)[None], (1, 3)).tolist()
        [[1, 2, 3]]
    """
    top = round((array.shape[0] - size[0]) / 2)
    left = round((array.shape[1] - size[1]) / 2)
    return array[top : top + size[0], left : left + size[1]]


def enlarge(maps: torch.Tensor, size: Size) -> torch.Tensor:
    """Upsample maps from the feature grid to pixels, bilinearly, with cell centres aligned.

    Args:
        maps: shape (batch, channels, rows, columns).
        size: height and width of the output, shape (batch, channels, *size).
    """
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=False)

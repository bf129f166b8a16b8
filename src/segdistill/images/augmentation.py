"""Augmented copies of images: mirrored, cropped, in other colours, blurred."""

import math
import random
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageFilter

from segdistill.images.resize import Crop

Share = TypeVar("Share", float, torch.Tensor)

WHOLE = Crop()
MIN_AREA = 0.8
MAX_ASPECT = 4 / 3
COLOUR_SPREAD = 0.3
HUE_SPREAD = 0.1
GREY_SHARE = 0.2
BLUR_SHARE = 0.5
BLUR_DEVIATIONS = (0.1, 2.0)


@dataclass(frozen=True)
class Augmentation:
    """A change to an image that leaves what it shows in place, or moves it in a known way.

    Attributes:
        crop: the part that is kept and brought back to the size of the whole.
        mirrored: left and right are exchanged, after cropping.
        brightness: factor, 1 for none.
        contrast: factor, 1 for none.
        saturation: factor, 1 for none.
        hue: turn of the colour circle, from -0.5 to 0.5, 0 for none.
        grey: without colour.
        blur: deviation of a Gaussian, in pixels, 0 for none.
    """

    crop: Crop = WHOLE
    mirrored: bool = False
    brightness: float = 1.0
    contrast: float = 1.0
    saturation: float = 1.0
    hue: float = 0.0
    grey: bool = False
    blur: float = 0.0

    def apply(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the changed image, of the same size.

        Args:
            image: shape (height, width, 3).
        """
        height, width = image.shape[:2]
        left, top = self.crop.left * width, self.crop.top * height
        box = (left, top, left + self.crop.width * width, top + self.crop.height * height)
        # The box need not lie on whole pixels, so that places can be followed exactly.
        picture = Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC, box)
        if self.mirrored:
            picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        picture = ImageEnhance.Brightness(picture).enhance(self.brightness)
        picture = ImageEnhance.Contrast(picture).enhance(self.contrast)
        picture = ImageEnhance.Color(picture).enhance(self.saturation)
        picture = _turn_hue(picture, self.hue)
        if self.grey:
            picture = picture.convert("L").convert("RGB")
        if self.blur:
            picture = picture.filter(ImageFilter.GaussianBlur(self.blur))
        return np.array(picture)

    def source(self, x: Share, y: Share) -> tuple[Share, Share]:
        """Return where in the image a location of the changed image comes from.

        Args:
            x: share of the width, from 0 at the left edge to 1.
            y: share of the height, from 0 at the upper edge to 1.

        Returns:
            The same shares of the image before the change.

        Example:
            >>> Augmentation(Crop(0.0, 0.0, 0.5, 0.5), mirrored=True).source(0.25, 0.5)
            (0.375, 0.25)
        """
        across = 1 - x if self.mirrored else x
        return self.crop.left + across * self.crop.width, self.crop.top + y * self.crop.height

    @property
    def key(self) -> str:
        """A text that tells this change from any other."""
        return repr(self)


def drawn_augmentation(seed: str) -> Augmentation:
    """Draw a change as STEGO's optional alignment term does.

    Mirrored half of the time; a crop of 0.8 to 1 of the area; brightness, contrast and saturation
    changed by up to 0.3 and hue by 0.1; grey one time in five; blurred half of the time.

    Args:
        seed: what the draw depends on, and all that it depends on.

    Example:
        >>> drawn_augmentation("a") == drawn_augmentation("a")
        True
    """
    draw = random.Random(seed)  # noqa: S311 - nothing secret
    area = draw.uniform(MIN_AREA, 1.0)
    # No side may be longer than the image's.
    most = math.log(min(MAX_ASPECT, 1 / area))
    aspect = math.exp(draw.uniform(-most, most))
    width, height = math.sqrt(area * aspect), math.sqrt(area / aspect)
    return Augmentation(
        crop=Crop(draw.uniform(0, 1 - height), draw.uniform(0, 1 - width), height, width),
        mirrored=draw.random() < 0.5,
        brightness=draw.uniform(1 - COLOUR_SPREAD, 1 + COLOUR_SPREAD),
        contrast=draw.uniform(1 - COLOUR_SPREAD, 1 + COLOUR_SPREAD),
        saturation=draw.uniform(1 - COLOUR_SPREAD, 1 + COLOUR_SPREAD),
        hue=draw.uniform(-HUE_SPREAD, HUE_SPREAD),
        grey=draw.random() < GREY_SHARE,
        blur=draw.uniform(*BLUR_DEVIATIONS) if draw.random() < BLUR_SHARE else 0.0,
    )


def _turn_hue(picture: Image.Image, turn: float) -> Image.Image:
    steps = round(turn * 256)
    if steps == 0:
        return picture
    hue, saturation, value = picture.convert("HSV").split()
    turned = hue.point([(level + steps) % 256 for level in range(256)])
    return Image.merge("HSV", (turned, saturation, value)).convert("RGB")

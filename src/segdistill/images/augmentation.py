"""Augmented copies of images: mirrored, cropped, colour-jittered, blurred."""

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


@dataclass(frozen=True)
class Augmentation:
    """An augmentation that keeps the content in place, or moves it in a known way.

    Attributes:
        crop: part that is kept and resized to the size of the image.
        mirrored: whether the crop is flipped horizontally.
        brightness: brightness factor; 1 for no change.
        contrast: contrast factor; 1 for no change.
        saturation: saturation factor; 1 for no change.
        hue: rotation of the hue circle, from -0.5 to 0.5; 0 for no change.
        grey: whether the image is converted to grey.
        blur: standard deviation of the Gaussian blur, in pixels; 0 for no blur.
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
        """Return the augmented image (height, width, 3), of the same size."""
        height, width = image.shape[:2]
        left, top = self.crop.left * width, self.crop.top * height
        box = (left, top, left + self.crop.width * width, top + self.crop.height * height)
        # The box is not rounded to pixels, so that locations can be mapped back exactly.
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

    def target(self, x: Share, y: Share) -> tuple[Share, Share]:
        """Map a location of the original image to the augmented image.

        Both are shares of the width and height, from 0 at the left or upper edge to 1. Locations
        outside the crop are mapped to values below 0 or above 1.

        Example:
            >>> Augmentation(Crop(0.0, 0.0, 0.5, 0.5), mirrored=True).target(0.375, 0.25)
            (0.25, 0.5)
        """
        across = (x - self.crop.left) / self.crop.width
        return (1 - across if self.mirrored else across), (y - self.crop.top) / self.crop.height

    @property
    def key(self) -> str:
        """A text that identifies this augmentation."""
        return repr(self)


def drawn_augmentation(seed: str) -> Augmentation:
    """Draw an augmentation as for STEGO's optional alignment term.

    Flipped with probability 0.5; a crop of 0.8 to 1 of the area; brightness, contrast and
    saturation changed by up to 0.3 and hue by up to 0.1; grey with probability 0.2; blurred with
    probability 0.5. The same seed gives the same augmentation.

    Example:
        >>> drawn_augmentation("a") == drawn_augmentation("a")
        True
    """
    draw = random.Random(seed)  # noqa: S311 - nothing secret
    area = draw.uniform(0.8, 1.0)
    # The crop must not exceed the image.
    most = math.log(min(4 / 3, 1 / area))
    aspect = math.exp(draw.uniform(-most, most))
    width, height = math.sqrt(area * aspect), math.sqrt(area / aspect)
    return Augmentation(
        crop=Crop(draw.uniform(0, 1 - height), draw.uniform(0, 1 - width), height, width),
        mirrored=draw.random() < 0.5,
        brightness=draw.uniform(0.7, 1.3),
        contrast=draw.uniform(0.7, 1.3),
        saturation=draw.uniform(0.7, 1.3),
        hue=draw.uniform(-0.1, 0.1),
        grey=draw.random() < 0.2,
        blur=draw.uniform(0.1, 2.0) if draw.random() < 0.5 else 0.0,
    )


def _turn_hue(picture: Image.Image, turn: float) -> Image.Image:
    steps = round(turn * 256)
    if steps == 0:
        return picture
    hue, saturation, value = picture.convert("HSV").split()
    turned = hue.point([(level + steps) % 256 for level in range(256)])
    return Image.merge("HSV", (turned, saturation, value)).convert("RGB")

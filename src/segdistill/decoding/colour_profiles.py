"""Colours of images with an ICC profile, converted to sRGB as a viewer shows them."""

import io
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

LEAST_DIFFERENCE = 2
"""Profiles that change no colour by more than this are sRGB in all but name."""

LEVELS = (0, 51, 102, 153, 204, 255)


class DamagedProfileError(ValueError):
    """A profile that cannot be used."""


def to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Convert an image to RGB in sRGB.

    Args:
        image: of mode L, RGB or CMYK.
        profile: its ICC profile.

    Raises:
        DamagedProfileError: the profile is damaged, or describes another kind of image.
    """
    transform = _transform(profile, image.mode)
    if transform is None:
        return image
    converted = ImageCms.applyTransform(image, transform)
    return image if converted is None else converted


def lab_to_srgb(image: Image.Image) -> Image.Image:
    """Convert an image of mode LAB to RGB."""
    converted = ImageCms.applyTransform(image, _lab_transform())
    return image if converted is None else converted


@lru_cache(maxsize=64)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Return the transform of a profile to sRGB; ``None`` if it changes nothing that is seen."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
        lattice = _lattice(mode)
        converted = ImageCms.applyTransform(lattice, transform)
    except (OSError, ValueError, TypeError, ImageCms.PyCMSError) as error:
        raise DamagedProfileError(str(error) or "it cannot be read") from error
    if converted is None or mode == "CMYK":
        return transform
    before = np.asarray(lattice.convert("RGB")).astype(int)
    changed = np.abs(np.asarray(converted).astype(int) - before).max() > LEAST_DIFFERENCE
    return transform if changed else None


def _lattice(mode: str) -> Image.Image:
    """Return an image of evenly spaced colours."""
    if mode != "RGB":
        return Image.linear_gradient("L").convert(mode)
    colours = np.stack(np.meshgrid(LEVELS, LEVELS, LEVELS), axis=-1).reshape(1, -1, 3)
    return Image.fromarray(colours.astype(np.uint8))


@lru_cache(maxsize=1)
def _lab_transform() -> ImageCms.ImageCmsTransform:
    return ImageCms.buildTransform(
        ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB"
    )

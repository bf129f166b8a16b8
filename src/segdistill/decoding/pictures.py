"""Pictures: pixels that a network sees, and which of them mean something."""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segdistill.decoding.borders import border_of
from segdistill.decoding.colour_profiles import DamagedProfileError, to_srgb
from segdistill.decoding.image_reading import ImageReading
from segdistill.decoding.notices import tell_once
from segdistill.decoding.scaling import (
    HIGHEST_SHOWN,
    LOWEST_SHOWN,
    Ranges,
    display_ranges,
    nominal_range,
    rgb_from_bands,
)

SAMPLED_VALUES = 2**20
"""Number of values from which the range of an image is chosen."""

TOLD_FROM_VALUES = 2**14
"""Number of values from which it is told whether a run's range suits an image."""

NEARLY_ONE_END = 1 / 15
"""Share of a run's range, at either end: 12 bits in a range of 16 fill less."""

NEARLY_ONE_GREY = 1 / 64

Valid = NDArray[np.bool_]


class Picture(NamedTuple):
    """An image as 8-bit RGB.

    Attributes:
        pixels: shape (height, width, 3); a neutral colour where nothing is valid.
        valid: which pixels have a value, shape (height, width); ``None`` if all have.
        original: the pixels before those that mean nothing were filled; ``None`` if none were.
    """

    pixels: NDArray[np.uint8]
    valid: Valid | None = None
    original: NDArray[np.uint8] | None = None

    @property
    def displayed(self) -> NDArray[np.uint8]:
        """The image for people to look at: what means nothing to a network is still there."""
        return self.pixels if self.original is None else self.original


@dataclass(frozen=True)
class StoredImage:
    """A decoded image before its numbers become colours: upright, of any value type.

    Attributes:
        name: path of the file, for messages.
        values: shape (height, width, 1 or 3). Of type ``uint8`` if they are shown as they are.
        valid: which pixels have a value, shape (height, width); ``None`` if all have.
        profile: ICC profile of colours of more than 8 bits; those of 8 bits are converted already.
    """

    name: str
    values: NDArray[Any]
    valid: Valid | None = None
    profile: bytes = b""

    @property
    def is_8_bit(self) -> bool:
        """Whether the values are shown as they are."""
        return self.values.dtype == np.uint8

    def without_gaps(self, reading: ImageReading) -> "StoredImage":
        """Return the image with a constant border and numbers that are not finite marked."""
        if reading.older:
            return replace(self, valid=None)
        valid = self.valid
        border = border_of(self.values, reading.border)
        valid = valid if border is None else both(valid, ~border)
        if self.values.dtype.kind == "f":
            # A band may lack a value that others have.
            known = np.isfinite(self.values).any(axis=2)
            valid = both(valid, None if known.all() else known)
        return replace(self, valid=valid)

    def sample(self, most: int = SAMPLED_VALUES) -> NDArray[Any]:
        """Return the values of some valid pixels, evenly spread, shape (pixels, bands)."""
        height, width, bands = self.values.shape
        step = max(1, round((height * width * bands / most) ** 0.5))
        some = self.values[::step, ::step]
        chosen = some.reshape(-1, bands)
        if self.valid is not None:
            chosen = some[self.valid[::step, ::step]]
        return chosen[np.isfinite(chosen).all(axis=1)] if chosen.dtype.kind == "f" else chosen

    def shown(self, reading: ImageReading) -> Picture:
        """Return the image as a network sees it.

        Args:
            reading: value ranges of the run; without one for so many bands, that of the image.
        """
        found = self.without_gaps(reading)
        values = found.values
        if self.is_8_bit:
            pixels = np.repeat(values, 3, axis=2) if values.shape[2] == 1 else values
            return filled(pixels, found.valid, reading)
        ranges = reading.ranges_for(values.shape[2])
        if ranges is None:
            ranges = self._own_ranges(found, reading)
        else:
            tell_if_lost(self.name, found.sample(TOLD_FROM_VALUES), ranges)
        pixels = rgb_from_bands(np.moveaxis(values, 2, 0), ranges)
        if self.profile:
            pixels = np.asarray(converted(Image.fromarray(pixels), self.profile, self.name))
        return filled(pixels, found.valid, reading)

    def _own_ranges(self, found: "StoredImage", reading: ImageReading) -> Ranges:
        if reading.older:
            deep_colours = self.values.dtype == np.uint16 and self.values.shape[2] == 3
            if deep_colours and not self.name.endswith(".mat"):
                return ((0.0, 65535.0),) * 3  # Pillow gave the upper byte of each number
            finite = np.nan_to_num(self.values, nan=0.0, posinf=0.0, neginf=0.0)
            return (nominal_range(finite),) * int(self.values.shape[2])
        return display_ranges(found.sample(), common=True)


def filled(pixels: NDArray[np.uint8], valid: Valid | None, reading: ImageReading) -> Picture:
    """Return pixels with a neutral colour where none is valid.

    Example:
        >>> black, valid = np.zeros((1, 2, 3), np.uint8), np.array([[True, False]])
        >>> filled(black, valid, ImageReading()).pixels.tolist()
        [[[0, 0, 0], [124, 116, 104]]]
    """
    if valid is None or valid.all():
        return Picture(np.ascontiguousarray(pixels))
    changed = pixels.copy()
    changed[~valid] = reading.fill
    return Picture(changed, valid, pixels)


def tell_if_lost(name: str, values: NDArray[Any], ranges: Ranges) -> None:
    """Warn if a run's value ranges leave almost nothing of an image, as with another scale.

    Args:
        name: path of the file.
        values: some of its valid pixels, shape (pixels, bands).
        ranges: value range of each band.
    """
    if not len(values):
        return
    # Of the values themselves, so that their type is kept: between two, nothing is stored.
    ends = np.percentile(values, (LOWEST_SHOWN, HIGHEST_SHOWN), axis=0, method="nearest")
    limits = np.array(ranges, np.float64)  # (bands, 2)
    spans = np.maximum(limits[:, 1] - limits[:, 0], np.finfo(np.float64).tiny)
    shares = ((ends.astype(np.float64) - limits[:, 0]) / spans).clip(0, 1)  # (2, bands)
    if (shares[1] < NEARLY_ONE_END).all():
        looks = "almost black"
    elif (shares[0] > 1 - NEARLY_ONE_END).all():
        looks = "almost white"
    elif (shares[1] - shares[0] < NEARLY_ONE_GREY).all() and (ends[0] < ends[1]).any():
        looks = "almost uniformly grey"
    else:
        return
    tell_once(
        name,
        f"its values, {float(ends.min()):g} to {float(ends.max()):g}, become {looks} in the run's"
        f" range, {limits.min():g} to {limits.max():g}; is their scale different?",
        kind="range",
    )


def converted(image: Image.Image, profile: bytes, name: str) -> Image.Image:
    """Convert an image with an ICC profile to sRGB; a damaged profile is ignored, and told."""
    try:
        return to_srgb(image, profile)
    except DamagedProfileError as error:
        tell_once(name, f"its colour profile is ignored ({error})", kind="profile")
        return image


def both(first: Valid | None, second: Valid | None) -> Valid | None:
    """Return which pixels are valid in both, where ``None`` stands for all."""
    if first is None or second is None:
        return second if first is None else first
    return first & second

"""Label files: finding them, and reading them as class indices."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segdistill.errors import UserError
from segdistill.images.finding import SUFFIXES, ImageFile, find_images
from segdistill.images.palette import VOID
from segdistill.labels import lossy_labels
from segdistill.labels.label_map import PLAIN, UNLISTED, LabelMap, Runs
from segdistill.labels.label_pixels import LabelPixels, Values, is_grey, read_label_pixels

LABEL_SUFFIXES = SUFFIXES | {".npy", ".mat"}
"""Suffixes, in lower case, of label files."""


def read_labels(path: Path) -> NDArray[np.int64]:
    """Read a label file: class indices from 0, with 255 for 'not labelled'.

    Negative numbers, NaN and transparent pixels are not labelled either. A label map gives other
    numbers and colours a meaning: see :class:`LabelReader`.

    Returns:
        Array of shape (height, width), upright.

    Raises:
        UserError: the file is missing or damaged, or holds colours or numbers above 255.
    """
    return LabelReader()(path)


def read_label_numbers(path: Path) -> NDArray[np.int64]:
    """Read the numbers of a label file, shape (height, width); negative where there is none.

    Raises:
        UserError: the file is missing or damaged, or holds colours.
    """
    pixels = as_numbers(LabelReader().pixels(path))
    if pixels.coloured:
        raise UserError(
            f"{path}: has colours and not one channel of class indices; this data set's labels are"
            " numbers"
        )
    return pixels.values


@dataclass(frozen=True, eq=False)
class LabelReader:
    """Reads label files as class indices, with 255 for 'not labelled'.

    Attributes:
        label_map: what numbers and colours mean.
        meant: numbers that were meant in files compressed with loss (JPEG), found over all files;
            by default found in each file.
    """

    label_map: LabelMap = PLAIN
    meant: Values | None = None

    def __call__(self, path: Path) -> NDArray[np.int64]:
        """Read a label file; shape (height, width), upright.

        Raises:
            UserError: the file is missing or damaged, or holds values of no class.
        """
        pixels = self.pixels(path)
        labels = self.label_map.labels(pixels)
        if (labels == UNLISTED).any():
            values, coloured = self.label_map.seen(pixels)
            runs = Runs.of(values)
            odd = runs.values[self.label_map.classes_of(runs.values, coloured=coloured) == UNLISTED]
            raise UserError(f"{path}: {self._why_unlisted(odd, coloured=coloured)}")
        return labels

    def pixels(self, path: Path) -> LabelPixels:
        """Read the numbers or colours of a file; those of a JPEG as they were meant."""
        pixels = read_label_pixels(path)
        if not pixels.lossy:
            return pixels
        pixels = as_numbers(pixels)
        try:
            meant = self._meant(pixels)
            values = lossy_labels.snapped(pixels.values, meant, coloured=pixels.coloured)
        except UserError as error:
            raise UserError(f"{path}: {error}") from error
        return LabelPixels(values, coloured=pixels.coloured)

    def _meant(self, pixels: LabelPixels) -> Values:
        listed = listed_values(self.label_map, coloured=pixels.coloured)
        if len(listed):
            return listed
        if self.meant is not None and not pixels.coloured:
            return self.meant
        blocks = lossy_labels.FlatBlocks.of(pixels.values)
        return blocks.meant(coloured=pixels.coloured)

    def _why_unlisted(self, values: Values, *, coloured: bool) -> str:
        held = lossy_labels.shown(values, coloured=coloured)
        if self.label_map.source:
            return (
                f"contains {held}, which no class of {self.label_map.source} lists; add them to a"
                " class or to `ignore`"
            )
        if coloured:
            return (
                f"has colours ({held}) and not one channel of class indices; say what they mean in"
                " a label map (--label-map)"
            )
        return (
            f"contains the value {values.max()}; labels are class indices from 0 to 254, with 255"
            " for"
            " 'not labelled', unless a label map (--label-map) says otherwise"
        )


def as_numbers(pixels: LabelPixels) -> LabelPixels:
    """Return colours with three equal channels as numbers; other pixels unchanged."""
    if not pixels.coloured or not is_grey(pixels.values).all():
        return pixels
    values = np.where(pixels.values < 0, pixels.values, pixels.values & 255)
    return LabelPixels(values, lossy=pixels.lossy)


def listed_values(label_map: LabelMap, *, coloured: bool) -> Values:
    """Return the numbers from 0 to 255, or the colours, that a map with classes lists.

    Greys of numbers are colours too: of those to ignore if the map says so itself, and of classes
    if they have no colours.
    """
    if not label_map.names:
        return np.zeros(0, np.int64)
    every = np.arange(256, dtype=np.int64)
    classes = label_map.classes_of(every)
    listed = classes != UNLISTED
    if not coloured:
        numbers: Values = every[listed]
        return numbers
    if label_map.ignores_by_default:
        listed &= classes != VOID
    if set(label_map.colours.values()) - {VOID}:
        listed &= classes == VOID
    colours = sorted({*label_map.colours, *(every[listed] * 0x010101).tolist()})
    return np.array(colours, np.int64)


def find_labels(source: str | Path) -> list[ImageFile]:
    """List the label files of a folder, a glob pattern or a single file; see ``find_images``.

    Raises:
        UserError: the source does not exist or contains no label files.
    """
    return find_images(source, suffixes=LABEL_SUFFIXES, kind="label files")

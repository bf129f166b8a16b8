"""GeoTIFFs through rasterio (an extra): any bands and value types as 8-bit RGB, by windows."""

import contextlib
from collections.abc import Iterator
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segdistill.decoding.borders import CoarseBorder, border_of, may_have_border
from segdistill.decoding.image_reading import AS_EACH_FILE_SAYS, ImageReading
from segdistill.decoding.orientation import Turn
from segdistill.decoding.photometric import Interpretation, interpretation_of
from segdistill.decoding.pictures import (
    TOLD_FROM_VALUES,
    StoredImage,
    Valid,
    converted,
    tell_if_lost,
)
from segdistill.decoding.raster_bands import chosen_bands, colours_of
from segdistill.decoding.rasterio_files import open_dataset, profile_of, translated_errors
from segdistill.decoding.scaling import (
    Ranges,
    display_ranges,
    missing_values,
    percentile_ranges,
    rgb_from_bands,
)
from segdistill.decoding.tiff_header import PALETTE, RGB, YCBCR, read_tiff_header
from segdistill.errors import UnreadableImageError

MOST_PIXELS_OF_PILLOW = 89_478_485
"""Larger TIFFs are read by windows."""

MOST_PIXELS_HELD = 178_956_970
"""Larger files are not read in one piece; the same limit as Pillow's."""

SAMPLED_PIXELS = 2**20
"""Number of pixels from which a file's percentiles are estimated."""

BORDER_SIDE = 512
"""Longer side, in pixels, of the reduced copy in which a border is looked for."""

MOST_VALUES = 2**24
"""Maximum number of values (pixels times bands) decoded at once."""


class Raster:
    """An open TIFF whose windows are read as 8-bit RGB.

    Args:
        path: path of the file.
        dataset: rasterio dataset.
        reading: bands to read and how to scale them.
        ignored: pixels to be ignored, shape (height, width).

    Attributes:
        height: height in pixels, upright.
        width: width in pixels, upright.
        bands: numbers of the bands that are read.
        is_8_bit: whether all bands read are 8-bit and therefore used unchanged.

    Raises:
        UnreadableImageError: the file does not have the bands that ``reading`` asks for.
    """

    def __init__(
        self, path: Path, dataset: Any, reading: ImageReading, ignored: Valid | None = None
    ) -> None:
        self.path = path
        self.dataset = dataset
        self._header = read_tiff_header(path)
        self._turn = Turn() if self._header is None else self._header.turn
        self.height, self.width = self._turn.size((dataset.height, dataset.width))
        self._reading = reading
        self._ignored = ignored
        self._interpretation = self._interpret()
        self.bands = self._interpretation.bands or chosen_bands(path, dataset, reading)
        kinds = [np.dtype(dataset.dtypes[band - 1]) for band in self.bands]
        if any(kind.kind == "c" for kind in kinds):
            raise UnreadableImageError(
                f"{path}: contains complex numbers; convert them to magnitudes"
            )
        plain = all(kind == np.uint8 for kind in kinds)
        self.is_8_bit = self._interpretation.is_8_bit or plain
        self._projection = None if reading.bands else reading.projection
        self._nodata = [dataset.nodatavals[band - 1] for band in self.bands]
        flags = {flag.name for flag in dataset.mask_flag_enums[self.bands[0] - 1]}
        self._has_mask = "per_dataset" in flags
        colours = colours_of(dataset)
        alpha = colours.index("alpha") + 1 if "alpha" in colours else None
        self._alpha = None if alpha in self.bands else alpha
        declared = any(nodata is not None for nodata in self._nodata)
        floats = any(kind.kind == "f" for kind in kinds)
        gaps = declared or floats or ignored is not None
        self._gaps = self._has_mask or self._alpha is not None or gaps

    @property
    def has_gaps(self) -> bool:
        """Whether some pixels may have no value."""
        return self._gaps or self._border is not None

    @cached_property
    def _border(self) -> CoarseBorder | None:
        """The constant border, if there is one; most files are ruled out by their corners."""
        if self._reading.older or min(self.height, self.width) < 8:
            return None
        last = (self.height - 1, self.width - 1)
        corners = np.empty((2, 2, 3), np.uint8)
        for row, column in np.ndindex(2, 2):
            at = (
                slice(row * last[0], row * last[0] + 1),
                slice(column * last[1], column * last[1] + 1),
            )
            values, valid = self._values(*at, (1, 1))
            if not valid.all():
                return None  # gaps are declared
            corners[row, column] = self._coloured(values)[0, 0]
        if not may_have_border(corners):
            return None
        whole = (slice(0, self.height), slice(0, self.width))
        share = min(1.0, BORDER_SIDE / max(self.height, self.width))
        size = (max(8, int(self.height * share)), max(8, int(self.width * share)))
        border = border_of(self._coloured(self._values(*whole, size)[0]), self._reading.border)
        if border is None:
            return None
        return CoarseBorder.of(border, corners[0, 0], (self.height, self.width))

    @cached_property
    def are_colours(self) -> bool:
        """Whether the bands are red, green and blue, which share a value range to keep hues.

        Bands of satellites that are not marked as colours are balanced by one range each.
        """
        marked = {"red", "green", "blue"} <= set(colours_of(self.dataset))
        placed = bool(self.dataset.gcps[0]) or not self.dataset.transform.is_identity
        return len(self.bands) == 1 or ((marked or not placed) and not self._reading.bands)

    def read(self, rows: slice, columns: slice) -> tuple[NDArray[np.uint8], Valid]:
        """Read a window.

        Returns:
            Pixels, shape (rows, columns, 3), in a neutral colour where there is no value; and
            whether each pixel has a value, shape (rows, columns).

        Raises:
            UnreadableImageError: the file is damaged.
        """
        height, width = rows.stop - rows.start, columns.stop - columns.start
        pixels = np.empty((height, width, 3), np.uint8)
        valid = np.empty((height, width), np.bool_)
        step = max(1, MOST_VALUES // (width * len(self.bands)))
        for start in range(0, height, step):
            stop = min(start + step, height)
            part = slice(rows.start + start, rows.start + stop)
            values, valid[start:stop] = self._values(part, columns, (stop - start, width))
            pixels[start:stop] = self._coloured(values)
        if self._border is not None:
            valid &= ~self._border.within(pixels, rows, columns)
        if self._ignored is not None:
            valid &= ~self._ignored[rows, columns]
        pixels[~valid] = self._reading.fill
        return pixels, valid

    def read_whole(self) -> tuple[NDArray[np.uint8], Valid]:
        """Read the whole raster; see :meth:`read`.

        Raises:
            UnreadableImageError: the file is damaged or larger than :data:`MOST_PIXELS_HELD`.
        """
        return self.read(*self._whole())

    def stored(self) -> StoredImage:
        """Return the numbers of the whole raster; of palettes, CMYK and the like their colours.

        Raises:
            UnreadableImageError: the file is damaged or larger than :data:`MOST_PIXELS_HELD`.
        """
        values, valid = self._values(*self._whole(), (self.height, self.width))
        if self._interpretation.colours is not None:
            return StoredImage(str(self.path), self._interpretation.colours(values), valid)
        return StoredImage(str(self.path), np.moveaxis(values, 0, 2), valid)

    def _whole(self) -> tuple[slice, slice]:
        if self.height * self.width > MOST_PIXELS_HELD:
            raise UnreadableImageError(
                f"{self.path}: more than 178 million pixels; split it into tiles"
            )
        return slice(0, self.height), slice(0, self.width)

    def sample(self, pixels: int) -> NDArray[Any]:
        """Sample values on a regular grid over the raster, from its overviews where possible.

        Args:
            pixels: approximate number of samples; pixels without a value are left out.

        Returns:
            Array of shape (pixels, bands).
        """
        share = min(1.0, (pixels / (self.height * self.width)) ** 0.5)
        size = (max(1, int(self.height * share)), max(1, int(self.width * share)))
        values, valid = self._values(slice(0, self.height), slice(0, self.width), size)
        if not self._reading.older:
            border = border_of(np.moveaxis(values, 0, 2))
            valid = valid if border is None else valid & ~border
        sampled: NDArray[Any] = values[:, valid].T  # (bands, h, w) -> (pixels, bands)
        return sampled[np.isfinite(sampled).all(axis=1)] if sampled.dtype.kind == "f" else sampled

    def _interpret(self) -> Interpretation:
        header = self._header
        converted = "SOURCE_COLOR_SPACE" in self.dataset.tags(ns="IMAGE_STRUCTURE")
        if header is None or converted:
            return Interpretation()
        palette = None
        with translated_errors(self.path):
            if colours_of(self.dataset)[0] == "palette":
                palette = self.dataset.colormap(1)
        found = interpretation_of(header, palette)
        # Of a damaged file, GDAL may read something else than the tags say.
        kind = np.dtype(self.dataset.dtypes[0])
        fits = 1 <= header.bits <= 8 * kind.itemsize and len(found.bands) <= self.dataset.count
        if not fits or (found.colours is not None and kind.kind not in "iu"):
            raise UnreadableImageError(f"{self.path}: damaged (its tags contradict each other)")
        return found

    def _values(
        self, rows: slice, columns: slice, size: tuple[int, int]
    ) -> tuple[NDArray[Any], Valid]:
        """Return a window's values (bands, *size) and where they are valid (*size)."""
        places = self._turn.stored_window(rows, columns, (self.height, self.width))
        window = tuple((place.start, place.stop) for place in places)
        size = self._turn.size(size)
        mask = None
        with translated_errors(self.path):
            shape = (len(self.bands), *size)
            values = self.dataset.read(list(self.bands), window=window, out_shape=shape)
            if self._alpha is not None:
                mask = self.dataset.read(self._alpha, window=window, out_shape=size)
            elif self._has_mask:
                mask = self.dataset.read_masks(self.bands[0], window=window, out_shape=size)
        valid = np.zeros(size, np.bool_)
        for band, nodata in zip(values, self._nodata, strict=True):
            valid |= ~missing_values(band, nodata)
        valid = valid if mask is None else valid & (mask > 0)
        return self._turn.upright(self._interpretation.numbers(values)), self._turn.upright(valid)

    def _coloured(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        """Convert values (bands, rows, columns) to 8-bit RGB (rows, columns, 3)."""
        if self._interpretation.colours is not None:
            pixels = self._interpretation.colours(values)
        else:
            pixels = rgb_from_bands(values, self._ranges, self._projection)
        if not self._profile:
            return pixels
        return np.asarray(converted(Image.fromarray(pixels), self._profile, str(self.path)))

    @cached_property
    def _profile(self) -> bytes:
        """The ICC profile, if the pixels are the red, green and blue that it describes."""
        if self._header is None or self._reading.older or self._reading.bands:
            return b""
        space = self._header.photometric
        coloured = space in {YCBCR, PALETTE} or (space == RGB and len(self.bands) == 3)
        return profile_of(self.dataset) if coloured and self._projection is None else b""

    @cached_property
    def _ranges(self) -> Ranges | None:
        """For each band, the values that map to 0 and 255; none for 8-bit RGB."""
        if self.is_8_bit:
            return None if self._projection is None else ((0.0, 255.0),) * len(self.bands)
        given = self._reading.ranges_for(len(self.bands))
        if given is not None:
            # A reduced copy of a large file without overviews takes as long as all of it.
            if self._projection is None and self.height * self.width <= SAMPLED_PIXELS:
                tell_if_lost(str(self.path), self.sample(TOLD_FROM_VALUES), given)
            return given
        sample = self.sample(min(SAMPLED_PIXELS, MOST_VALUES // len(self.bands)))
        if self._reading.older or self._projection is not None:
            return percentile_ranges(sample)
        return display_ranges(sample, common=self.are_colours)


def is_raster(path: Path) -> bool:
    """Return whether a file is read through rasterio, if that is installed.

    Those are TIFFs that are georeferenced, too large to be held, or of a kind that Pillow does not
    read exactly. Other files are not opened.
    """
    header = read_tiff_header(path)
    if header is None or find_spec("rasterio") is None:
        return False
    large = header.height * header.width > MOST_PIXELS_OF_PILLOW
    return header.georeferenced or large or not header.is_exact_in_pillow


@contextlib.contextmanager
def open_raster(
    path: Path, reading: ImageReading | None = None, ignored: Valid | None = None
) -> Iterator[Raster]:
    """Open a GeoTIFF.

    Args:
        path: path of a TIFF.
        reading: bands to read and how to scale them; by default as the file's metadata says.
        ignored: pixels to be ignored, shape (height, width).

    Raises:
        UnreadableImageError: the file is damaged or lacks the bands, or rasterio is not installed.
    """
    with open_dataset(path) as dataset:
        yield Raster(path, dataset, reading or AS_EACH_FILE_SAYS, ignored)

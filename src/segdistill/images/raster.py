"""An open GeoTIFF: any bands and value types as 8-bit RGB, window by window."""

import contextlib
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segdistill.images.raster_reading import Projection, RasterReading
from segdistill.images.raster_values import Ranges, missing_values, percentile_ranges, scaled
from segdistill.images.unreadable import UnreadableImageError

MOST_PIXELS_HELD = 178_956_970
"""Larger files are not read in one piece; the same limit as Pillow's."""

SAMPLED_PIXELS = 2**20
"""Number of pixels from which a file's percentiles are estimated."""

MOST_VALUES = 2**24
"""Maximum number of values (pixels times bands) decoded at once."""

Window = tuple[slice, slice]
"""Rows and columns."""


class Raster:
    """An open GeoTIFF whose windows are read as 8-bit RGB.

    Args:
        path: path of the file, for error messages.
        dataset: rasterio dataset.
        reading: bands to read and how to scale them.

    Attributes:
        path: path of the file.
        dataset: rasterio dataset.
        height: height in pixels.
        width: width in pixels.
        bands: numbers of the bands that are read.

    Raises:
        UnreadableImageError: the file does not have the bands that ``reading`` asks for.
    """

    def __init__(self, path: Path, dataset: Any, reading: RasterReading) -> None:
        self.path = path
        self.dataset = dataset
        self.height: int = dataset.height
        self.width: int = dataset.width
        self._interpretations = [each.name for each in dataset.colorinterp]
        self.bands = self._chosen_bands(reading)
        kinds = {np.dtype(dataset.dtypes[band - 1]).kind for band in self.bands}
        if "c" in kinds:
            raise UnreadableImageError(f"{path}: holds complex numbers; convert them to magnitudes")
        self._projection: Projection | None = None if reading.bands else reading.projection
        self._palette = self._read_palette()
        flags = {flag.name for flag in dataset.mask_flag_enums[self.bands[0] - 1]}
        self._has_mask = "per_dataset" in flags
        self._alpha = self._alpha_band()
        self._given_ranges = reading.ranges

    @property
    def is_8_bit(self) -> bool:
        """Whether all bands read are 8-bit and therefore used unchanged."""
        return {self.dataset.dtypes[band - 1] for band in self.bands} == {"uint8"}

    @property
    def has_gaps(self) -> bool:
        """Whether some pixels may have no value."""
        kinds = {np.dtype(self.dataset.dtypes[band - 1]).kind for band in self.bands}
        declared = any(nodata is not None for nodata in self._nodata())
        return self._has_mask or self._alpha is not None or declared or "f" in kinds

    def read(self, rows: slice, columns: slice) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Read a window.

        Args:
            rows: rows of the window.
            columns: columns of the window.

        Returns:
            Pixels, shape (rows, columns, 3), black where there is no value; and whether each pixel
            has a value, shape (rows, columns).

        Raises:
            UnreadableImageError: the file is damaged.
        """
        height, width = rows.stop - rows.start, columns.stop - columns.start
        pixels = np.empty((height, width, 3), np.uint8)
        valid = np.empty((height, width), np.bool_)
        step = max(1, MOST_VALUES // (width * len(self.bands)))
        for start in range(0, height, step):
            stop = min(start + step, height)
            part = (slice(rows.start + start, rows.start + stop), columns)
            values, valid[start:stop] = self._values(part)
            pixels[start:stop] = self._coloured(values)
        pixels[~valid] = 0
        return pixels, valid

    def read_whole(self) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Read the whole raster; see :meth:`read`.

        Raises:
            UnreadableImageError: the file is damaged or larger than :data:`MOST_PIXELS_HELD`.
        """
        if self.height * self.width > MOST_PIXELS_HELD:
            raise UnreadableImageError(
                f"{self.path}: more than 178 million pixels; split it into tiles"
            )
        return self.read(slice(0, self.height), slice(0, self.width))

    def sample(self, pixels: int) -> NDArray[np.float32]:
        """Sample values on a regular grid over the raster, from its overviews where possible.

        Args:
            pixels: approximate number of samples; pixels without a value are left out.

        Returns:
            Array of shape (pixels, bands).

        Raises:
            UnreadableImageError: the file is damaged.
        """
        share = min(1.0, (pixels / (self.height * self.width)) ** 0.5)
        size = (max(1, int(self.height * share)), max(1, int(self.width * share)))
        values, valid = self._values((slice(0, self.height), slice(0, self.width)), size)
        sampled: NDArray[np.float32] = values[:, valid].T.astype(np.float32)
        return sampled  # (bands, h, w) -> (pixels, bands)

    def _values(
        self, window: Window, size: tuple[int, int] | None = None
    ) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return raw values (bands, rows, columns) and where they are valid (rows, columns)."""
        rows, columns = window
        where = ((rows.start, rows.stop), (columns.start, columns.stop))
        size = size or (rows.stop - rows.start, columns.stop - columns.start)
        shape = (len(self.bands), *size)
        with translated(self.path):
            values = self.dataset.read(list(self.bands), window=where, out_shape=shape)
            mask = self._read_mask(where, size)
        valid = np.zeros(size, np.bool_)
        for band, nodata in zip(values, self._nodata(), strict=True):
            valid |= ~missing_values(band, nodata)
        if mask is not None:
            valid &= mask > 0
        return values, valid

    def _read_mask(self, window: Any, size: tuple[int, int]) -> NDArray[Any] | None:
        """Return the alpha channel or mask: above 0 where there is a value."""
        mask: NDArray[Any]
        if self._alpha is not None:
            mask = self.dataset.read(self._alpha, window=window, out_shape=size)
        elif self._has_mask:
            mask = self.dataset.read_masks(self.bands[0], window=window, out_shape=size)
        else:
            return None
        return mask

    def _coloured(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        """Convert raw values (bands, rows, columns) to 8-bit RGB (rows, columns, 3)."""
        if self._palette is not None:
            coloured: NDArray[np.uint8] = self._palette[values[0]]
            return coloured
        if self._ranges is not None:
            values = scaled(values, self._ranges)
            if self._projection is not None:
                weights = np.array(self._projection.weights, np.float32)
                offsets = np.array(self._projection.offsets, np.float32)
                values = np.tensordot(weights, values, axes=1) + offsets[:, None, None]
            values = np.round(values.clip(0, 1) * 255).astype(np.uint8)
        if len(values) == 1:
            values = np.repeat(values, 3, axis=0)
        pixels: NDArray[np.uint8] = np.moveaxis(values, 0, 2)  # (3, h, w) -> (h, w, 3)
        return pixels

    def _chosen_bands(self, reading: RasterReading) -> tuple[int, ...]:
        count = self.dataset.count
        if reading.bands:
            if max(reading.bands) > count:
                raise UnreadableImageError(
                    f"{self.path}: has {count} bands, so there is no band {max(reading.bands)};"
                    " choose others with --bands"
                )
            return reading.bands
        seen = tuple(n for n, name in enumerate(self._interpretations, 1) if name != "alpha")
        if reading.projection is not None:
            if reading.projection.bands != len(seen):
                raise UnreadableImageError(
                    f"{self.path}: has {len(seen)} bands, but the run was trained on"
                    f" {reading.projection.bands}; choose three with --bands"
                )
            return seen
        if {"red", "green", "blue"} <= set(self._interpretations):
            return tuple(self._interpretations.index(name) + 1 for name in ("red", "green", "blue"))
        if len(seen) not in {1, 3}:
            raise UnreadableImageError(
                f"{self.path}: has {len(seen)} bands, none of them marked as red, green or blue;"
                " choose three, as in --bands 4,3,2"
            )
        return seen

    @cached_property
    def _ranges(self) -> Ranges | None:
        """Return, for each band, the values that map to 0 and 1; none for 8-bit RGB."""
        if self.is_8_bit:
            return None if self._projection is None else ((0.0, 255.0),) * len(self.bands)
        if len(self._given_ranges) == len(self.bands):
            return self._given_ranges
        return percentile_ranges(self.sample(min(SAMPLED_PIXELS, MOST_VALUES // len(self.bands))))

    def _read_palette(self) -> NDArray[np.uint8] | None:
        if len(self.bands) != 1 or self._interpretations[self.bands[0] - 1] != "palette":
            return None
        colours = np.zeros((256, 3), np.uint8)
        with translated(self.path):
            for value, colour in self.dataset.colormap(self.bands[0]).items():
                colours[value] = colour[:3]
        return colours

    def _alpha_band(self) -> int | None:
        """Return the number of the alpha channel, unless it is read as a band."""
        alpha = [n for n, name in enumerate(self._interpretations, 1) if name == "alpha"]
        return alpha[0] if alpha and alpha[0] not in self.bands else None

    def _nodata(self) -> list[float | None]:
        return [self.dataset.nodatavals[band - 1] for band in self.bands]


@contextlib.contextmanager
def translated(path: Path) -> Iterator[None]:
    """Convert errors of rasterio and GDAL about damaged files.

    Args:
        path: path of the file.

    Raises:
        UnreadableImageError: instead of the original error.
    """
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        # rasterio does not export the classes of GDAL's errors.
        reason = " ".join(str(error).split())
        raise UnreadableImageError(f"{path}: damaged or truncated ({reason})") from error

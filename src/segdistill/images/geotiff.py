"""GeoTIFFs through rasterio (an extra): any bands and value types as 8-bit RGB, by windows."""

import contextlib
import threading
import warnings
from collections.abc import Iterator
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from segdistill.errors import UnreadableImageError, missing_extra
from segdistill.images.raster_reading import RasterReading
from segdistill.images.scaling import Ranges, missing_values, percentile_ranges, rgb_from_bands
from segdistill.images.tiff_header import read_tiff_header

MOST_PIXELS_OF_PILLOW = 89_478_485
"""Pillow warns about larger images and refuses those of twice as many pixels."""

MOST_PIXELS_HELD = 178_956_970
"""Larger files are not read in one piece; the same limit as Pillow's."""

CACHE_BYTES = 2**27
"""Size of GDAL's block cache; its own default grows with the machine's memory."""

SAMPLED_PIXELS = 2**20
"""Number of pixels from which a file's percentiles are estimated."""

MOST_VALUES = 2**24
"""Maximum number of values (pixels times bands) decoded at once."""

# Python's warning filters are shared by all threads.
_OPENING = threading.Lock()


class TooManyBandsError(UnreadableImageError):
    """A file has more than three bands, and none is marked as red, green or blue."""


class Raster:
    """An open GeoTIFF whose windows are read as 8-bit RGB.

    Args:
        path: path of the file, for error messages.
        dataset: rasterio dataset.
        reading: bands to read and how to scale them.

    Attributes:
        height: height in pixels.
        width: width in pixels.
        bands: numbers of the bands that are read.
        is_8_bit: whether all bands read are 8-bit and therefore used unchanged.
        has_gaps: whether some pixels may have no value.

    Raises:
        UnreadableImageError: the file does not have the bands that ``reading`` asks for.
    """

    def __init__(self, path: Path, dataset: Any, reading: RasterReading) -> None:
        self.path = path
        self.dataset = dataset
        self.height: int = dataset.height
        self.width: int = dataset.width
        self.bands = _chosen_bands(path, dataset, reading)
        kinds = [np.dtype(dataset.dtypes[band - 1]) for band in self.bands]
        if any(kind.kind == "c" for kind in kinds):
            raise UnreadableImageError(f"{path}: holds complex numbers; convert them to magnitudes")
        self.is_8_bit = all(kind == np.uint8 for kind in kinds)
        self._projection = None if reading.bands else reading.projection
        self._given_ranges = reading.ranges
        self._palette = self._read_palette()
        self._nodata = [dataset.nodatavals[band - 1] for band in self.bands]
        flags = {flag.name for flag in dataset.mask_flag_enums[self.bands[0] - 1]}
        self._has_mask = "per_dataset" in flags
        colours = colours_of(dataset)
        alpha = colours.index("alpha") + 1 if "alpha" in colours else None
        self._alpha = None if alpha in self.bands else alpha
        declared = any(nodata is not None for nodata in self._nodata)
        floats = any(kind.kind == "f" for kind in kinds)
        self.has_gaps = self._has_mask or self._alpha is not None or declared or floats

    def read(self, rows: slice, columns: slice) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Read a window.

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
            part = slice(rows.start + start, rows.start + stop)
            values, valid[start:stop] = self._values(part, columns, (stop - start, width))
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
        """
        share = min(1.0, (pixels / (self.height * self.width)) ** 0.5)
        size = (max(1, int(self.height * share)), max(1, int(self.width * share)))
        values, valid = self._values(slice(0, self.height), slice(0, self.width), size)
        sampled: NDArray[np.float32] = values[:, valid].T.astype(np.float32)
        return sampled  # (bands, h, w) -> (pixels, bands)

    def _values(
        self, rows: slice, columns: slice, size: tuple[int, int]
    ) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return a window's values (bands, *size) and where they are valid (*size)."""
        window = ((rows.start, rows.stop), (columns.start, columns.stop))
        mask = None
        with _translated(self.path):
            shape = (len(self.bands), *size)
            values = self.dataset.read(list(self.bands), window=window, out_shape=shape)
            if self._alpha is not None:
                mask = self.dataset.read(self._alpha, window=window, out_shape=size)
            elif self._has_mask:
                mask = self.dataset.read_masks(self.bands[0], window=window, out_shape=size)
        valid = np.zeros(size, np.bool_)
        for band, nodata in zip(values, self._nodata, strict=True):
            valid |= ~missing_values(band, nodata)
        return values, valid if mask is None else valid & (mask > 0)

    def _coloured(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        """Convert values (bands, rows, columns) to 8-bit RGB (rows, columns, 3)."""
        if self._palette is not None:
            coloured: NDArray[np.uint8] = self._palette[values[0]]
            return coloured
        return rgb_from_bands(values, self._ranges, self._projection)

    @cached_property
    def _ranges(self) -> Ranges | None:
        """For each band, the values that map to 0 and 1; none for 8-bit RGB."""
        if self.is_8_bit:
            return None if self._projection is None else ((0.0, 255.0),) * len(self.bands)
        if len(self._given_ranges) == len(self.bands):
            return self._given_ranges
        return percentile_ranges(self.sample(min(SAMPLED_PIXELS, MOST_VALUES // len(self.bands))))

    def _read_palette(self) -> NDArray[np.uint8] | None:
        if len(self.bands) != 1 or colours_of(self.dataset)[self.bands[0] - 1] != "palette":
            return None
        colours = np.zeros((256, 3), np.uint8)
        with _translated(self.path):
            for value, colour in self.dataset.colormap(self.bands[0]).items():
                colours[value] = colour[:3]
        return colours


def is_raster(path: Path) -> bool:
    """Return whether a file is read through rasterio, if that is installed.

    Those are TIFFs that are georeferenced, too large for Pillow, or have bands or value types that
    Pillow cannot read. Other files are not opened.
    """
    header = read_tiff_header(path)
    if header is None or find_spec("rasterio") is None:
        return False
    if header.georeferenced or header.height * header.width > MOST_PIXELS_OF_PILLOW:
        return True
    try:
        with Image.open(path):
            return False
    except UnidentifiedImageError:
        return True
    except Exception:  # noqa: BLE001 - damaged: reading it will report that
        return False


@contextlib.contextmanager
def open_raster(path: Path, reading: RasterReading | None = None) -> Iterator[Raster]:
    """Open a GeoTIFF.

    Args:
        path: path of a TIFF.
        reading: bands to read and how to scale them; by default as the file's metadata says.

    Raises:
        UnreadableImageError: the file is damaged or lacks the bands, or rasterio is not installed.
    """
    with open_dataset(path) as dataset:
        yield Raster(path, dataset, reading or RasterReading())


@contextlib.contextmanager
def open_dataset(path: Path) -> Iterator[Any]:
    """Open a GeoTIFF as a rasterio dataset.

    Raises:
        UnreadableImageError: the file is damaged, or rasterio is not installed.
    """
    try:
        import rasterio  # noqa: PLC0415 - an extra, and heavy
    except ImportError as error:
        raise UnreadableImageError(f"{path}: {missing_extra('rasterio', 'geo')}") from error
    with rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES):
        with _translated(path), quietly():
            dataset = rasterio.open(path)
        with dataset:
            yield dataset


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Suppress rasterio's warning about files without a georeference."""
    from rasterio.errors import NotGeoreferencedWarning  # noqa: PLC0415 - an extra, and heavy

    with _OPENING, warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


def colours_of(dataset: Any) -> list[str]:
    """Return what each band of a rasterio dataset is, such as ``red``, ``alpha`` or ``palette``."""
    return [each.name for each in dataset.colorinterp]


def opaque_bands(dataset: Any) -> tuple[int, ...]:
    """Return the numbers of a rasterio dataset's bands, without alpha channels."""
    return tuple(n for n, name in enumerate(colours_of(dataset), 1) if name != "alpha")


def _chosen_bands(path: Path, dataset: Any, reading: RasterReading) -> tuple[int, ...]:
    if reading.bands:
        if max(reading.bands) > dataset.count:
            raise UnreadableImageError(
                f"{path}: has {dataset.count} bands, so there is no band {max(reading.bands)};"
                " choose others with --bands"
            )
        return reading.bands
    colours, bands = colours_of(dataset), opaque_bands(dataset)
    if reading.projection is not None:
        if reading.projection.bands != len(bands):
            raise UnreadableImageError(
                f"{path}: has {len(bands)} bands, but the run was trained on"
                f" {reading.projection.bands}; choose three with --bands"
            )
        return bands
    if {"red", "green", "blue"} <= set(colours):
        return tuple(colours.index(name) + 1 for name in ("red", "green", "blue"))
    if len(bands) in {1, 3}:
        return bands
    kind = TooManyBandsError if len(bands) > 3 else UnreadableImageError
    raise kind(
        f"{path}: has {len(bands)} bands, none of them marked as red, green or blue;"
        " choose three, as in --bands 4,3,2"
    )


@contextlib.contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Convert errors of rasterio and GDAL about damaged files to :class:`UnreadableImageError`."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        # rasterio does not export the classes of GDAL's errors.
        reason = " ".join(str(error).split())
        raise UnreadableImageError(f"{path}: damaged or truncated ({reason})") from error

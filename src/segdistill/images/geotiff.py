"""GeoTIFFs through rasterio (an extra): any bands and value types as 8-bit RGB, by windows."""

import contextlib
import threading
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from segdistill.errors import missing_extra
from segdistill.images.raster import Raster, translated
from segdistill.images.raster_reading import RasterReading
from segdistill.images.tiff_header import read_tiff_header
from segdistill.images.unreadable import UnreadableImageError

MOST_PIXELS_OF_PILLOW = 89_478_485
"""Pillow warns about larger images and refuses those of twice as many pixels."""

CACHE_BYTES = 2**27
"""Size of GDAL's block cache; its own default grows with the machine's memory."""

# Python's warning filters are shared by all threads.
_OPENING = threading.Lock()


def is_raster(path: Path) -> bool:
    """Return whether a file is read through rasterio, if that is installed.

    Those are TIFFs that are georeferenced, too large for Pillow, or have bands or value types that
    Pillow cannot read.

    Args:
        path: path of any file; only TIFFs are opened.
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
        with translated(path), quietly():
            dataset = rasterio.open(path)
        with dataset:
            yield dataset


def read_raster(path: Path, reading: RasterReading | None = None) -> NDArray[np.uint8]:
    """Read a whole GeoTIFF as 8-bit RGB.

    Args:
        path: path of a TIFF.
        reading: see :func:`open_raster`.

    Returns:
        Array of shape (height, width, 3), black where there is no value.

    Raises:
        UnreadableImageError: the file cannot be read or is larger than :data:`MOST_PIXELS_HELD`.
    """
    with open_raster(path, reading) as raster:
        return raster.read_whole()[0]


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Suppress rasterio's warning about files without a georeference."""
    from rasterio.errors import NotGeoreferencedWarning  # noqa: PLC0415 - an extra, and heavy

    with _OPENING, warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield

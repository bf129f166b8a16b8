"""Opening files through rasterio (an extra), quietly and with its errors translated."""

import base64
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from segdistill.decoding.library_warnings import without_library_warnings
from segdistill.decoding.tiff_header import read_tiff_header
from segdistill.errors import UnreadableImageError, missing_extra

CACHE_BYTES = 2**27
"""Size of GDAL's block cache; its own default grows with the machine's memory."""

# Python's warning filters are shared by all threads.


@contextlib.contextmanager
def open_dataset(path: Path) -> Iterator[Any]:
    """Open a GeoTIFF as a rasterio dataset.

    Raises:
        UnreadableImageError: the file is damaged, or rasterio is not installed. Also raised inside
            the block, for errors of rasterio.
    """
    try:
        import rasterio  # noqa: PLC0415 - an extra, and heavy
    except ImportError as error:
        raise UnreadableImageError(f"{path}: {missing_extra('rasterio', 'geo')}") from error
    header = read_tiff_header(path)
    if header is not None and not header.is_possible:
        raise UnreadableImageError(
            f"{path}: damaged: claims {header.width} x {header.height} pixels, but has only"
            f" {header.size} bytes"
        )
    with rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES):
        with translated_errors(path), quietly():
            dataset = rasterio.open(path)
        with dataset:
            try:
                yield dataset
            except Exception as error:
                # Nearly anything that is asked of a damaged file may fail.
                if not type(error).__module__.startswith("rasterio"):
                    raise
                raise _damaged(path, error) from error


def profile_of(dataset: Any) -> bytes:
    """Return the ICC profile of a rasterio dataset; empty if it has none, or a damaged one."""
    encoded = dataset.tags(ns="COLOR_PROFILE").get("SOURCE_ICC_PROFILE", "")
    try:
        return base64.b64decode(encoded)
    except ValueError:
        return b""


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Suppress rasterio's warning about files without a georeference."""
    with without_library_warnings:
        yield


@contextlib.contextmanager
def translated_errors(path: Path) -> Iterator[None]:
    """Convert errors of rasterio and GDAL about damaged files to :class:`UnreadableImageError`."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        # rasterio does not export the classes of GDAL's errors.
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> UnreadableImageError:
    reason = " ".join(str(error).split())
    return UnreadableImageError(f"{path}: damaged or truncated ({reason})")

"""Reading and writing the masks of GeoTIFFs in blocks of rows."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segdistill.decoding.geotiff import Raster
from segdistill.decoding.rasterio_files import open_dataset, quietly
from segdistill.errors import UserError
from segdistill.files import atomic_path
from segdistill.images.palette import VOID
from segdistill.model.description import SegmentClass

BLOCK = 512
"""Side of the blocks of a mask, in pixels."""

ROWS_AT_ONCE = 4 * BLOCK


class RasterWriter:
    """Writes a raster from top to bottom, in complete rows of blocks.

    Args:
        dataset: rasterio dataset, open for writing.
    """

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset
        self._waiting: list[NDArray[np.uint8]] = []
        self._top = 0

    def add(self, rows: NDArray[np.uint8]) -> None:
        """Write the next rows, shape (bands, rows, width)."""
        self._waiting.append(rows)
        height = sum(each.shape[1] for each in self._waiting)
        last = self._top + height == self.dataset.height
        if height < BLOCK and not last:
            return
        ready = np.concatenate(self._waiting, axis=1)
        # Writing a block twice would waste space in a compressed file.
        whole = height if last else height // BLOCK * BLOCK
        bottom = self._top + whole
        window = ((self._top, bottom), (0, self.dataset.width))
        self.dataset.write(ready[:, :whole], window=window)
        self._waiting = [ready[:, whole:]]
        self._top = bottom


@contextlib.contextmanager
def mask_writer(
    path: Path, raster: Raster, classes: Sequence[SegmentClass]
) -> Iterator[RasterWriter]:
    """Create the mask of a GeoTIFF: 8 bits, with a palette, 255 for nodata.

    Args:
        path: output file.
        raster: the GeoTIFF, for its size and georeferencing.
        classes: classes that define the palette.

    Yields:
        A writer for rows of shape (1, rows, width).

    Raises:
        UserError: the file cannot be written.
    """
    with _create(path, raster, count=1, nodata=VOID, compress="deflate") as dataset:
        palette = {each.index: (*each.colour, 255) for each in classes}
        dataset.write_colormap(1, palette | {VOID: (0, 0, 0, 0)})
        yield RasterWriter(dataset)


@contextlib.contextmanager
def overlay_writer(path: Path, raster: Raster) -> Iterator[RasterWriter]:
    """Create the overlay of a GeoTIFF: RGB with JPEG compression.

    Args:
        path: output file.
        raster: the GeoTIFF, for its size and georeferencing.

    Yields:
        A writer for rows of shape (3, rows, width).

    Raises:
        UserError: the file cannot be written.
    """
    profile = {"count": 3, "compress": "jpeg", "photometric": "ycbcr", "jpeg_quality": 90}
    with _create(path, raster, **profile) as dataset:
        yield RasterWriter(dataset)


def count_mask_pixels(path: Path, classes: int) -> NDArray[np.int64]:
    """Count the pixels of each class in the mask of a GeoTIFF.

    Args:
        path: the mask.
        classes: number of classes; other values are ignored.

    Raises:
        UnreadableImageError: the mask is damaged.
    """
    counts = np.zeros(classes, np.int64)
    with open_dataset(path) as dataset:
        for top in range(0, dataset.height, ROWS_AT_ONCE):
            bottom = min(top + ROWS_AT_ONCE, dataset.height)
            mask = dataset.read(1, window=((top, bottom), (0, dataset.width)))
            counts += np.bincount(mask.ravel(), minlength=classes)[:classes]
    return counts


@contextlib.contextmanager
def _create(path: Path, raster: Raster, **profile: Any) -> Iterator[Any]:
    import rasterio  # noqa: PLC0415 - an extra, and heavy
    from rasterio.errors import RasterioError  # noqa: PLC0415

    with atomic_path(path) as temporary:
        try:
            with quietly():
                dataset = rasterio.open(
                    temporary,
                    "w",
                    driver="GTiff",
                    dtype="uint8",
                    height=raster.height,
                    width=raster.width,
                    tiled=True,
                    blockxsize=BLOCK,
                    blockysize=BLOCK,
                    bigtiff="if_safer",
                    **_georeferencing(raster),
                    **profile,
                )
            with dataset:
                yield dataset
        except RasterioError as error:
            reason = " ".join(str(error).split())
            raise UserError(f"{path}: cannot be written ({reason}); is the disk full?") from error


def _georeferencing(raster: Raster) -> dict[str, Any]:
    """Return the georeferencing of a raster, as profile values for rasterio."""
    dataset = raster.dataset
    points, crs_of_points = dataset.gcps
    profile: dict[str, Any] = {}
    if points:
        profile |= {"gcps": points, "crs": crs_of_points}
    elif dataset.crs is not None or not dataset.transform.is_identity:
        profile |= {"crs": dataset.crs, "transform": dataset.transform}
    if dataset.rpcs is not None:
        profile["rpcs"] = dataset.rpcs
    return profile

"""One reading for all GeoTIFFs of a training set: common value ranges and projection."""

import logging
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from segdistill.errors import UnreadableImageError, UserError, missing_extra
from segdistill.images.finding import ImageFile
from segdistill.images.geotiff import (
    Raster,
    TooManyBandsError,
    is_raster,
    opaque_bands,
    open_dataset,
    open_raster,
)
from segdistill.images.raster_reading import RasterReading
from segdistill.images.scaling import percentile_ranges, principal_projection, scaled

logger = logging.getLogger("segdistill")

SAMPLED_FILES = 1000
SAMPLED_VALUES = 2**25
"""Maximum number of values read from all files together."""

PIXELS_A_FILE = 2**16


def reading_of_files(files: Sequence[ImageFile], bands: str | None = None) -> RasterReading | None:
    """Choose how the GeoTIFFs among training images are read.

    Files of more than 8 bits are scaled by common percentiles. Files with more than three bands,
    none of them marked as red, green or blue, are projected onto their first three principal
    components.

    Args:
        files: training images.
        bands: three band numbers, such as ``4,3,2``, or one; ``all`` projects all bands.

    Returns:
        The reading; ``None`` if no file is a GeoTIFF.

    Raises:
        UserError: bands are given but no file is a GeoTIFF, the bands are invalid, or the files
            to be projected differ in their number of bands.
    """
    chosen = RasterReading.chosen(bands)
    rasters = [file for file in files if is_raster(file.path)]
    if not rasters:
        if bands is not None:
            raise UserError(
                f"--bands {bands}: none of {len(files)} images is a GeoTIFF (reading one"
                f" {missing_extra('rasterio', 'geo')})"
            )
        return None
    sampled = rasters[:: -(-len(rasters) // SAMPLED_FILES)]
    most = SAMPLED_VALUES // min(len(rasters), SAMPLED_FILES)
    if bands is None or chosen.bands:
        try:
            return _with_ranges(sampled, chosen, most)
        except TooManyBandsError:
            pass
    return _projected(sampled, most)


def _with_ranges(rasters: Sequence[ImageFile], reading: RasterReading, most: int) -> RasterReading:
    """Return a reading with the value ranges of files of more than 8 bits."""
    samples: list[NDArray[np.float32]] = []
    for file in rasters:
        try:
            with open_raster(file.path, reading) as raster:
                if not raster.is_8_bit:
                    samples.append(_sample(raster, most))
        except TooManyBandsError:
            raise
        except UnreadableImageError:
            continue  # reported or skipped by the later check
    widths = {sample.shape[1] for sample in samples}
    if len(widths) != 1:  # no files, or grey and colour mixed: each by its own percentiles
        return reading
    return RasterReading(reading.bands, percentile_ranges(np.concatenate(samples)))


def _projected(rasters: Sequence[ImageFile], most: int) -> RasterReading:
    """Return a reading that projects all bands onto three."""
    samples: list[NDArray[np.float32]] = []
    deep = False
    first: tuple[ImageFile, int] | None = None
    for file in rasters:
        try:
            with open_dataset(file.path) as dataset:
                bands = opaque_bands(dataset)
                first = first or (file, len(bands))
                if len(bands) != first[1]:
                    raise UserError(
                        f"{first[0].path} has {first[1]} bands and {file.path} has {len(bands)};"
                        " give files with the same bands, or choose three with --bands"
                    )
                raster = Raster(file.path, dataset, RasterReading(bands))
                deep |= not raster.is_8_bit
                samples.append(_sample(raster, most))
        except UnreadableImageError:
            continue
    if not samples or first is None:
        return RasterReading()  # all damaged: the later check reports them
    values = np.concatenate(samples)
    ranges = percentile_ranges(values) if deep else ((0.0, 255.0),) * first[1]
    projection = principal_projection(scaled(values.T, ranges).T)
    logger.info(
        "GeoTIFFs with %d bands are projected onto 3 (stored with the run); --bands selects 3",
        first[1],
    )
    return RasterReading((), ranges if deep else (), projection)


def _sample(raster: Raster, most: int) -> NDArray[np.float32]:
    return raster.sample(max(64, min(PIXELS_A_FILE, most // len(raster.bands))))

"""One reading for all images of a training set: value ranges, projection and borders."""

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from segdistill.decoding.borders import border_of, may_have_border
from segdistill.decoding.decode import decode_stored
from segdistill.decoding.geotiff import (
    Raster,
    is_raster,
    open_raster,
)
from segdistill.decoding.ignore_masks import read_ignored
from segdistill.decoding.image_reading import ImageReading
from segdistill.decoding.pictures import both
from segdistill.decoding.pillow_images import opened_quietly
from segdistill.decoding.raster_bands import TooManyBandsError, opaque_bands
from segdistill.decoding.rasterio_files import open_dataset
from segdistill.decoding.scaling import (
    Ranges,
    display_ranges,
    percentile_ranges,
    principal_projection,
    scaled,
)
from segdistill.decoding.tiff_header import read_tiff_header
from segdistill.errors import UnreadableImageError, UserError, missing_extra
from segdistill.files import check_regular, read_file
from segdistill.images.finding import ImageFile

logger = logging.getLogger("segdistill")

SAMPLED_FILES = 400
SAMPLED_VALUES = 2**23
"""Maximum number of values read from all files together."""

VALUES_A_FILE = 2**16
THREADS = 4

BORDER_FILES = 24
"""Number of images in which a border is looked for before the fit."""

PNG_START = b"\x89PNG\r\n\x1a\n"
PNG_DEPTH_AT = 24
JPEG_START = b"\xff\xd8"
EIGHT_BIT_SUFFIXES = frozenset(
    [".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".bmp", ".gif", ".webp", ".avif", ".heic", ".heif"]
)


class _Sample(NamedTuple):
    """Values of some valid pixels of an image, and whether its bands share a range.

    Attributes:
        values: shape (pixels, bands).
        common: whether its bands share a range.
    """

    values: NDArray[Any]
    common: bool


def reading_of_files(
    files: Sequence[ImageFile], bands: str | None = None, value_range: str | None = None
) -> ImageReading:
    """Choose how the training images are read.

    Images of more than 8 bits, in whatever file, share value ranges, chosen from a sample of their
    valid pixels (see :func:`segdistill.decoding.scaling.display_ranges`). GeoTIFFs with more than
    three bands, none of them marked as red, green or blue, are projected onto their first three
    principal components.

    Args:
        files: training images.
        bands: three band numbers, such as ``4,3,2``, or one; ``all`` projects all bands.
        value_range: the values that become black and white, such as ``-1024,3071``.

    Raises:
        UserError: bands are given but no file is a GeoTIFF, an option is malformed, or the files
            to be projected differ in their number of bands.
    """
    chosen = ImageReading.chosen(bands, value_range)
    chosen = replace(chosen, border=_largest_border(files))
    deep = [file for file in files if may_be_deep(file.path) or is_raster(file.path)]
    rasters = [file for file in deep if is_raster(file.path)]
    if bands is not None and not rasters:
        raise UserError(
            f"--bands {bands}: none of {len(files)} images is a GeoTIFF (reading one"
            f" {missing_extra('rasterio', 'geo')})"
        )
    if value_range is not None and not deep:
        logger.warning(
            "--value-range %s: none of %d images has more than 8 bits; it is stored in the run for"
            " later images",
            *(value_range, len(files)),
        )
    sampled = deep[:: max(1, -(-len(deep) // SAMPLED_FILES))]
    most = SAMPLED_VALUES // max(1, len(sampled))
    if bands is None or chosen.bands:
        try:
            return _with_ranges(sampled, chosen, min(VALUES_A_FILE, most))
        except TooManyBandsError:
            pass
    return _projected([file for file in sampled if is_raster(file.path)], chosen, most)


def may_be_deep(path: Path) -> bool:
    """Return whether an image may have more than 8 bits, from the first bytes of its file."""
    if path.suffix.lower() in EIGHT_BIT_SUFFIXES:
        return False
    header = read_tiff_header(path)
    if header is not None:
        return header.is_deep
    try:
        check_regular(path)
        with path.open("rb") as file:
            start = file.read(PNG_DEPTH_AT + 1)
    except OSError:
        return False  # reported by the later check
    if start.startswith(PNG_START):
        return len(start) > PNG_DEPTH_AT and start[PNG_DEPTH_AT] > 8
    return True


def _with_ranges(files: Sequence[ImageFile], reading: ImageReading, most: int) -> ImageReading:
    """Return a reading with the value ranges of images of more than 8 bits."""
    if reading.ranges:
        return reading
    by_bands: dict[int, list[_Sample]] = {}
    with ThreadPoolExecutor(THREADS) as pool:
        for sample in pool.map(lambda file: _sample(file, reading, most), files):
            if sample is not None and len(sample.values):
                by_bands.setdefault(sample.values.shape[1], []).append(sample)
    ranges: list[Ranges] = []
    for _, samples in sorted(by_bands.items()):
        values = np.concatenate([sample.values for sample in samples])
        common = sum(sample.common for sample in samples) * 2 >= len(samples)
        ranges.append(display_ranges(values, common=common))
        shown = ", ".join(f"{low:g} to {high:g}" for low, high in dict.fromkeys(ranges[-1]))
        logger.info(
            "%s of more than 8 bits: values from %s become black to white (stored with the run)",
            "grey images" if len(ranges[-1]) == 1 else "colour images",
            shown,
        )
    return replace(reading, ranges=tuple(ranges))


def _sample(file: ImageFile, reading: ImageReading, most: int) -> _Sample | None:
    """Return values of an image; ``None`` if it has 8 bits, or cannot be read."""
    try:
        if is_raster(file.path):
            with open_raster(file.path, reading) as raster:
                if raster.is_8_bit:
                    return None
                return _Sample(raster.sample(max(64, most)), raster.are_colours)
        stored = decode_stored(read_file(file.path), name=str(file.path)).without_gaps(reading)
        if stored.is_8_bit:
            return None
        if file.ignore is not None:
            height, width = stored.values.shape[:2]
            ignored = read_ignored(file.ignore, height, width, str(file.path))
            stored = replace(stored, valid=both(stored.valid, ~ignored))
        return _Sample(stored.sample(max(64, most)), common=True)
    except TooManyBandsError:
        raise
    except (UnreadableImageError, OSError):
        return None  # reported or skipped by the later check


def _projected(rasters: Sequence[ImageFile], reading: ImageReading, most: int) -> ImageReading:
    """Return a reading that projects all bands onto three."""
    samples: list[NDArray[Any]] = []
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
                raster = Raster(file.path, dataset, ImageReading(bands))
                deep |= not raster.is_8_bit
                pixels = min(VALUES_A_FILE, most // len(raster.bands))
                samples.append(raster.sample(max(64, pixels)))
        except UnreadableImageError:
            continue
    if not samples or first is None:
        return reading  # all damaged: the later check reports them
    values = np.concatenate(samples)
    ranges: Ranges = ((0.0, 255.0),) * first[1]
    if deep:
        ranges = reading.ranges[0] * first[1] if reading.ranges else percentile_ranges(values)
    projection = principal_projection(scaled(values.T, ranges).T)
    logger.info(
        "GeoTIFFs with %d bands are projected onto 3 (stored with the run); --bands selects 3",
        first[1],
    )
    return replace(reading, bands=(), ranges=(ranges,) if deep else (), projection=projection)


def _largest_border(files: Sequence[ImageFile]) -> float:
    """Return the largest share of a constant border in a sample of images; 0 if there is none."""
    sampled = files[:: max(1, -(-len(files) // BORDER_FILES))]
    with ThreadPoolExecutor(THREADS) as pool:
        shares = [share for share in pool.map(_border_share, sampled) if share > 0]
    if shares:
        logger.info(
            "%d of %d images checked have a constant border (up to %.0f%% of the image), which is"
            " ignored",
            *(len(shares), len(sampled), 100 * max(shares)),
        )
    return max(shares, default=0.0)


def _border_share(file: ImageFile) -> float:
    if is_raster(file.path):
        return 0.0  # their gaps are declared as a rule
    try:
        content = read_file(file.path)
        if not _corners_may_be_border(content):
            return 0.0
        stored = decode_stored(content, name=str(file.path))
    except (UnreadableImageError, OSError):
        return 0.0
    border = border_of(stored.values)
    return 0.0 if border is None else float(border.mean())


def _corners_may_be_border(content: bytes) -> bool:
    """Return whether an image may have a border, for JPEG from its reduced copy: much quicker."""
    if not content.startswith(JPEG_START):
        return True
    try:
        with opened_quietly(content) as image:
            image.draft("RGB", (image.width // 8, image.height // 8))
            return may_have_border(np.asarray(image.convert("RGB")))
    except Exception:  # noqa: BLE001 - damaged: decoding it will report that
        return True

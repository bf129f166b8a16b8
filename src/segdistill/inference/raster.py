"""Segmenting GeoTIFFs of any size: windows in, bands of the mask out, in bounded memory."""

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segdistill.images.geotiff import open_raster
from segdistill.images.labels import VOID
from segdistill.images.raster import Raster
from segdistill.images.raster_reading import RasterReading
from segdistill.images.resize import MAX_ENLARGEMENT, Viewing
from segdistill.inference.masks import mask_of_scores, overlay, write_scores
from segdistill.inference.options import MaskOptions, files_beside
from segdistill.inference.raster_masks import mask_writer, overlay_writer
from segdistill.inference.refinement import check_size
from segdistill.model.dense import tiles_of
from segdistill.model.mask_bands import Cells, MaskBand, PixelRows, masks_in_bands
from segdistill.model.segmenter import Segmenter

logger = logging.getLogger("segdistill")

WINDOW_BYTES = 2**26
"""Of the pixels of a window that is resized at once."""

MUCH_SMALLER = 4
"""From how many times smaller than it is an image is seen on, a hint is given."""

Size = tuple[int, int]


def reading_for(segmenter: Segmenter, options: MaskOptions) -> RasterReading:
    """Return how GeoTIFFs are read: as the run learned from them, unless bands are chosen."""
    chosen = RasterReading.chosen(options.bands)
    learned = segmenter.settings.raster
    if learned is None or (chosen.bands and chosen.bands != learned.bands):
        return chosen
    return learned


def seen_size(segmenter: Segmenter, size: Size, resolution: int | None) -> Size:
    """Return the size at which the backbone sees a GeoTIFF.

    Without a resolution it is seen at the scale at which training images were seen, however large
    it is, so that things have the size that they had there.

    Args:
        segmenter: whose settings know the scale; runs of older versions do not.
        size: of the GeoTIFF, in pixels.
        resolution: wanted shorter side.
    """
    settings, multiple = segmenter.settings, segmenter.backbone.size_multiple
    if resolution is None and settings.scale is not None:
        scale = min(settings.scale, MAX_ENLARGEMENT)
        height, width = (max(1, round(side * scale / multiple)) * multiple for side in size)
        return height, width
    return Viewing(resolution or settings.resolution, multiple).sizes(*size)[0]


def tile_count(segmenter: Segmenter, size: Size, resolution: int | None) -> int:
    """Return in how many tiles a GeoTIFF goes through the backbone.

    Args:
        segmenter: gives the size of a tile.
        size: of the GeoTIFF, in pixels.
        resolution: shorter side at which the backbone sees it.
    """
    height, width = seen_size(segmenter, size, resolution)
    tile = segmenter.tile
    if height <= tile and width <= tile:
        return 1
    multiple = segmenter.backbone.size_multiple
    return sum(1 for _ in tiles_of(height, width, tile=tile, multiple=multiple))


def segment_raster(
    segmenter: Segmenter,
    path: Path,
    mask_path: Path,
    options: MaskOptions,
    on_tile: Callable[[int], None] = lambda _count: None,
) -> NDArray[np.int64]:
    """Write the mask of a GeoTIFF as a GeoTIFF of the same size, in the same place.

    Args:
        segmenter: on its device.
        path: of the GeoTIFF.
        mask_path: where to.
        options: how, and what to write beside the mask. With ``crf`` or ``scores`` the GeoTIFF is
            read in one piece; without, by windows.
        on_tile: called with the number of tiles just read.

    Returns:
        Number of pixels of each class.

    Raises:
        UnreadableImageError: the GeoTIFF is damaged, or its bands do not fit.
        UserError: the mask cannot be written.
    """
    counts = np.zeros(len(segmenter.classes), np.int64)
    with open_raster(path, reading_for(segmenter, options)) as raster, ExitStack() as stack:
        size = (raster.height, raster.width)
        seen = seen_size(segmenter, size, options.resolution)
        _hint(segmenter, raster, seen, options)
        bands = (
            _band_in_one_piece(segmenter, raster, seen, mask_path, options)
            if options.in_one_piece
            else _bands(segmenter, raster, seen, options, on_tile)
        )
        # What is entered first is moved into place last: where a mask is, all else is.
        writer = stack.enter_context(mask_writer(mask_path, raster, segmenter.classes))
        colours = None
        if options.overlay:
            overlay_path = files_beside(mask_path, MaskOptions(overlay=True))[0]
            colours = stack.enter_context(overlay_writer(overlay_path, raster))
        for band in bands:
            mask = band.mask
            if colours is not None:
                picture = overlay(band.image.pixels, mask, segmenter.classes)
                if band.image.valid is not None:
                    picture[~band.image.valid] = 0
                colours.add(np.moveaxis(picture, 2, 0))  # (rows, width, 3) -> (3, rows, width)
            if band.image.valid is not None:
                mask = np.where(band.image.valid, mask, np.uint8(VOID))
            counts += np.bincount(mask.ravel(), minlength=VOID + 1)[: len(counts)]
            writer.add(mask[None])
        if options.in_one_piece:
            on_tile(tile_count(segmenter, size, options.resolution))
    return counts


def _bands(
    segmenter: Segmenter,
    raster: Raster,
    seen: Size,
    options: MaskOptions,
    on_tile: Callable[[int], None],
) -> Iterator[MaskBand]:
    def read_tile(rows: slice, columns: slice) -> NDArray[np.uint8]:
        part = viewed_part(raster, seen, rows, columns)
        on_tile(1)
        return part

    def read_rows(rows: slice) -> PixelRows:
        pixels, valid = raster.read(rows, slice(0, raster.width))
        return PixelRows(pixels, valid if raster.has_gaps else None)

    stride = segmenter.backbone.stride
    cells = Cells((raster.height, raster.width), (seen[0] // stride, seen[1] // stride))
    strips = segmenter.score_strips(read_tile, seen, mirror=options.mirror)
    return masks_in_bands(strips, read_rows, cells, upsampling=options.upsampling)


def viewed_part(raster: Raster, size: Size, rows: slice, columns: slice) -> NDArray[np.uint8]:
    """Return a part of a GeoTIFF at the size at which the backbone sees it.

    Equal to that part of the whole after :func:`segdistill.images.resize.resize_image`, but for
    rounding: Pillow resizes rows or columns first, whichever costs less, and rounds between.

    Args:
        raster: that is read.
        size: of the whole as the backbone sees it.
        rows: of the whole at that size.
        columns: of the whole at that size.

    Returns:
        Array of shape (rows, columns, 3).
    """
    if size == (raster.height, raster.width):
        return raster.read(rows, columns)[0]
    down, across = raster.height / size[0], raster.width / size[1]
    left, right = _reach(columns, across, raster.width)
    step = max(1, int(WINDOW_BYTES / (3 * (right - left) * down)))
    width = columns.stop - columns.start
    result = np.empty((rows.stop - rows.start, width, 3), np.uint8)
    for start in range(rows.start, rows.stop, step):
        part = slice(start, min(start + step, rows.stop))
        top, bottom = _reach(part, down, raster.height)
        window = raster.read(slice(top, bottom), slice(left, right))[0]
        box = (
            max(columns.start * across - left, 0.0),
            max(part.start * down - top, 0.0),
            min(columns.stop * across - left, float(right - left)),
            min(part.stop * down - top, float(bottom - top)),
        )
        resized = Image.fromarray(window).resize(
            (width, part.stop - part.start), Image.Resampling.BICUBIC, box=box
        )
        result[part.start - rows.start : part.stop - rows.start] = np.asarray(resized)
    return result


def _reach(part: slice, scale: float, length: int) -> tuple[int, int]:
    """Return from where to where the bicubic filter looks, in pixels of the source."""
    support = 2 * max(scale, 1.0) + 2
    first = int(part.start * scale - support)
    return max(0, first), min(length, int(part.stop * scale + support) + 1)


def _band_in_one_piece(
    segmenter: Segmenter, raster: Raster, seen: Size, mask_path: Path, options: MaskOptions
) -> Iterator[MaskBand]:
    height, width = raster.height, raster.width
    if options.crf:
        check_size(height, width, len(segmenter.classes))
    pixels, valid = raster.read_whole()
    viewed = viewed_part(raster, seen, slice(0, seen[0]), slice(0, seen[1]))
    scores = segmenter.scores_of_viewed([viewed], mirror=options.mirror)
    if options.scores:
        scores_path = mask_path.with_suffix(".scores.npy")
        write_scores(scores_path, scores, pixels, upsampling=options.upsampling)
    mask = mask_of_scores(scores, pixels, options, valid)
    yield MaskBand(slice(0, height), mask, PixelRows(pixels, valid))


def _hint(segmenter: Segmenter, raster: Raster, seen: Size, options: MaskOptions) -> None:
    chosen = options.resolution is not None or segmenter.settings.scale is not None
    if not chosen and MUCH_SMALLER * min(seen) < min(raster.height, raster.width):
        logger.warning(
            "%s: %d x %d pixels, seen as %d x %d; --resolution N, the shorter side, shows more",
            *(raster.path, raster.width, raster.height, seen[1], seen[0]),
        )

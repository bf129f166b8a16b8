"""Segmenting GeoTIFFs of any size in bounded memory, window by window."""

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segdistill.decoding.geotiff import Raster, open_raster
from segdistill.decoding.ignore_masks import read_ignored
from segdistill.decoding.image_reading import ImageReading
from segdistill.decoding.tiff_header import read_tiff_header
from segdistill.images.palette import VOID
from segdistill.images.resize import MAX_ENLARGEMENT, Viewing
from segdistill.inference.masks import mask_from_scores, overlay, write_scores
from segdistill.inference.options import MaskOptions, sidecar_files
from segdistill.inference.raster_masks import mask_writer, overlay_writer
from segdistill.model.segmenter import Segmenter
from segdistill.refinement.cell_colours import CellGrid, PixelRows
from segdistill.refinement.crf_refinement import check_size
from segdistill.refinement.dense import tiles_of
from segdistill.refinement.upsampling import MaskBand, mask_bands

logger = logging.getLogger("segdistill")

WINDOW_BYTES = 2**26
"""Maximum size of a window that is resized at once."""

REDUCTION_TO_WARN = 4
"""Warn if an image is reduced by more than this factor."""

Size = tuple[int, int]


def reading_for(segmenter: Segmenter, options: MaskOptions) -> ImageReading:
    """Return how images are read: as in training, unless other bands are chosen.

    Raises:
        UserError: a value range is given, but the run has one.
    """
    return segmenter.settings.reading.with_options(options.bands, options.value_range)


def backbone_input_size(segmenter: Segmenter, size: Size, resolution: int | None) -> Size:
    """Return the size to which a GeoTIFF is resized for the backbone.

    Without a resolution, the scale is that of the training images regardless of the size, so that
    objects have the same size as in training.

    Args:
        segmenter: the model; runs of older versions do not record the scale.
        size: height and width of the GeoTIFF, in pixels.
        resolution: shorter side of the backbone's input, or ``None``.
    """
    settings, multiple = segmenter.settings, segmenter.backbone.size_multiple
    if resolution is None and settings.scale is not None:
        scale = min(settings.scale, MAX_ENLARGEMENT)
        height, width = (max(1, round(side * scale / multiple)) * multiple for side in size)
        return height, width
    return Viewing(resolution or settings.resolution, multiple).sizes(*size)[0]


def tile_count(segmenter: Segmenter, size: Size, resolution: int | None) -> int:
    """Return the number of tiles into which a GeoTIFF is split for the backbone.

    Args:
        segmenter: the model.
        size: height and width of the GeoTIFF, in pixels.
        resolution: shorter side of the backbone's input, or ``None``.
    """
    height, width = backbone_input_size(segmenter, size, resolution)
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
    ignore: Path | None = None,
) -> NDArray[np.int64]:
    """Write the mask of a GeoTIFF as a GeoTIFF with the same size and georeferencing.

    Args:
        segmenter: the model.
        path: the GeoTIFF.
        mask_path: output file.
        options: segmentation options. With ``crf`` or ``scores``, the GeoTIFF is read as a whole,
            otherwise in windows.
        on_tile: called with the number of tiles just read.
        ignore: mask of pixels to be ignored.

    Returns:
        Number of pixels of each class, shape (classes,).

    Raises:
        UnreadableImageError: the GeoTIFF is damaged, or its bands do not match the run.
        UserError: the mask cannot be written.
    """
    counts = np.zeros(len(segmenter.classes), np.int64)
    reading = reading_for(segmenter, options)
    header = read_tiff_header(path)
    ignored = None
    if ignore is not None and header is not None:
        ignored = read_ignored(ignore, *header.upright_size, str(path))
    with open_raster(path, reading, ignored) as raster, ExitStack() as stack:
        size = (raster.height, raster.width)
        input_size = backbone_input_size(segmenter, size, options.resolution)
        _warn_if_reduced(segmenter, raster, input_size, options)
        bands = (
            _whole_band(segmenter, raster, input_size, mask_path, options)
            if options.needs_whole_raster
            else _bands(segmenter, raster, input_size, options, on_tile)
        )
        # Entered first, so moved into place last: if the mask exists, the overlay does, too.
        writer = stack.enter_context(mask_writer(mask_path, raster, segmenter.classes))
        overlays = None
        if options.overlay:
            overlay_path = sidecar_files(mask_path, MaskOptions(overlay=True))[0]
            overlays = stack.enter_context(overlay_writer(overlay_path, raster))
        for band in bands:
            mask = band.mask
            if overlays is not None:
                blended = overlay(band.image.pixels, mask, segmenter.classes)
                if band.image.valid is not None:
                    blended[~band.image.valid] = 0
                overlays.add(np.moveaxis(blended, 2, 0))  # (rows, width, 3) -> (3, rows, width)
            if band.image.valid is not None:
                mask = np.where(band.image.valid, mask, np.uint8(VOID))
            counts += np.bincount(mask.ravel(), minlength=VOID + 1)[: len(counts)]
            writer.add(mask[None])
        if options.needs_whole_raster:
            on_tile(tile_count(segmenter, size, options.resolution))
    return counts


def _bands(
    segmenter: Segmenter,
    raster: Raster,
    input_size: Size,
    options: MaskOptions,
    on_tile: Callable[[int], None],
) -> Iterator[MaskBand]:
    def read_tile(rows: slice, columns: slice) -> NDArray[np.uint8]:
        part = resized_window(raster, input_size, rows, columns)
        on_tile(1)
        return part

    def read_rows(rows: slice) -> PixelRows:
        pixels, valid = raster.read(rows, slice(0, raster.width))
        return PixelRows(pixels, valid if raster.has_gaps else None)

    stride = segmenter.backbone.stride
    grid = (input_size[0] // stride, input_size[1] // stride)
    cells = CellGrid((raster.height, raster.width), grid)
    strips = segmenter.score_strips(read_tile, input_size, mirror=options.mirror)
    return mask_bands(
        strips,
        read_rows,
        cells,
        upsampling=options.upsampling,
        detail=segmenter.settings.detail,
    )


def resized_window(raster: Raster, size: Size, rows: slice, columns: slice) -> NDArray[np.uint8]:
    """Read a window of the resized GeoTIFF.

    Equal to the same window after :func:`segdistill.images.resize.resize_image` of the whole image,
    up to rounding: Pillow resizes rows or columns first, whichever is cheaper, and rounds in
    between.

    Args:
        raster: the GeoTIFF.
        size: height and width of the resized GeoTIFF.
        rows: rows of the window, in the resized GeoTIFF.
        columns: columns of the window, in the resized GeoTIFF.

    Returns:
        Array of shape (rows, columns, 3).
    """
    if size == (raster.height, raster.width):
        return raster.read(rows, columns)[0]
    down, across = raster.height / size[0], raster.width / size[1]
    left, right = _source_range(columns, across, raster.width)
    step = max(1, int(WINDOW_BYTES / (3 * (right - left) * down)))
    width = columns.stop - columns.start
    result = np.empty((rows.stop - rows.start, width, 3), np.uint8)
    for start in range(rows.start, rows.stop, step):
        part = slice(start, min(start + step, rows.stop))
        top, bottom = _source_range(part, down, raster.height)
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


def _source_range(part: slice, scale: float, length: int) -> tuple[int, int]:
    """Return the range of source pixels that the bicubic filter reads."""
    support = 2 * max(scale, 1.0) + 2
    first = int(part.start * scale - support)
    return max(0, first), min(length, int(part.stop * scale + support) + 1)


def _whole_band(
    segmenter: Segmenter, raster: Raster, input_size: Size, mask_path: Path, options: MaskOptions
) -> Iterator[MaskBand]:
    height, width = raster.height, raster.width
    if options.crf:
        check_size(height, width, len(segmenter.classes))
    pixels, valid = raster.read_whole()
    whole = slice(0, input_size[0]), slice(0, input_size[1])
    resized = resized_window(raster, input_size, *whole)
    scores = segmenter.scores_of_viewed([resized], mirror=options.mirror)
    detail = segmenter.settings.detail
    if options.scores:
        scores_path = mask_path.with_suffix(".scores.npy")
        write_scores(scores_path, scores, pixels, upsampling=options.upsampling, detail=detail)
    mask = mask_from_scores(scores, pixels, options, valid, detail=detail)
    yield MaskBand(slice(0, height), mask, PixelRows(pixels, valid))


def _warn_if_reduced(
    segmenter: Segmenter, raster: Raster, input_size: Size, options: MaskOptions
) -> None:
    chosen = options.resolution is not None or segmenter.settings.scale is not None
    if not chosen and REDUCTION_TO_WARN * min(input_size) < min(raster.height, raster.width):
        logger.warning(
            "%s: %d x %d pixels, reduced to %d x %d; set --resolution N, the shorter side, to keep"
            " more detail",
            *(raster.path, raster.width, raster.height, input_size[1], input_size[0]),
        )

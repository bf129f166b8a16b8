"""Writing the masks of image files; decoding and writing overlap with the backbone."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from segdistill.images.decode import UnreadableImageError, read_image
from segdistill.images.folder import ImageFile, SkippedImage
from segdistill.images.tiff_header import read_tiff_header
from segdistill.images.tree import LEADS_NOWHERE, leads_nowhere
from segdistill.inference.masks import (
    ensure_classes_file,
    mask_from_scores,
    write_mask,
    write_overlay,
    write_scores,
)
from segdistill.inference.options import RASTER_SUFFIX, MaskOptions
from segdistill.inference.raster import segment_raster, tile_count
from segdistill.model.description import SegmentClass
from segdistill.model.segmenter import Segmenter
from segdistill.prefetch import in_batches, in_threads, worker_threads
from segdistill.progress import progress_bar

MAX_BYTES_HELD = 2**26
"""Larger images are not kept while they wait for the backbone, but decoded again."""

MaskPixels = NDArray[np.int64]
"""Number of pixels of each class in a mask, shape (classes,)."""


class SegmentedImage(NamedTuple):
    """An image whose mask was written.

    Attributes:
        file: the image.
        pixels: number of pixels of each class, shape (classes,).
        distance: distance to the prototypes; see
            :class:`segdistill.inference.image_table.ImageRow`.
    """

    file: ImageFile
    pixels: MaskPixels
    distance: float | None = None


def write_masks(
    segmenter: Segmenter,
    files: Sequence[ImageFile],
    names: Mapping[ImageFile, Path],
    folder: Path,
    options: MaskOptions,
    *,
    threads: int | None = None,
    progress: bool = False,
) -> Iterator[SegmentedImage | SkippedImage]:
    """Write the masks of files, and their sidecar files.

    Args:
        segmenter: the model.
        files: images to segment.
        names: relative paths of the masks; images whose masks end in ``.tif`` are read as GeoTIFFs.
        folder: root folder of the masks.
        options: segmentation options.
        threads: number of threads that decode and write while the network runs; by default one per
            core; 0 uses the calling thread.
        progress: show a progress bar.

    Yields:
        Each file with its pixel counts, or the reason why it was skipped.

    Raises:
        UserError: the folder cannot be written.
    """
    count = worker_threads() if threads is None else threads
    rasters = [file for file in files if names[file].suffix == RASTER_SUFFIX]
    images = [file for file in files if names[file].suffix != RASTER_SUFFIX]
    return chain(
        _results(segmenter, images, names, folder, options, threads=count, progress=progress),
        _raster_results(segmenter, rasters, names, folder, options, progress=progress),
    )


class _LoadedImage(NamedTuple):
    """A decoded image.

    Attributes:
        file: the image file.
        pixels: the image resized for the backbone.
        full_size: the image at full size; ``None`` if it is too large to keep.
    """

    file: ImageFile
    pixels: NDArray[np.uint8]
    full_size: NDArray[np.uint8] | None


class _ScoredImage(NamedTuple):
    """An image with its class scores.

    Attributes:
        image: the image.
        scores: class scores on the grid, shape (1, classes, h, w).
        distance: distance to the prototypes; see
            :class:`segdistill.inference.image_table.ImageRow`.
    """

    image: _LoadedImage
    scores: torch.Tensor
    distance: float | None


def _raster_results(
    segmenter: Segmenter,
    files: Sequence[ImageFile],
    names: Mapping[ImageFile, Path],
    folder: Path,
    options: MaskOptions,
    *,
    progress: bool,
) -> Iterator[SegmentedImage | SkippedImage]:
    """Write the masks of GeoTIFFs; yields like :func:`write_masks`."""
    tiles = 0
    for file in files:
        header = read_tiff_header(file.path)
        if header is not None:
            size = (header.height, header.width)
            tiles += tile_count(segmenter, size, options.resolution)
    with progress_bar("Segmenting tiles", tiles, shown=progress) as advance:

        def on_tile(count: int) -> None:
            ensure_classes_file(folder, segmenter.classes)
            advance(count)

        for file in files:
            try:
                mask = folder / names[file]
                pixels = segment_raster(segmenter, file.path, mask, options, on_tile=on_tile)
                yield SegmentedImage(file, pixels)
            except UnreadableImageError as error:
                yield SkippedImage(file, str(error))


def _results(
    segmenter: Segmenter,
    files: Sequence[ImageFile],
    names: Mapping[ImageFile, Path],
    folder: Path,
    options: MaskOptions,
    *,
    threads: int,
    progress: bool,
) -> Iterator[SegmentedImage | SkippedImage]:
    """Write the masks of other images; yields like :func:`write_masks`."""

    def load(file: ImageFile) -> _LoadedImage | SkippedImage:
        if leads_nowhere(file.path):
            return SkippedImage(file, f"{file.path}: {LEADS_NOWHERE}")
        try:
            image = read_image(file.path)
        except UnreadableImageError as error:
            return SkippedImage(file, str(error))
        pixels = segmenter.viewed(image, resolution=options.resolution)
        return _LoadedImage(file, pixels, image if image.nbytes <= MAX_BYTES_HELD else None)

    def write(each: _ScoredImage | SkippedImage) -> SegmentedImage | SkippedImage:
        if isinstance(each, SkippedImage):
            return each
        file = each.image.file
        ensure_classes_file(folder, segmenter.classes)
        pixels = _write_results(
            each.image, each.scores, folder / names[file], options, segmenter.classes
        )
        return SegmentedImage(file, pixels, each.distance)

    loaded = in_threads(load, files, threads=threads, ahead=2 * threads)
    scored = _scored(segmenter, loaded, mirror=options.mirror)
    # The CRF uses all cores by itself, and a lot of memory.
    written = (
        map(write, scored)
        if options.crf
        else in_threads(write, scored, threads=threads, ahead=threads)
    )
    with progress_bar("Segmenting", len(files), shown=progress) as advance:
        for result in written:
            yield result
            advance(1)


def _scored(
    segmenter: Segmenter, loaded: Iterable[_LoadedImage | SkippedImage], *, mirror: bool
) -> Iterator[_ScoredImage | SkippedImage]:
    """Compute class scores; consecutive images of the same size are batched."""

    def size(each: _LoadedImage | SkippedImage) -> tuple[int, int] | None:
        return None if isinstance(each, SkippedImage) else each.pixels.shape[:2]

    def max_batch(each: _LoadedImage | SkippedImage) -> int:
        sides = size(each)
        return 1 if sides is None else segmenter.budget.images(*sides)

    for batch in in_batches(loaded, size, max_batch):
        images = [each for each in batch if isinstance(each, _LoadedImage)]
        yield from (each for each in batch if isinstance(each, SkippedImage))
        if images:
            pixels = [each.pixels for each in images]
            scores, distances = segmenter.scores_and_distances(pixels, mirror=mirror)
            # (batch, classes, h, w) -> (1, classes, h, w) each
            for each, own, distance in zip(
                images, scores[:, None].unbind(), distances, strict=True
            ):
                yield _ScoredImage(each, own, distance)


def _write_results(
    loaded: _LoadedImage,
    scores: torch.Tensor,
    path: Path,
    options: MaskOptions,
    classes: Sequence[SegmentClass],
) -> MaskPixels:
    image = read_image(loaded.file.path) if loaded.full_size is None else loaded.full_size
    mask = mask_from_scores(scores, image, options)
    if options.overlay:
        write_overlay(path.with_suffix(".overlay.jpg"), image, mask, classes)
    if options.scores:
        scores_path = path.with_suffix(".scores.npy")
        write_scores(scores_path, scores, image, upsampling=options.upsampling)
    # Written last: if a mask exists, its sidecar files do, too.
    write_mask(path, mask, classes)
    # Unlike np.bincount, Pillow does not make a copy with a wider dtype.
    return np.array(Image.fromarray(mask).histogram()[: len(classes)], np.int64)

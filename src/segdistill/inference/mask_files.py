"""Writing the masks of image files: decoding ahead of the backbone, writing behind it."""

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
    ensure_classes,
    mask_of_scores,
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

MOST_BYTES_HELD = 2**26
"""Images that take more are not held while they wait for the backbone, but decoded once more."""

MaskPixels = NDArray[np.int64]
"""Number of pixels of each class in a mask, shape (classes,)."""


class SegmentedImage(NamedTuple):
    """An image whose mask was written.

    Attributes:
        file: the image.
        pixels: of each class in the mask, shape (classes,).
        distance: from the training images; see :class:`segdistill.inference.image_table.ImageRow`.
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
    """Write the masks of files, and what belongs to them.

    Args:
        segmenter: on its device.
        files: whose masks are written.
        names: of the masks, in the folder; what ends with ``.tif`` is read as a GeoTIFF.
        folder: where the tree of masks begins.
        options: how, and what else to write.
        threads: that decode and write while the network works; by default one a core. With 0 the
            caller's does everything.
        progress: show a progress bar.

    Yields:
        Each file with the pixels of each class, or why there is no mask.

    Raises:
        UserError: the folder cannot be written.
    """
    count = worker_threads() if threads is None else threads
    rasters = [file for file in files if names[file].suffix == RASTER_SUFFIX]
    pictures = [file for file in files if names[file].suffix != RASTER_SUFFIX]
    return chain(
        _results(segmenter, pictures, names, folder, options, threads=count, progress=progress),
        _raster_results(segmenter, rasters, names, folder, options, progress=progress),
    )


class _Viewed(NamedTuple):
    """An image on its way to its mask.

    Attributes:
        file: where it comes from.
        pixels: as the backbone sees it.
        whole: the image itself, unless it is too large to be held.
    """

    file: ImageFile
    pixels: NDArray[np.uint8]
    whole: NDArray[np.uint8] | None


class _Scored(NamedTuple):
    """An image with its class scores.

    Attributes:
        viewed: the image.
        scores: on the grid, shape (1, classes, h, w).
        distance: from the training images; see :class:`segdistill.inference.image_table.ImageRow`.
    """

    viewed: _Viewed
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
    """Write masks of GeoTIFFs, and yield what :func:`_results` does."""
    tiles = 0
    for file in files:
        header = read_tiff_header(file.path)
        if header is not None:
            size = (header.height, header.width)
            tiles += tile_count(segmenter, size, options.resolution)
    with progress_bar("Segmenting tiles", tiles, shown=progress) as advance:

        def on_tile(count: int) -> None:
            ensure_classes(folder, segmenter.classes)
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
    """Write masks of other images, and yield what :func:`write_masks` does."""

    def view(file: ImageFile) -> _Viewed | SkippedImage:
        if leads_nowhere(file.path):
            return SkippedImage(file, f"{file.path}: {LEADS_NOWHERE}")
        try:
            image = read_image(file.path)
        except UnreadableImageError as error:
            return SkippedImage(file, str(error))
        pixels = segmenter.viewed(image, resolution=options.resolution)
        return _Viewed(file, pixels, image if image.nbytes <= MOST_BYTES_HELD else None)

    def finish(each: _Scored | SkippedImage) -> SegmentedImage | SkippedImage:
        if isinstance(each, SkippedImage):
            return each
        file = each.viewed.file
        ensure_classes(folder, segmenter.classes)
        pixels = _write_results(
            each.viewed, each.scores, folder / names[file], options, segmenter.classes
        )
        return SegmentedImage(file, pixels, each.distance)

    viewed = in_threads(view, files, threads=threads, ahead=2 * threads)
    scored = _scored(segmenter, viewed, mirror=options.mirror)
    # The CRF keeps all cores busy by itself, and takes much memory.
    finished = (
        map(finish, scored)
        if options.crf
        else in_threads(finish, scored, threads=threads, ahead=threads)
    )
    with progress_bar("Segmenting", len(files), shown=progress) as advance:
        for result in finished:
            yield result
            advance(1)


def _scored(
    segmenter: Segmenter, viewed: Iterable[_Viewed | SkippedImage], *, mirror: bool
) -> Iterator[_Scored | SkippedImage]:
    """Compute class scores, of neighbouring images of one size together."""

    def size(each: _Viewed | SkippedImage) -> tuple[int, int] | None:
        return None if isinstance(each, SkippedImage) else each.pixels.shape[:2]

    def most(each: _Viewed | SkippedImage) -> int:
        sides = size(each)
        return 1 if sides is None else segmenter.budget.images(*sides)

    for batch in in_batches(viewed, size, most):
        seen = [each for each in batch if isinstance(each, _Viewed)]
        yield from (each for each in batch if isinstance(each, SkippedImage))
        if seen:
            pixels = [each.pixels for each in seen]
            scores, distances = segmenter.scores_and_distances(pixels, mirror=mirror)
            # (batch, classes, h, w) -> (1, classes, h, w) each
            for each, own, distance in zip(seen, scores[:, None].unbind(), distances, strict=True):
                yield _Scored(each, own, distance)


def _write_results(
    viewed: _Viewed,
    scores: torch.Tensor,
    path: Path,
    options: MaskOptions,
    classes: Sequence[SegmentClass],
) -> MaskPixels:
    image = read_image(viewed.file.path) if viewed.whole is None else viewed.whole
    mask = mask_of_scores(scores, image, options)
    if options.overlay:
        write_overlay(path.with_suffix(".overlay.jpg"), image, mask, classes)
    if options.scores:
        scores_path = path.with_suffix(".scores.npy")
        write_scores(scores_path, scores, image, upsampling=options.upsampling)
    # Last: where a mask exists, all that belongs to it does.
    write_mask(path, mask, classes)
    # Pillow counts without a copy in wider numbers, as numpy's bincount makes.
    return np.array(Image.fromarray(mask).histogram()[: len(classes)], np.int64)

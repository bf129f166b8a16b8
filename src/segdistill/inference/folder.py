"""Segmenting files: one mask an image, in the same tree, under the same names."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from segdistill.errors import UserError
from segdistill.images.decode import UnreadableImageError, read_image
from segdistill.images.finding import picture_names
from segdistill.images.folder import ImageFile, SkippedImage
from segdistill.images.geotiff import is_raster
from segdistill.images.labels import read_labels
from segdistill.images.tiff_header import read_tiff_header
from segdistill.images.tree import LEADS_NOWHERE, leads_nowhere
from segdistill.inference.masks import (
    CLASSES_FILE,
    write_classes,
    write_mask,
    write_overlay,
    write_scores,
)
from segdistill.inference.options import RASTER_SUFFIX, MaskOptions, files_beside
from segdistill.inference.raster import segment_raster, tile_count
from segdistill.inference.raster_masks import count_mask_pixels
from segdistill.inference.refinement import refined_mask
from segdistill.model.description import SegmentClass
from segdistill.model.segmenter import Segmenter
from segdistill.model.upsampling import upsampled_mask
from segdistill.overlap import in_threads, worker_threads
from segdistill.progress import progress_bar

__all__ = [
    "MaskOptions",
    "SegmentedFiles",
    "check_masks_folder",
    "files_beside",
    "mask_names",
    "segment_files",
]

MOST_BYTES_HELD = 2**26
"""Images that take more are not held while they wait for the backbone, but decoded once more."""


@dataclass
class SegmentedFiles:
    """What was written.

    Attributes:
        folder: where.
        written: number of masks written now.
        kept: number of masks that were there already.
        skipped: images that could not be read.
    """

    folder: Path
    written: int = 0
    kept: int = 0
    skipped: list[SkippedImage] = field(default_factory=list)

    def add(self, other: "SegmentedFiles") -> None:
        """Add what was written of other sources."""
        self.written += other.written
        self.kept += other.kept
        self.skipped += other.skipped


def check_masks_folder(files: Sequence[ImageFile], folder: Path, options: MaskOptions) -> None:
    """Check, before a model loads, that masks can be written.

    Raises:
        UserError: a mask would replace an image, or a mask is there already and neither
            ``overwrite`` nor ``resume`` is set.
    """
    if options.overwrite and options.resume:
        raise UserError("--overwrite and --resume: choose one")
    masks = [folder / name for name in mask_names(files)]
    sources = {file.path.resolve() for file in files}
    for mask in masks:
        if mask.resolve() in sources:
            raise UserError(f"{mask}: the mask would replace the image; choose another --out")
    beside = [path for mask in masks for path in files_beside(mask, options)]
    if not (options.overwrite or options.resume):
        for path in [*beside, folder / CLASSES_FILE]:
            if path.exists() and not any(mask.exists() for mask in masks):
                raise UserError(f"{path}: exists already; add --overwrite or choose another --out")
    existing = sum(mask.exists() for mask in masks)
    if existing and not (options.overwrite or options.resume):
        raise UserError(
            f"{folder}: {existing} of {len(masks)} masks exist already; add --resume to write"
            " the others, --overwrite to replace them, or choose another --out"
        )


def mask_names(files: Sequence[ImageFile]) -> list[Path]:
    """Return relative paths for the masks of images: PNG, and of GeoTIFFs GeoTIFF.

    Args:
        files: what was found; no other than TIFFs are opened.
    """
    return [
        name.with_suffix(RASTER_SUFFIX) if is_raster(file.path) else name
        for file, name in zip(files, picture_names(files), strict=True)
    ]


def segment_files(
    segmenter: Segmenter,
    files: Sequence[ImageFile],
    folder: Path,
    options: MaskOptions,
    *,
    progress: bool = False,
) -> SegmentedFiles:
    """Segment files and write their masks, and, if there are any, ``classes.json``.

    Args:
        segmenter: on its device.
        files: what was found.
        folder: where the tree of masks begins.
        options: how, and what else to write.
        progress: show a progress bar.

    Raises:
        UnreadableImageError: with ``strict``, for the first image that cannot be read.
        UserError: the folder cannot be written.
    """
    done = SegmentedFiles(folder)
    group = segmenter.compute.group
    pixels = np.zeros(len(segmenter.classes), np.int64)
    names = dict(zip(files, mask_names(files), strict=True))
    wanted = list(files)
    if options.resume:
        # One process looks for all, before any of them writes.
        kept = group.from_first(lambda: _kept(files, names, folder, options))
        wanted = [file for file in files if file not in kept]
        done.kept = len(kept)
        pixels += _pixels_of_masks((folder / names[file] for file in kept), len(pixels))

    def write(share: Sequence[ImageFile]) -> tuple[SegmentedFiles, NDArray[np.int64]]:
        part, counted = SegmentedFiles(folder), np.zeros_like(pixels)
        shown = progress and group.is_first
        rasters = [file for file in share if names[file].suffix == RASTER_SUFFIX]
        pictures = [file for file in share if names[file].suffix != RASTER_SUFFIX]
        for result in chain(
            _results(segmenter, pictures, names, folder, options, progress=shown),
            _raster_results(segmenter, rasters, names, folder, options, progress=shown),
        ):
            if not isinstance(result, SkippedImage):
                counted += result
                part.written += 1
            elif options.strict:
                raise UnreadableImageError(result.reason)
            else:
                part.skipped.append(result)
        return part, counted

    for part, counted in group.each(lambda: write(group.share(wanted))):
        done.written += part.written
        done.skipped += part.skipped
        pixels += counted
    if done.written or done.kept:
        group.from_first(lambda: write_classes(folder, segmenter.classes, pixels))
    return done


def _kept(
    files: Sequence[ImageFile], names: Mapping[ImageFile, Path], folder: Path, options: MaskOptions
) -> set[ImageFile]:
    """Return the images of which all that is to be written is there already."""
    return {
        file
        for file in files
        if all(
            path.exists()
            for path in (folder / names[file], *files_beside(folder / names[file], options))
        )
    }


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


_Scored = tuple[_Viewed, torch.Tensor]


def _raster_results(
    segmenter: Segmenter,
    files: Sequence[ImageFile],
    names: Mapping[ImageFile, Path],
    folder: Path,
    options: MaskOptions,
    *,
    progress: bool,
) -> Iterator[NDArray[np.int64] | SkippedImage]:
    """Write masks of GeoTIFFs, and yield what :func:`_results` does."""
    tiles = 0
    for file in files:
        header = read_tiff_header(file.path)
        if header is not None:
            size = (header.height, header.width)
            tiles += tile_count(segmenter, size, options.resolution)
    with progress_bar("Segmenting tiles", tiles, shown=progress) as advance:
        for file in files:
            try:
                yield segment_raster(
                    segmenter, file.path, folder / names[file], options, on_tile=advance
                )
            except UnreadableImageError as error:
                yield SkippedImage(file, str(error))


def _results(
    segmenter: Segmenter,
    files: Sequence[ImageFile],
    names: Mapping[ImageFile, Path],
    folder: Path,
    options: MaskOptions,
    *,
    progress: bool,
) -> Iterator[NDArray[np.int64] | SkippedImage]:
    """Write masks, and yield the pixels of each class, or why there is no mask, file by file.

    Threads decode ahead of the backbone, and others write while it goes on.
    """

    def view(file: ImageFile) -> _Viewed | SkippedImage:
        if leads_nowhere(file.path):
            return SkippedImage(file, f"{file.path}: {LEADS_NOWHERE}")
        try:
            image = read_image(file.path)
        except UnreadableImageError as error:
            return SkippedImage(file, str(error))
        pixels = segmenter.viewed(image, resolution=options.resolution)
        return _Viewed(file, pixels, image if image.nbytes <= MOST_BYTES_HELD else None)

    def finish(each: _Scored | SkippedImage) -> NDArray[np.int64] | SkippedImage:
        if isinstance(each, SkippedImage):
            return each
        path = folder / names[each[0].file]
        return _write_results(*each, path, options, segmenter.classes)

    threads = worker_threads()
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
    """Work out class scores, of neighbouring images of one size together."""

    def scored(batch: list[_Viewed]) -> Iterator[_Scored]:
        scores = segmenter.scores_of_viewed([each.pixels for each in batch], mirror=mirror)
        return zip(batch, scores[:, None].unbind(), strict=True)  # (1, classes, h, w) each

    batch: list[_Viewed] = []
    for each in viewed:
        if isinstance(each, SkippedImage):
            yield each
            continue
        if batch and each.pixels.shape != batch[0].pixels.shape:
            yield from scored(batch)
            batch = []
        batch.append(each)
        if len(batch) >= segmenter.budget.images(*each.pixels.shape[:2]):
            yield from scored(batch)
            batch = []
    if batch:
        yield from scored(batch)


def _write_results(
    viewed: _Viewed,
    scores: torch.Tensor,
    path: Path,
    options: MaskOptions,
    classes: Sequence[SegmentClass],
) -> NDArray[np.int64]:
    image = read_image(viewed.file.path) if viewed.whole is None else viewed.whole
    if options.crf:
        mask = refined_mask(scores, image)
    else:
        mask = upsampled_mask(scores, image, upsampling=options.upsampling)
    if options.overlay:
        write_overlay(path.with_suffix(".overlay.jpg"), image, mask, classes)
    if options.scores:
        scores_path = path.with_suffix(".scores.npy")
        write_scores(scores_path, scores, image, upsampling=options.upsampling)
    # Last: where a mask exists, all that belongs to it does.
    write_mask(path, mask, classes)
    # Pillow counts without a copy in wider numbers, as numpy's bincount makes.
    return np.array(Image.fromarray(mask).histogram()[: len(classes)], np.int64)


def _pixels_of_masks(paths: Iterable[Path], classes: int) -> NDArray[np.int64]:
    counts = np.zeros(classes, np.int64)
    for path in paths:
        if path.suffix == RASTER_SUFFIX:
            counts += count_mask_pixels(path, classes)
        else:
            counts += np.bincount(read_labels(path).ravel(), minlength=classes)[:classes]
    return counts

"""Segmenting files: one mask an image, in the same tree, under the same names."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from segdistill.config.validation import Range, check_ranges, typed
from segdistill.errors import UserError
from segdistill.images.decode import UnreadableImageError, read_image
from segdistill.images.finding import picture_names
from segdistill.images.folder import ImageFile, SkippedImage
from segdistill.images.labels import read_labels
from segdistill.images.tree import LEADS_NOWHERE, leads_nowhere
from segdistill.inference.masks import (
    CLASSES_FILE,
    write_classes,
    write_mask,
    write_overlay,
    write_scores,
)
from segdistill.inference.refinement import refined_mask
from segdistill.model.description import SegmentClass
from segdistill.model.segmenter import Segmenter
from segdistill.model.upsampling import Upsampling, upsampled_mask
from segdistill.overlap import in_threads, worker_threads
from segdistill.progress import progress_bar

MOST_BYTES_HELD = 2**26
"""Images that take more are not held while they wait for the backbone, but decoded once more."""

RANGES = (Range("at least 32", lambda value: value >= 32, ("resolution",)),)


@dataclass(frozen=True)
class MaskOptions:
    """How to segment, and what to write beside the masks.

    Attributes:
        overlay: write ``NAME.overlay.jpg``, the mask's colours over the image.
        scores: write ``NAME.scores.npy``, class scores of shape (height, width, classes), float16.
        mirror: average with the mirrored image: a little better, twice the time.
        upsampling: ``guided`` brings class scores from the backbone's grid to pixels along the
            edges of the image, ``bilinear`` without looking at it.
        crf: refine with the fully connected CRF instead: several times the time.
        resolution: shorter side at which the backbone sees images; by default as in training.
        strict: stop at the first image that cannot be read.
        overwrite: replace masks that are there already.
        resume: leave masks that are there already, and write those that are missing.
    """

    overlay: bool = False
    scores: bool = False
    mirror: bool = False
    upsampling: Upsampling = "guided"
    crf: bool = False
    resolution: int | None = None
    strict: bool = False
    overwrite: bool = False
    resume: bool = False

    def validated(self) -> "MaskOptions":
        """Return the options, with every value of its type and in its range.

        Raises:
            UserError: a value is not; the message names the option and what it may be.
        """
        options = typed(self)
        check_ranges(options, RANGES)
        return options


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


def check_masks_folder(files: Sequence[ImageFile], folder: Path, options: MaskOptions) -> None:
    """Check, before a model loads, that masks can be written.

    Raises:
        UserError: a mask would replace an image, or a mask is there already and neither
            ``overwrite`` nor ``resume`` is set.
    """
    if options.overwrite and options.resume:
        raise UserError("--overwrite and --resume: choose one")
    masks = [folder / name for name in picture_names(files)]
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


def files_beside(mask: Path, options: MaskOptions) -> list[Path]:
    """Return what is written beside a mask."""
    suffixes = [(options.overlay, ".overlay.jpg"), (options.scores, ".scores.npy")]
    return [mask.with_suffix(suffix) for wanted, suffix in suffixes if wanted]


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
    names = dict(zip(files, picture_names(files), strict=True))
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
        with progress_bar("Segmenting", len(share), shown=shown) as advance:
            for result in _results(segmenter, share, names, folder, options):
                if not isinstance(result, SkippedImage):
                    counted += result
                    part.written += 1
                elif options.strict:
                    raise UnreadableImageError(result.reason)
                else:
                    part.skipped.append(result)
                advance(1)
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


def _results(
    segmenter: Segmenter,
    files: Iterable[ImageFile],
    names: Mapping[ImageFile, Path],
    folder: Path,
    options: MaskOptions,
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
    if options.crf:  # which keeps all cores busy by itself, and takes much memory
        return map(finish, scored)
    return in_threads(finish, scored, threads=threads, ahead=threads)


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
        counts += np.bincount(read_labels(path).ravel(), minlength=classes)[:classes]
    return counts

"""Segmenting files: one mask an image, in the same tree, under the same names."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

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
from segdistill.model.segmenter import Segmenter, mask_of
from segdistill.progress import progress_bar

IMAGES_AHEAD = 3
RANGES = (Range("at least 32", lambda value: value >= 32, ("resolution",)),)


@dataclass(frozen=True)
class MaskOptions:
    """How to segment, and what to write beside the masks.

    Attributes:
        overlay: write ``NAME.overlay.jpg``, the mask's colours over the image.
        scores: write ``NAME.scores.npy``, class scores of shape (height, width, classes), float16.
        mirror: average with the mirrored image: a little better, twice the time.
        crf: refine with the fully connected CRF: sharper edges, several times the time.
        resolution: shorter side at which the backbone sees images; by default as in training.
        strict: stop at the first image that cannot be read.
        overwrite: replace masks that are there already.
        resume: leave masks that are there already, and write those that are missing.
    """

    overlay: bool = False
    scores: bool = False
    mirror: bool = False
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
    pixels = np.zeros(len(segmenter.classes), np.int64)
    names = dict(zip(files, picture_names(files), strict=True))
    wanted = list(files)
    if options.resume:
        kept = {
            file
            for file in files
            if all(
                path.exists()
                for path in (folder / names[file], *files_beside(folder / names[file], options))
            )
        }
        wanted = [file for file in files if file not in kept]
        done.kept = len(kept)
        pixels += _pixels_of_masks((folder / names[file] for file in kept), len(pixels))
    with progress_bar("Segmenting", len(wanted), shown=progress) as advance:
        for file, image in _decoded_ahead(wanted):
            if isinstance(image, UnreadableImageError):
                if options.strict:
                    raise image
                done.skipped.append(SkippedImage(file, str(image)))
            else:
                mask = _segment_one(segmenter, image, folder / names[file], options)
                pixels += np.bincount(mask.ravel(), minlength=len(pixels))
                done.written += 1
            advance(1)
    if done.written or done.kept:
        write_classes(folder, segmenter.classes, pixels)
    return done


def _segment_one(
    segmenter: Segmenter, image: NDArray[np.uint8], path: Path, options: MaskOptions
) -> NDArray[np.uint8]:
    scores = segmenter.grid_scores(image, mirror=options.mirror, resolution=options.resolution)
    size = (image.shape[0], image.shape[1])
    mask = refined_mask(scores, image) if options.crf else mask_of(scores, size)
    if options.overlay:
        write_overlay(path.with_suffix(".overlay.jpg"), image, mask, segmenter.classes)
    if options.scores:
        write_scores(path.with_suffix(".scores.npy"), scores, size)
    # Last: where a mask exists, all that belongs to it does.
    write_mask(path, mask, segmenter.classes)
    return mask


def _decoded_ahead(
    files: Iterable[ImageFile],
) -> Iterator[tuple[ImageFile, NDArray[np.uint8] | UnreadableImageError]]:
    """Decode the next few images while one is segmented."""

    def decode(file: ImageFile) -> NDArray[np.uint8] | UnreadableImageError:
        if leads_nowhere(file.path):
            return UnreadableImageError(f"{file.path}: {LEADS_NOWHERE}")
        try:
            return read_image(file.path)
        except UnreadableImageError as error:
            return error

    remaining = iter(files)
    with ThreadPoolExecutor(1) as loader:
        waiting: list[tuple[ImageFile, Future[NDArray[np.uint8] | UnreadableImageError]]] = [
            (file, loader.submit(decode, file)) for file in islice(remaining, IMAGES_AHEAD)
        ]
        while waiting:
            file, image = waiting.pop(0)
            yield file, image.result()
            waiting += [(f, loader.submit(decode, f)) for f in islice(remaining, 1)]


def _pixels_of_masks(paths: Iterable[Path], classes: int) -> NDArray[np.int64]:
    counts = np.zeros(classes, np.int64)
    for path in paths:
        counts += np.bincount(read_labels(path).ravel(), minlength=classes)[:classes]
    return counts

"""Segmenting files: one mask an image, in the same tree, under the same names."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from segdistill.errors import UserError
from segdistill.files import remove_leftovers
from segdistill.images.decode import UnreadableImageError
from segdistill.images.finding import picture_names
from segdistill.images.folder import ImageFile, SkippedImage
from segdistill.images.geotiff import is_raster
from segdistill.images.labels import read_labels
from segdistill.inference.image_table import (
    IMAGES_FILE,
    ImageRow,
    warn_of_unusual,
    write_image_table,
)
from segdistill.inference.mask_files import MaskPixels, write_masks
from segdistill.inference.masks import CLASSES_FILE, check_same_classes, write_classes
from segdistill.inference.options import RASTER_SUFFIX, MaskOptions, files_beside
from segdistill.inference.raster_masks import count_mask_pixels
from segdistill.model.segmenter import Segmenter

__all__ = [
    "MaskOptions",
    "SegmentedFiles",
    "check_masks_folder",
    "files_beside",
    "mask_names",
    "segment_files",
]


@dataclass
class SegmentedFiles:
    """What was written.

    Attributes:
        folder: where; a path, or a URL.
        written: number of masks written now.
        kept: number of masks that existed already.
        skipped: images that could not be read.
        images: what is known of each image segmented now.
    """

    folder: Path | str
    written: int = 0
    kept: int = 0
    skipped: list[SkippedImage] = field(default_factory=list)
    images: list[ImageRow] = field(default_factory=list)

    def add(self, other: "SegmentedFiles") -> None:
        """Add what was written of other sources."""
        self.written += other.written
        self.kept += other.kept
        self.skipped += other.skipped
        self.images += other.images


def check_masks_folder(files: Sequence[ImageFile], folder: Path, options: MaskOptions) -> None:
    """Check, before a model loads, that masks can be written.

    Raises:
        UserError: a mask would replace an image, or a mask exists already and neither
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
        for path in [*beside, folder / CLASSES_FILE, folder / IMAGES_FILE]:
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
        group.from_first(lambda: _prepare_to_go_on(segmenter, folder, names.values()))
        pixels += pixels_of_masks((folder / names[file] for file in kept), len(pixels))

    def write(share: Sequence[ImageFile]) -> tuple[SegmentedFiles, MaskPixels]:
        part, counted = SegmentedFiles(folder), np.zeros_like(pixels)
        shown = progress and group.is_first
        for result in write_masks(segmenter, share, names, folder, options, progress=shown):
            if not isinstance(result, SkippedImage):
                counted += result.pixels
                part.written += 1
                name = names[result.file].as_posix()
                part.images.append(ImageRow(name, tuple(result.pixels.tolist()), result.distance))
            elif options.strict:
                raise UnreadableImageError(result.reason)
            else:
                part.skipped.append(result)
        return part, counted

    for part, counted in group.each(lambda: write(group.share(wanted))):
        done.written += part.written
        done.skipped += part.skipped
        done.images += part.images
        pixels += counted
    if done.written or done.kept:
        group.from_first(lambda: _summarise(segmenter, folder, done, pixels, options))
    return done


def _summarise(
    segmenter: Segmenter,
    folder: Path,
    done: SegmentedFiles,
    pixels: MaskPixels,
    options: MaskOptions,
) -> None:
    limit = segmenter.unusual_above
    write_image_table(folder, done.images, segmenter.classes, limit, keep=options.resume)
    # Last: with it the folder is complete.
    write_classes(folder, segmenter.classes, pixels)
    warn_of_unusual(done.images, limit, str(folder / IMAGES_FILE))


def _prepare_to_go_on(segmenter: Segmenter, folder: Path, names: Iterable[Path]) -> None:
    check_same_classes(folder / CLASSES_FILE, str(folder), segmenter.classes)
    for place in {(folder / name).parent for name in names}:
        remove_leftovers(place)


def _kept(
    files: Sequence[ImageFile], names: Mapping[ImageFile, Path], folder: Path, options: MaskOptions
) -> set[ImageFile]:
    """Return the images of which all that is to be written exists already."""
    return {
        file
        for file in files
        if all(
            path.exists()
            for path in (folder / names[file], *files_beside(folder / names[file], options))
        )
    }


def pixels_of_masks(paths: Iterable[Path], classes: int) -> MaskPixels:
    """Return how many pixels of each class masks hold together.

    Args:
        paths: of masks, PNG or GeoTIFF.
        classes: number of them.

    Returns:
        Array of shape (classes,).
    """
    counts = np.zeros(classes, np.int64)
    for path in paths:
        if path.suffix == RASTER_SUFFIX:
            counts += count_mask_pixels(path, classes)
        else:
            counts += np.bincount(read_labels(path).ravel(), minlength=classes)[:classes]
    return counts

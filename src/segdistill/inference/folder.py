"""Segmenting files: one mask per image, with the same folder tree and names."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from segdistill.errors import UserError
from segdistill.files import remove_leftovers
from segdistill.images.decode import UnreadableImageError
from segdistill.images.finding import output_names
from segdistill.images.folder import ImageFile, SkippedImage
from segdistill.images.geotiff import is_raster
from segdistill.images.labels import read_labels
from segdistill.inference.image_table import (
    IMAGES_FILE,
    ImageRow,
    warn_about_unusual_images,
    write_image_table,
)
from segdistill.inference.mask_files import MaskPixels, write_masks
from segdistill.inference.masks import CLASSES_FILE, check_same_classes, write_classes
from segdistill.inference.options import RASTER_SUFFIX, MaskOptions, sidecar_files
from segdistill.inference.raster_masks import count_mask_pixels
from segdistill.model.segmenter import Segmenter

__all__ = [
    "MaskOptions",
    "SegmentedFiles",
    "check_masks_folder",
    "mask_names",
    "segment_files",
    "sidecar_files",
]


@dataclass
class SegmentedFiles:
    """Result of segmenting files.

    Attributes:
        folder: output path or URL.
        written: number of masks written.
        kept: number of existing masks that were kept.
        skipped: images that could not be read.
        images: table rows of the images segmented.
    """

    folder: Path | str
    written: int = 0
    kept: int = 0
    skipped: list[SkippedImage] = field(default_factory=list)
    images: list[ImageRow] = field(default_factory=list)

    def add(self, other: "SegmentedFiles") -> None:
        """Add the results of other sources."""
        self.written += other.written
        self.kept += other.kept
        self.skipped += other.skipped
        self.images += other.images


def check_masks_folder(files: Sequence[ImageFile], folder: Path, options: MaskOptions) -> None:
    """Check that masks can be written; called before the model is loaded.

    Raises:
        UserError: a mask would replace an image, or a mask already exists and neither
            ``overwrite`` nor ``resume`` is set.
    """
    if options.overwrite and options.resume:
        raise UserError("--overwrite and --resume: choose one")
    masks = [folder / name for name in mask_names(files)]
    sources = {file.path.resolve() for file in files}
    for mask in masks:
        if mask.resolve() in sources:
            raise UserError(f"{mask}: the mask would replace the image; choose another --out")
    sidecars = [path for mask in masks for path in sidecar_files(mask, options)]
    if not (options.overwrite or options.resume):
        for path in [*sidecars, folder / CLASSES_FILE, folder / IMAGES_FILE]:
            if path.exists() and not any(mask.exists() for mask in masks):
                raise UserError(f"{path}: already exists; add --overwrite or choose another --out")
    existing = sum(mask.exists() for mask in masks)
    if existing and not (options.overwrite or options.resume):
        raise UserError(
            f"{folder}: {existing} of {len(masks)} masks already exist; add --resume to write"
            " the others, --overwrite to replace them, or choose another --out"
        )


def mask_names(files: Sequence[ImageFile]) -> list[Path]:
    """Return relative paths for the masks of images: GeoTIFFs for GeoTIFFs, otherwise PNGs.

    Args:
        files: images; only TIFF files are opened.
    """
    return [
        name.with_suffix(RASTER_SUFFIX) if is_raster(file.path) else name
        for file, name in zip(files, output_names(files), strict=True)
    ]


def segment_files(
    segmenter: Segmenter,
    files: Sequence[ImageFile],
    folder: Path,
    options: MaskOptions,
    *,
    progress: bool = False,
) -> SegmentedFiles:
    """Segment files and write their masks, ``classes.json`` and ``images.csv``.

    Args:
        segmenter: the model.
        files: images.
        folder: root folder of the masks.
        options: segmentation options.
        progress: show a progress bar.

    Raises:
        UnreadableImageError: with ``strict``, for the first image that cannot be read.
        UserError: the folder cannot be written.
    """
    done = SegmentedFiles(folder)
    group = segmenter.compute.group
    pixels = np.zeros(len(segmenter.classes), np.int64)
    names = dict(zip(files, mask_names(files), strict=True))
    wanted, kept_rows = list(files), list[ImageRow]()
    if options.resume:
        # Rank 0 lists existing masks for all ranks, before any of them writes.
        kept = group.from_first(lambda: _kept(files, names, folder, options))
        wanted = [file for file in files if file not in kept]
        done.kept = len(kept)
        group.from_first(lambda: _prepare_to_resume(segmenter, folder, names.values()))
        for file in kept:
            counts = count_pixels(folder / names[file], len(pixels))
            kept_rows.append(ImageRow(names[file].as_posix(), tuple(counts.tolist())))
            pixels += counts

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
        rows = [*kept_rows, *done.images]
        group.from_first(lambda: _summarise(segmenter, folder, rows, pixels, options))
    return done


def _summarise(
    segmenter: Segmenter,
    folder: Path,
    rows: Sequence[ImageRow],
    pixels: MaskPixels,
    options: MaskOptions,
) -> None:
    limit = segmenter.unusual_above
    write_image_table(folder, rows, segmenter.classes, limit, keep=options.resume)
    # Written last: it marks the folder as complete.
    write_classes(folder, segmenter.classes, pixels)
    warn_about_unusual_images(rows, limit, str(folder / IMAGES_FILE))


def _prepare_to_resume(segmenter: Segmenter, folder: Path, names: Iterable[Path]) -> None:
    check_same_classes(folder / CLASSES_FILE, str(folder), segmenter.classes)
    for subfolder in {(folder / name).parent for name in names}:
        remove_leftovers(subfolder)


def _kept(
    files: Sequence[ImageFile], names: Mapping[ImageFile, Path], folder: Path, options: MaskOptions
) -> set[ImageFile]:
    """Return the images whose outputs all exist."""
    return {
        file
        for file in files
        if all(
            path.exists()
            for path in (folder / names[file], *sidecar_files(folder / names[file], options))
        )
    }


def count_pixels(path: Path, classes: int) -> MaskPixels:
    """Count the pixels of each class in a mask.

    Args:
        path: a mask, PNG or GeoTIFF.
        classes: number of classes.

    Returns:
        Array of shape (classes,).
    """
    if path.suffix == RASTER_SUFFIX:
        return count_mask_pixels(path, classes)
    return np.bincount(read_labels(path).ravel(), minlength=classes)[:classes].astype(np.int64)

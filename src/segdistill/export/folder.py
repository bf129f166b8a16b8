"""Exporting the masks of a folder, in bounded memory."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from segdistill.errors import UserError
from segdistill.export.classes import ExportClasses
from segdistill.export.formats import ExportFormat
from segdistill.export.masks import MaskFile, check_size, read_mask
from segdistill.export.options import ExportOptions
from segdistill.export.regions import find_regions
from segdistill.export.writing import ReadMask, Target, Writer
from segdistill.images.finding import ImageFile
from segdistill.images.folder import SkippedImage
from segdistill.images.labels import VOID
from segdistill.images.tree import LEADS_NOWHERE, leads_nowhere
from segdistill.model.region_cleanup import absorbed, min_pixels
from segdistill.prefetch import in_threads, worker_threads
from segdistill.progress import progress_bar


@dataclass
class ExportedMasks:
    """What was exported.

    Attributes:
        path: the file or folder that was written.
        beside: another file that matters: the labelling configuration, the list of classes.
        written: number of masks exported.
        skipped: masks that could not be.
        small_regions: number of regions that were too small: they joined a neighbour, or were left
            out.
        small_pixels: number of their pixels.
        pixels: of all masks exported.
    """

    path: Path
    beside: Path | None = None
    written: int = 0
    skipped: list[SkippedImage] = field(default_factory=list)
    small_regions: int = 0
    small_pixels: int = 0
    pixels: int = 0

    @property
    def small_share(self) -> float:
        """Share of the pixels that lay in regions that were too small, from 0 to 1."""
        return self.small_pixels / max(self.pixels, 1)


def default_path(masks: Path, name: str, export_format: ExportFormat) -> Path:
    """Return where an export goes if nothing is said.

    Example:
        >>> from segdistill.export.formats import FORMATS
        >>> default_path(Path("masks/photos"), "coco", FORMATS["coco"]).as_posix()
        'exports/photos-coco.json'
    """
    suffix = export_format.suffixes[0] if export_format.suffixes else ""
    return Path("exports") / f"{masks.resolve().name or 'masks'}-{name}{suffix}"


def check_target(masks: Path, target: Target, export_format: ExportFormat) -> None:
    """Check, before anything is read, that an export can be written.

    Args:
        masks: folder of the masks.
        target: what is to be written.
        export_format: how.

    Raises:
        UserError: the ending is wrong, something exists already, or the export would lie among
            the masks.
    """
    path = target.path
    if export_format.suffixes and path.suffix not in export_format.suffixes:
        raise UserError(f"--out {path}: must end in {' or '.join(export_format.suffixes)}")
    if export_format.suffixes and path.is_dir():
        raise UserError(f"--out {path}: is a folder; give a file")
    if not export_format.suffixes and path.exists() and not path.is_dir():
        raise UserError(f"--out {path}: is a file; give a folder")
    if path.resolve().is_relative_to(masks.resolve()):
        raise UserError(f"--out {path}: lies among the masks; choose another place")
    if target.options.overwrite:
        return
    if path.is_dir() and any(path.iterdir()):
        raise UserError(f"{path}: is not empty; add --overwrite or choose another --out")
    beside = export_format.beside(target) if export_format.beside else path
    for each in (path, beside):
        if each.exists() and not each.is_dir():
            raise UserError(f"{each}: exists already; add --overwrite or choose another --out")


def export_files(
    target: Target,
    export_format: ExportFormat,
    classes: ExportClasses,
    *,
    with_images: bool,
    progress: bool = False,
) -> ExportedMasks:
    """Export masks.

    Threads read and convert ahead of the writing, a few masks at a time.

    Args:
        target: what is to be written, and of which masks.
        export_format: how.
        classes: of the masks, and where their values go.
        with_images: a mask without an image is skipped.
        progress: show a progress bar.

    Raises:
        UserError: nothing can be exported, with ``strict`` a mask cannot be, or the target cannot
            be written.
    """
    beside = export_format.beside(target) if export_format.beside else None
    done = ExportedMasks(target.path, beside)
    with export_format.open(target) as writer:

        def convert(file: MaskFile) -> _Converted | SkippedImage:
            try:
                mask = _exported_mask(file, classes, with_images=with_images)
                pixels = mask.pixels.size
                if "min_region" not in export_format.takes:
                    return _Converted(writer.convert(mask), 0, 0, pixels)
                cleaned, regions, small = _without_small_regions(mask.pixels, target.options)
                return _Converted(writer.convert(ReadMask(file, cleaned)), regions, small, pixels)
            except UserError as error:
                return SkippedImage(ImageFile(file.path, file.name), str(error))

        threads = worker_threads()
        converted = in_threads(convert, target.masks, threads=threads, ahead=2 * threads)
        with progress_bar("Exporting", len(target.masks), shown=progress) as advance:
            for file, result in zip(target.masks, converted, strict=True):
                _take(writer, file, result, done, strict=target.options.strict)
                advance(1)
        if not done.written:
            first = done.skipped[0].reason
            raise UserError(
                f"none of {len(target.masks)} masks can be exported; the first: {first}"
            )
    return done


class _Converted(NamedTuple):
    """A mask on its way to its format.

    Attributes:
        content: what the writer made of it.
        small_regions: number of regions that were too small.
        small_pixels: number of their pixels.
        pixels: of the mask.
    """

    content: object
    small_regions: int
    small_pixels: int
    pixels: int


def _without_small_regions(
    mask: NDArray[np.uint8], options: ExportOptions
) -> tuple[NDArray[np.uint8], int, int]:
    """Return a mask without small regions, their number and that of their pixels."""
    smallest = min_pixels(options.min_region, *mask.shape)
    cleaned, regions, pixels = absorbed(mask, smallest)
    found = find_regions(cleaned, connected=True)
    areas = np.bincount(found.numbers.ravel(), minlength=len(found.classes) + 1)
    # What lies alone among pixels that are not exported has no neighbour to join.
    alone = areas < max(smallest, options.min_area)
    alone[0] = False
    cleaned = np.where(alone[found.numbers], np.uint8(VOID), cleaned)
    return cleaned, regions + int(alone.sum()), pixels + int(areas[alone].sum())


def _take(
    writer: Writer,
    file: MaskFile,
    result: _Converted | SkippedImage,
    done: ExportedMasks,
    *,
    strict: bool,
) -> None:
    if not isinstance(result, SkippedImage):
        writer.add(result.content)
        done.written += 1
        done.small_regions += result.small_regions
        done.small_pixels += result.small_pixels
        done.pixels += result.pixels
    elif strict:
        raise UserError(result.reason)
    else:
        writer.skip(file)
        done.skipped.append(result)


def _exported_mask(file: MaskFile, classes: ExportClasses, *, with_images: bool) -> ReadMask:
    """Return a mask in the places of the classes that are exported."""
    if leads_nowhere(file.path):
        raise UserError(f"{file.path}: {LEADS_NOWHERE}")
    if with_images and file.image is None:
        raise UserError(f"{file.path}: has no image of its name among those given")
    mask = read_mask(file.path, classes.written)
    if file.image is not None:
        check_size(mask, file.image)
    return ReadMask(file, classes.places[mask])

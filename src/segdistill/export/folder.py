"""Export of a folder of masks in bounded memory."""

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
from segdistill.export.writing import LoadedMask, Target, Writer
from segdistill.images.finding import ImageFile
from segdistill.images.folder import SkippedImage
from segdistill.images.labels import VOID
from segdistill.images.tree import LEADS_NOWHERE, leads_nowhere
from segdistill.model.region_cleanup import absorbed, min_pixels
from segdistill.prefetch import in_threads, worker_threads
from segdistill.progress import progress_bar


@dataclass
class ExportedMasks:
    """The result of an export.

    Attributes:
        path: the file or folder that was written.
        sidecar: the sidecar file, such as a labelling configuration or a list of classes.
        written: number of exported masks.
        skipped: masks that could not be exported.
        small_regions: number of small regions that were merged into a neighbour or dropped.
        small_pixels: number of pixels in these regions.
        pixels: number of pixels in all exported masks.
    """

    path: Path
    sidecar: Path | None = None
    written: int = 0
    skipped: list[SkippedImage] = field(default_factory=list)
    small_regions: int = 0
    small_pixels: int = 0
    pixels: int = 0

    @property
    def small_share(self) -> float:
        """Share of the pixels in small regions, 0..1."""
        return self.small_pixels / max(self.pixels, 1)


def default_path(masks: Path, name: str, export_format: ExportFormat) -> Path:
    """Return the default output path of an export.

    Example:
        >>> from segdistill.export.formats import FORMATS
        >>> default_path(Path("masks/photos"), "coco", FORMATS["coco"]).as_posix()
        'exports/photos-coco.json'
    """
    suffix = export_format.suffixes[0] if export_format.suffixes else ""
    return Path("exports") / f"{masks.resolve().name or 'masks'}-{name}{suffix}"


def check_target(masks: Path, target: Target, export_format: ExportFormat) -> None:
    """Check that an export can be written, before any mask is read.

    Args:
        masks: folder of the masks.
        target: the target of the export.
        export_format: the format.

    Raises:
        UserError: the suffix is wrong, the output exists, or it is inside the mask folder.
    """
    path = target.path
    if export_format.suffixes and path.suffix not in export_format.suffixes:
        raise UserError(f"--out {path}: must end in {' or '.join(export_format.suffixes)}")
    if export_format.suffixes and path.is_dir():
        raise UserError(f"--out {path}: is a folder; this format needs a file")
    if not export_format.suffixes and path.exists() and not path.is_dir():
        raise UserError(f"--out {path}: is a file; this format needs a folder")
    if path.resolve().is_relative_to(masks.resolve()):
        raise UserError(f"--out {path}: is inside the mask folder; choose another path")
    if target.options.overwrite:
        return
    if path.is_dir() and any(path.iterdir()):
        raise UserError(f"{path}: is not empty; add --overwrite or choose another --out")
    sidecar = export_format.sidecar(target) if export_format.sidecar else path
    for each in (path, sidecar):
        if each.exists() and not each.is_dir():
            raise UserError(f"{each}: already exists; add --overwrite or choose another --out")


def export_files(
    target: Target,
    export_format: ExportFormat,
    classes: ExportClasses,
    *,
    with_images: bool,
    progress: bool = False,
) -> ExportedMasks:
    """Export masks.

    Worker threads read and convert a few masks ahead of the writer.

    Args:
        target: the target and its masks.
        export_format: the format.
        classes: the exported classes.
        with_images: skip masks without an image.
        progress: show a progress bar.

    Raises:
        UserError: no mask can be exported, or any cannot with ``strict``, or the target cannot be
            written.
    """
    sidecar = export_format.sidecar(target) if export_format.sidecar else None
    done = ExportedMasks(target.path, sidecar)
    with export_format.open(target) as writer:

        def convert(file: MaskFile) -> _Converted | SkippedImage:
            try:
                mask = _exported_mask(file, classes, with_images=with_images)
                pixels = mask.pixels.size
                if "min_region" not in export_format.supported_options:
                    return _Converted(writer.convert(mask), 0, 0, pixels)
                cleaned, regions, small = _without_small_regions(mask.pixels, target.options)
                return _Converted(writer.convert(LoadedMask(file, cleaned)), regions, small, pixels)
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
                f"none of the {len(target.masks)} masks can be exported; first error: {first}"
            )
    return done


class _Converted(NamedTuple):
    """A converted mask.

    Attributes:
        content: output of the writer's ``convert``.
        small_regions: number of small regions.
        small_pixels: number of pixels in small regions.
        pixels: number of pixels of the mask.
    """

    content: object
    small_regions: int
    small_pixels: int
    pixels: int


def _without_small_regions(
    mask: NDArray[np.uint8], options: ExportOptions
) -> tuple[NDArray[np.uint8], int, int]:
    """Return a mask without small regions, the number of these, and their number of pixels."""
    smallest = min_pixels(options.min_region, *mask.shape)
    cleaned, regions, pixels = absorbed(mask, smallest)
    found = find_regions(cleaned, connected=True)
    areas = np.bincount(found.numbers.ravel(), minlength=len(found.classes) + 1)
    # Regions surrounded by pixels that are not exported have no neighbour to merge with.
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


def _exported_mask(file: MaskFile, classes: ExportClasses, *, with_images: bool) -> LoadedMask:
    """Read a mask and map it to exported class indices."""
    if leads_nowhere(file.path):
        raise UserError(f"{file.path}: {LEADS_NOWHERE}")
    if with_images and file.image is None:
        raise UserError(f"{file.path}: no image with the same name found in --images")
    mask = read_mask(file.path, classes.written)
    if file.image is not None:
        check_size(mask, file.image)
    return LoadedMask(file, classes.class_indices[mask])

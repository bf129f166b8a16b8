"""Export of a folder of masks in bounded memory."""

import contextlib
import os
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from segdistill.config.validation import typed
from segdistill.errors import UserError
from segdistill.export.coco import Coco
from segdistill.export.colours import Colours
from segdistill.export.format import ExportFormat
from segdistill.export.geojson import GeoJson
from segdistill.export.label_studio import LabelStudio
from segdistill.export.masks import MaskFile, find_masks, read_mask
from segdistill.export.options import ExportOptions, FormatName
from segdistill.export.regions import find_regions
from segdistill.export.voc import Cvat, Voc
from segdistill.export.yolo import Yolo
from segdistill.files import remove_leftovers, translate_os_errors
from segdistill.images.finding import ImageFile
from segdistill.images.folder import SkippedImage
from segdistill.images.palette import VOID
from segdistill.inference.mask_classes import MaskClass, difference, read_classes
from segdistill.layout import CLASSES_FILE
from segdistill.locks import only_writer
from segdistill.prefetch import in_threads, worker_threads
from segdistill.progress import progress_bar
from segdistill.refinement.region_cleanup import absorbed, min_pixels
from segdistill.storage import LocalFolder

FORMATS: dict[FormatName, type[ExportFormat]] = {
    "coco": Coco,
    "yolo": Yolo,
    "label-studio": LabelStudio,
    "voc": Voc,
    "cvat": Cvat,
    "geojson": GeoJson,
    "colours": Colours,
}

SHOWN_SOURCES = 3

BEGUN = ".segdistill-export"
"""Marks a folder whose export was interrupted: what is there may be replaced."""


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


def export_folder(
    folder: Path,
    classes: Sequence[MaskClass],
    format_name: FormatName,
    out: Path | None = None,
    *,
    images: Sequence[str | Path] | None = None,
    options: ExportOptions | None = None,
    run: str = "RUN",
    progress: bool = False,
) -> ExportedMasks:
    """Export a folder of masks; worker threads convert a few masks ahead of the writer.

    Args:
        folder: output folder of ``segdistill segment``.
        classes: the run's classes with their current names, colours and hidden flags.
        out: file or folder to write; by default in ``exports``, named after the mask folder.
        images: the images that were segmented; masks without one are skipped.
        run: the run folder, for messages.

    Raises:
        UserError: the options, the masks or the output are invalid; no mask can be exported, or any
            cannot with ``strict``.
    """
    chosen = typed(options or ExportOptions())
    export_format = _chosen_format(format_name, chosen, images=images is not None)
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; give the output of `segdistill segment`")
    # A shell may have made many names of one pattern.
    sources = images if images and len(images) <= SHOWN_SOURCES else ["IMAGES"]
    words = ["segdistill", "segment", run, *sources, "--out", folder, "--overwrite"]
    again = shlex.join(map(str, words))
    shown = shown_classes(classes, folder, again=again)
    if out is None:
        suffix = next(iter(export_format.suffixes), "")
        out = Path("exports") / f"{folder.resolve().name or 'masks'}-{format_name}{suffix}"
    masks = find_masks(folder, images)
    writer = export_format(out, shown, masks, chosen)
    with only_writer(None if writer.suffixes else out):
        _check_output(writer, folder)
        _remove_leftovers(writer)
        return _written(writer, masks, classes, with_images=images is not None, progress=progress)


def _written(
    writer: ExportFormat,
    masks: Sequence[MaskFile],
    classes: Sequence[MaskClass],
    *,
    with_images: bool,
    progress: bool,
) -> ExportedMasks:
    """Convert masks and write them."""

    def convert(file: MaskFile) -> _Converted | SkippedImage:
        try:
            return _converted(writer, file, len(classes), with_images=with_images)
        except UserError as error:
            return SkippedImage(ImageFile(file.path, file.name), str(error))

    done = ExportedMasks(writer.path, writer.sidecar)
    threads = worker_threads()
    with (
        _marked_as_begun(writer),
        writer.open(),
        progress_bar("Exporting", len(masks), shown=progress) as advance,
    ):
        converted = in_threads(convert, masks, threads=threads, ahead=2 * threads)
        for file, result in zip(masks, converted, strict=True):
            if not isinstance(result, SkippedImage):
                writer.add(result.content)
                done.written += 1
                done.small_regions += result.small_regions
                done.small_pixels += result.small_pixels
                done.pixels += result.pixels
            elif writer.options.strict:
                raise UserError(result.reason)
            else:
                writer.skip(file)
                done.skipped.append(result)
            advance(1)
        if not done.written:
            first = done.skipped[0].reason
            if len(masks) == 1:
                raise UserError(f"the only mask cannot be exported: {first}")
            raise UserError(f"none of the {len(masks)} masks can be exported; first error: {first}")
    return done


def shown_classes(
    current: Sequence[MaskClass], folder: Path, *, again: str
) -> tuple[MaskClass, ...]:
    """Return the classes to export, after checking that the masks have the run's classes.

    Args:
        current: the run's classes with their current names, colours and hidden flags.
        folder: folder of the masks, with the ``classes.json`` of ``segdistill segment``.
        again: the command that writes the masks again.

    Raises:
        UserError: ``classes.json`` is missing or damaged, the classes have changed since the masks
            were written, or all are hidden.
    """
    anew = "write the masks again, with `segdistill segment`"
    masks = read_classes(LocalFolder(folder), fix=anew)
    if masks is None:
        raise UserError(
            f"{folder}: no {CLASSES_FILE} found; pass the output folder of `segdistill segment`"
        )
    if not masks:
        raise UserError(f"{folder / CLASSES_FILE}: contains no classes; {anew}")
    if len(current) != len(masks):
        raise UserError(
            f"{folder}: the masks have {len(masks)} classes, but the run now has {len(current)};"
            f" write them again: {again}"
        )
    reason = difference(masks, current)
    if reason:
        raise UserError(
            f"{folder}: {reason} after the masks were written; write them again: {again}"
        )
    shown = tuple(each for each in current if not each.hidden)
    if not shown:
        raise UserError("all classes are hidden; unhide some with `segdistill classes`")
    return shown


def _chosen_format(name: str, options: ExportOptions, *, images: bool) -> type[ExportFormat]:
    """Return a format, and check that it supports the options and has the images it needs."""
    formats = {str(known): each for known, each in FORMATS.items()}
    if name not in formats:
        raise UserError(f"--format {name}: must be one of {', '.join(formats)}")
    for option in fields(options):
        takers = [each for each, other in formats.items() if option.name in other.supported_options]
        # Options that no format names apply to all of them.
        if takers and name not in takers and getattr(options, option.name) != option.default:
            flag = f"--{option.name.replace('_', '-')}"
            raise UserError(
                f"{flag}: not supported by --format {name}, only by {', '.join(takers)}"
            )
    if formats[name].needs_images and not images:
        raise UserError(f"--format {name}: needs the segmented images; add --images")
    if options.copy_images and not images:
        raise UserError("--copy-images: needs the segmented images; add --images")
    return formats[name]


def _check_output(writer: ExportFormat, masks: Path) -> None:
    """Check that an export can be written, before any mask is read."""
    path, suffixes = writer.path, writer.suffixes
    if suffixes and path.suffix not in suffixes:
        raise UserError(f"--out {path}: must end in {' or '.join(suffixes)}")
    if suffixes and path.is_dir():
        raise UserError(f"--out {path}: is a folder; this format needs a file")
    if not suffixes and path.exists() and not path.is_dir():
        raise UserError(f"--out {path}: is a file; this format needs a folder")
    if path.resolve().is_relative_to(masks.resolve()):
        raise UserError(f"--out {path}: is inside the mask folder; choose another path")
    if writer.options.overwrite:
        _check_earlier_export(writer)
        return
    if path.is_dir() and any(path.iterdir()):
        raise UserError(f"{path}: is not empty; add --overwrite or choose another --out")
    for each in (path, writer.sidecar or path):
        if each.exists() and not each.is_dir():
            raise UserError(f"{each}: already exists; add --overwrite or choose another --out")


def _check_earlier_export(writer: ExportFormat) -> None:
    """Check that what is replaced is an export, since its files have the names of images."""
    path, sidecar = writer.path, writer.sidecar
    if writer.suffixes or sidecar is None or sidecar.exists() or (path / BEGUN).exists():
        return
    name = _visible_file(writer)
    if name is not None:
        raise UserError(
            f"{path}: contains files that are not from an export, such as {name} (there is no"
            f" {sidecar.name}); choose a new folder with --out"
        )


def _visible_file(writer: ExportFormat) -> Path | None:
    """Return the relative path of a file in the folder of an export, images not counted."""
    for each in sorted(writer.path.rglob("*")):
        name = each.relative_to(writer.path)
        own = each.name.startswith(".") or name.parts[0] == writer.images_folder
        if not own and each.is_file():
            return name
    return None


@contextlib.contextmanager
def _marked_as_begun(writer: ExportFormat) -> Iterator[None]:
    """Mark a folder while masks are written to it, and longer if the process is killed."""
    if writer.suffixes:
        yield
        return
    marker = writer.path / BEGUN
    with translate_os_errors(marker):
        marker.touch()
    done = False
    try:
        yield
        done = True
    finally:
        if done or _visible_file(writer) is None:
            marker.unlink(missing_ok=True)


def _remove_leftovers(writer: ExportFormat) -> None:
    """Remove what a killed export has left where this one writes."""
    top = writer.path.parent if writer.suffixes else writer.path
    remove_leftovers(top)
    if not writer.suffixes:
        for folder, _, _ in os.walk(top):
            remove_leftovers(Path(folder))


class _Converted(NamedTuple):
    """A mask in the form that its format writes, and numbers for :class:`ExportedMasks`."""

    content: object
    small_regions: int
    small_pixels: int
    pixels: int


def _converted(
    writer: ExportFormat, file: MaskFile, classes: int, *, with_images: bool
) -> _Converted:
    """Read a mask, remove small regions if the format stores regions, and convert it."""
    if with_images and file.image is None:
        raise UserError(f"{file.path}: no image with the same name found in --images")
    try:
        (file.name.as_posix() + file.image_name).encode()
    except UnicodeEncodeError as error:
        raise UserError(f"{file.path}: the name is not UTF-8; rename it") from error
    exported = np.full(256, VOID, np.uint8)
    exported[[each.index for each in writer.classes]] = np.arange(len(writer.classes))
    mask = exported[read_mask(file, classes)]
    regions = pixels = 0
    if "min_region" in writer.supported_options:
        mask, regions, pixels = _without_small_regions(mask, writer.options)
    return _Converted(writer.convert(file, mask), regions, pixels, mask.size)


def _without_small_regions(
    mask: NDArray[np.uint8], options: ExportOptions
) -> tuple[NDArray[np.uint8], int, int]:
    """Return a mask without small regions, the number of these, and their number of pixels."""
    smallest = min_pixels(options.min_region, *mask.shape)
    cleaned, merged, merged_pixels = absorbed(mask, smallest)
    regions = find_regions(cleaned, connected=True)
    areas = regions.areas
    # Regions surrounded by pixels that are not exported have no neighbour to merge with.
    dropped = areas < max(smallest, options.min_area)
    cleaned = np.where(np.concatenate([[False], dropped])[regions.numbers], np.uint8(VOID), cleaned)
    return cleaned, merged + int(dropped.sum()), merged_pixels + int(areas[dropped].sum())

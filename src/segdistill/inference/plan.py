"""Planning: the images to process, local or remote, and the outputs that already exist."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from segdistill.decoding.decode import UnreadableImageError
from segdistill.decoding.geotiff import is_raster
from segdistill.engines.work import Image, Item
from segdistill.errors import UserError
from segdistill.files import exists, remove_leftovers
from segdistill.images.finding import find_all, is_video, output_names
from segdistill.images.folder import ImageFile
from segdistill.images.remote import RemoteImage, find_remote_images
from segdistill.images.tree import foreign_file
from segdistill.inference.options import RASTER_SUFFIX
from segdistill.storage import Folder, is_url, strip_file_scheme

logger = logging.getLogger("segdistill")

Outputs = Sequence[Sequence[Path]]
"""The sets of files that an image may be turned into; the first file of each is written last."""


class Plan(NamedTuple):
    """Images to process and outputs to keep.

    Attributes:
        items: images without outputs.
        kept: images with outputs.
    """

    items: list[Item]
    kept: list[Item]


class OverwritePolicy(NamedTuple):
    """How to handle existing outputs.

    Attributes:
        overwrite: replace them.
        resume: keep them, and write the missing ones.
    """

    overwrite: bool
    resume: bool


def find_sources(sources: Sequence[str | Path], out: Folder | None = None) -> list[Image]:
    """List the images of several sources, which may include URLs.

    Args:
        sources: folders, files, patterns and URLs.
        out: output folder; if it is inside a remote source, its files are skipped.

    Raises:
        UserError: a source contains no images, or two images would get the same output name.
    """
    for source in sources:
        if is_video(Path(str(source))):
            raise UserError(
                f"{source}: a video; videos need a local file, a local --out and no --engine ray"
            )
    local = [strip_file_scheme(str(source)) for source in sources if not is_url(source)]
    images: list[Image] = list(find_all(local)) if local else []
    for source in sources:
        if is_url(source):
            found = find_remote_images(str(source))
            images += [each for each in found if out is None or not _is_output(each, out)]
    locations: dict[Path, str] = {}
    for image in images:
        location = _location(image)
        other = locations.setdefault(image.name, location)
        if other != location:
            raise UserError(
                f"{location} and {other}: both would be written as {image.name}; use separate runs"
            )
    return images


def mask_names(images: Sequence[Image]) -> list[list[Path]]:
    """Return the possible names of the mask of each image: PNG, or GeoTIFF for GeoTIFFs.

    Args:
        images: images; only local TIFFs are opened. What a remote TIFF is shows only later.
    """

    def names(image: Image, name: Path) -> list[Path]:
        if isinstance(image, ImageFile):
            return [name.with_suffix(RASTER_SUFFIX) if is_raster(image.path) else name]
        return [name, name.with_suffix(RASTER_SUFFIX)]

    return [names(*each) for each in zip(images, output_names(images), strict=True)]


def plan_outputs(
    images: Sequence[Image],
    outputs: Sequence[Outputs],
    out: Folder,
    policy: OverwritePolicy,
    *,
    summaries: Sequence[str],
    kind: str,
) -> Plan:
    """Find existing outputs, and refuse to replace files without permission.

    Args:
        images: the images.
        outputs: of each image, the files it may be turned into, relative to the output folder.
        out: output folder.
        policy: how to handle existing outputs.
        summaries: names of the files that describe all outputs; the first marks a folder of them.
        kind: what outputs are, for display.

    Raises:
        UserError: an output would replace an image, or already exists and neither ``overwrite``
            nor ``resume`` is set; or the folder holds files that segdistill did not write.
    """
    if policy.overwrite and policy.resume:
        raise UserError("--overwrite and --resume: give only one of them")
    exists = _existence_check(out)
    items, kept = [], []
    others: set[str] = set()
    for image, variants in zip(images, outputs, strict=True):
        names = [[path.as_posix() for path in variant] for variant in variants]
        if any(exists(variant[0]) and _is_image(out, variant[0], image) for variant in names):
            raise UserError(f"{_location(image)}: would be overwritten; choose another --out")
        complete = next((variant[0] for variant in names if all(map(exists, variant))), None)
        if complete is None or policy.overwrite:
            items.append(Item.of(image, names[0][0]))
            others.update(name for variant in names for name in variant if exists(name))
        else:
            kept.append(Item.of(image, complete))
    _check_own_outputs(out, outputs, summaries, kind, exists)
    if policy.overwrite or policy.resume:
        if out.path is not None:
            for folder in {out.path / Path(item.output).parent for item in [*items, *kept]}:
                remove_leftovers(folder)
            _warn_of_newer_images(kept, out.path, kind)
        return Plan(items, kept)
    if kept:
        whole = all(map(exists, summaries))
        raise UserError(f"{out.address}: {_existing(len(kept), len(images), kind, whole=whole)}")
    for name in (*sorted(others), *filter(exists, summaries)):
        raise UserError(
            f"{out.address}/{name}: already exists; add --overwrite or choose another --out"
        )
    return Plan(items, kept)


def _warn_of_newer_images(kept: Sequence[Item], out: Path, kind: str) -> None:
    """Log a warning if local images have changed since their outputs were written."""
    newer = []
    for item in kept:
        with suppress(OSError):
            if item.path and _changed_at(Path(item.path)) > _changed_at(out / item.output):
                newer.append(item.path)
    if newer:
        logger.warning(
            "%d of %d existing %s are older than their images, such as that of %s; if the"
            " images have changed, use --overwrite instead of --resume",
            *(len(newer), len(kept), kind, newer[0]),
        )


def _changed_at(path: Path) -> int:
    return path.stat().st_mtime_ns


def _existing(kept: int, count: int, kind: str, *, whole: bool) -> str:
    """Return what to do about outputs that exist.

    Args:
        kept: how many exist.
        count: how many there are to be.
        kind: what outputs are, in the plural.
        whole: whether the files that describe all of them exist, too.

    Example:
        >>> _existing(1, 1, "masks", whole=True)
        'the mask already exists; add --overwrite to replace it, or choose another --out'
        >>> _existing(9, 10, "masks", whole=True)[:65]
        '9 of 10 masks already exist; add --resume to write the other one,'
    """
    one, verb = kind.removesuffix("s"), "exists" if kept == 1 else "exist"
    if kept < count:
        others = "the other one" if kept == count - 1 else f"the other {count - kept}"
        found, resume = f"{kept} of {count} {kind}", f"--resume to write {others}, "
    else:
        found = f"the {one}" if count == 1 else f"all {count} {kind}"
        # The process was killed after the last one.
        resume = "" if whole else "--resume to describe them, "
    them = "it" if kept == 1 else "them"
    replace = f"--overwrite to replace {them}, or choose another --out"
    return f"{found} already {verb}; add {resume}{replace}"


def check_own(folder: Path, marker: str, kind: str) -> None:
    """Check that a folder for outputs holds no files of the user's own.

    Masks have the names of images: in a folder of pictures, ``--overwrite`` would replace some, and
    ``--resume`` would take them for masks.

    Args:
        folder: output folder, which need not exist.
        marker: name of the file that marks a folder of such outputs.
        kind: what outputs are, for display.

    Raises:
        UserError: it does.
    """
    foreign = foreign_file(folder, marker)
    if foreign is not None and (folder / marker).exists():
        raise UserError(
            f"{folder / marker}: damaged, or not written by segdistill; choose a new folder with"
            " --out"
        )
    if foreign is not None:
        raise UserError(
            f"{folder}: contains files other than {kind}, such as {foreign.relative_to(folder)};"
            " choose a new folder with --out"
        )


def _check_own_outputs(
    out: Folder,
    outputs: Sequence[Outputs],
    summaries: Sequence[str],
    kind: str,
    exists: Callable[[str], bool],
) -> None:
    """Check that an output folder, which may be remote, holds no files of the user's own."""
    if not summaries:
        return
    if out.path is not None:
        check_own(out.path, summaries[0], kind)
        return
    # A bucket may hold anything besides: only what would be replaced is looked at.
    paths = (path.as_posix() for each in outputs for variant in each for path in variant)
    existing = None if exists(summaries[0]) else next(filter(exists, paths), None)
    if existing is not None:
        raise UserError(
            f"{out.address}/{existing}: already exists and was not written by segdistill; choose"
            " another --out"
        )


@contextmanager
def count_missing(
    items: Sequence[Item], out: Folder, policy: OverwritePolicy, kind: str
) -> Iterator[None]:
    """Add to the error of a strict run how many outputs it has not written.

    Args:
        items: images whose outputs are written in the block.
        out: output folder.
        policy: how existing outputs are handled.
        kind: what outputs are, for display.

    Raises:
        UnreadableImageError: the block raised it.
    """
    try:
        yield
    except UnreadableImageError as error:
        exists = _existence_check(out)
        missing = sum(not exists(item.output) for item in items)
        # Outputs to be replaced exist in any case.
        count = "others" if policy.overwrite else f"{missing} of {len(items)} {kind}"
        if len(items) == 1:
            count = f"the {kind.removesuffix('s')}"
        verb = "is" if len(items) == 1 or (missing == 1 and not policy.overwrite) else "are"
        raise UnreadableImageError(
            f"{error}; {count} {verb} not written: fix or remove it and add --resume, or omit"
            " --strict to skip it"
        ) from error


def _location(image: Image) -> str:
    return image.url if isinstance(image, RemoteImage) else str(image.path)


def _is_output(image: RemoteImage, out: Folder) -> bool:
    """Return whether an image is in an output folder inside the source folder."""
    inside = out.address.startswith(f"{image.folder}/")
    return inside and image.url.startswith(f"{out.address}/")


def _existence_check(out: Folder) -> Callable[[str], bool]:
    """Return a function that tests whether a file exists; remote folders are listed once."""
    if out.path is None:
        return frozenset(out.names()).__contains__
    folder = out.path
    return lambda name: exists(folder / name)


def _is_image(out: Folder, name: str, image: Image) -> bool:
    """Return whether an output path is the path of an image."""
    if isinstance(image, RemoteImage):
        return f"{out.address}/{name}" == image.url
    # Resolved, because the paths may differ in spelling or symbolic links.
    return out.path is not None and (out.path / name).resolve() == image.path.resolve()

"""Planning for engines: images to process, local or remote, and outputs that already exist."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from segdistill.api.common import Source
from segdistill.engines.staging import item_row
from segdistill.engines.work import Row
from segdistill.errors import UserError
from segdistill.files import remove_leftovers
from segdistill.images.finding import find_all, is_video
from segdistill.images.folder import ImageFile
from segdistill.images.remote import RemoteImage, find_remote_images
from segdistill.storage import Folder, is_url, strip_file_scheme

Image = ImageFile | RemoteImage


class Plan(NamedTuple):
    """Images to process and outputs to keep.

    Attributes:
        items: images without outputs, as rows for an engine.
        kept: images with outputs, each with the name of the existing output.
    """

    items: list[Row]
    kept: list[tuple[Row, str]]


class OverwritePolicy(NamedTuple):
    """How to handle existing outputs.

    Attributes:
        overwrite: replace them.
        resume: keep them, and write the missing ones.
    """

    overwrite: bool
    resume: bool


def find_sources(sources: Sequence[Source], out: Folder | None = None) -> list[Image]:
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
    places: dict[Path, str] = {}
    for image in images:
        place = image.url if isinstance(image, RemoteImage) else str(image.path)
        other = places.setdefault(image.name, place)
        if other != place:
            raise UserError(
                f"{place} and {other}: both would be written as {image.name}; use separate runs"
            )
    return images


def _is_output(image: RemoteImage, out: Folder) -> bool:
    """Return whether an image is in an output folder inside the source folder."""
    inside = out.address.startswith(f"{image.folder}/")
    return inside and image.url.startswith(f"{out.address}/")


def plan_outputs(
    images: Sequence[Image],
    outputs: Sequence[Path],
    out: Folder,
    policy: OverwritePolicy,
    *,
    variants: Callable[[Path], Sequence[Sequence[Path]]],
    summary: str,
    kind: str,
) -> Plan:
    """Find existing outputs, and refuse to replace files without permission.

    Args:
        images: images in the order of the outputs.
        outputs: relative name of the output of each image.
        out: output folder.
        policy: how to handle existing outputs.
        variants: maps an output to its possible file sets; the first file of each is written last.
        summary: name of the file that describes all outputs.
        kind: what outputs are, for display.

    Raises:
        UserError: an output would replace an image, or already exists and neither ``overwrite``
            nor ``resume`` is set.
    """
    if policy.overwrite and policy.resume:
        raise UserError("--overwrite and --resume: choose one")
    if out.path is not None and (policy.resume or policy.overwrite):
        for folder in {(out.path / output).parent for output in outputs}:
            remove_leftovers(folder)
    exists = _existence_check(out)
    items, kept = [], []
    for image, output in zip(images, outputs, strict=True):
        names = [[path.as_posix() for path in variant] for variant in variants(output)]
        if any(exists(variant[0]) and _is_image(out, variant[0], image) for variant in names):
            place = image.url if isinstance(image, RemoteImage) else image.path
            raise UserError(f"{place}: would be overwritten; choose another --out")
        complete = next((variant[0] for variant in names if all(map(exists, variant))), None)
        row = item_row(image, output)
        if complete is None or policy.overwrite:
            items.append(row)
        else:
            kept.append((row, complete))
    if policy.overwrite or policy.resume:
        return Plan(items, kept)
    if kept:
        raise UserError(
            f"{out.address}: {len(kept)} of {len(images)} {kind} already exist; add --resume to"
            " write the others, --overwrite to replace them, or choose another --out"
        )
    if exists(summary):
        raise UserError(
            f"{out.address}/{summary}: already exists; add --overwrite or choose another --out"
        )
    return Plan(items, kept)


def _existence_check(out: Folder) -> Callable[[str], bool]:
    """Return a function that tests whether a file exists; remote folders are listed once."""
    if out.path is None:
        return frozenset(out.names()).__contains__
    folder = out.path
    return lambda name: (folder / name).exists()


def _is_image(out: Folder, name: str, image: Image) -> bool:
    """Return whether an output path is the path of an image."""
    if isinstance(image, RemoteImage):
        return f"{out.address}/{name}" == image.url
    # Resolved, because the paths may differ in spelling or symbolic links.
    return out.path is not None and (out.path / name).resolve() == image.path.resolve()

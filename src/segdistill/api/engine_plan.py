"""What is to be made of very many images, wherever they lie, and what exists already."""

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
from segdistill.storage import Folder, is_url, without_file

Image = ImageFile | RemoteImage


class Plan(NamedTuple):
    """What is to be done.

    Attributes:
        items: images of which there is nothing yet, as rows for an engine.
        kept: others, each with the name of the output that exists already.
    """

    items: list[Row]
    kept: list[tuple[Row, str]]


class Replacing(NamedTuple):
    """What may happen to outputs that exist already.

    Attributes:
        overwrite: replace them.
        resume: leave them, and make those that are missing.
    """

    overwrite: bool
    resume: bool


def find_sources(sources: Sequence[Source], out: Folder | None = None) -> list[Image]:
    """List the images of several sources, of which some may be URLs.

    Args:
        sources: folders, files, patterns and URLs.
        out: where outputs go: if that is in a source at a URL, what lies there is no image.

    Raises:
        UserError: a source holds no image, or two images would get the same name.
    """
    for source in sources:
        if is_video(Path(str(source))):
            raise UserError(
                f"{source}: a video; `segment` takes videos of this machine, with --out on this"
                " machine and without --engine ray"
            )
    here = [without_file(str(source)) for source in sources if not is_url(source)]
    images: list[Image] = list(find_all(here)) if here else []
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
                f"{place} and {other}: both would be written as {image.name}; take them in turn"
            )
    return images


def _is_output(image: RemoteImage, out: Folder) -> bool:
    """Return whether an image lies in a folder for outputs that is itself among the images."""
    inside = out.address.startswith(f"{image.folder}/")
    return inside and image.url.startswith(f"{out.address}/")


def plan_outputs(
    images: Sequence[Image],
    outputs: Sequence[Path],
    out: Folder,
    replacing: Replacing,
    *,
    forms: Callable[[Path], Sequence[Sequence[Path]]],
    summary: str,
    kind: str,
) -> Plan:
    """Look for outputs that are there, and refuse what would replace something unasked.

    Args:
        images: in the order of the outputs.
        outputs: relative name of what is made of each.
        out: where it goes.
        replacing: what may happen to what is there.
        forms: the ways in which an output may lie there: each the names of its files, the first of
            which is written last.
        summary: name of the file about all of them.
        kind: what outputs are, for display.

    Raises:
        UserError: an output would replace an image, or exists already and neither ``overwrite``
            nor ``resume`` is set.
    """
    if replacing.overwrite and replacing.resume:
        raise UserError("--overwrite and --resume: choose one")
    if out.path is not None and (replacing.resume or replacing.overwrite):
        for folder in {(out.path / output).parent for output in outputs}:
            remove_leftovers(folder)
    is_there = _looking_into(out)
    items, kept = [], []
    for image, output in zip(images, outputs, strict=True):
        ways = [[path.as_posix() for path in form] for form in forms(output)]
        if any(is_there(form[0]) and _is_image(out, form[0], image) for form in ways):
            place = image.url if isinstance(image, RemoteImage) else image.path
            raise UserError(f"{place}: would be replaced; choose another --out")
        whole = next((form[0] for form in ways if all(map(is_there, form))), None)
        row = item_row(image, output)
        if whole is None or replacing.overwrite:
            items.append(row)
        else:
            kept.append((row, whole))
    if replacing.overwrite or replacing.resume:
        return Plan(items, kept)
    if kept:
        raise UserError(
            f"{out.address}: {len(kept)} of {len(images)} {kind} exist already; add --resume to"
            " write the others, --overwrite to replace them, or choose another --out"
        )
    if is_there(summary):
        raise UserError(
            f"{out.address}/{summary}: exists already; add --overwrite or choose another --out"
        )
    return Plan(items, kept)


def _looking_into(out: Folder) -> Callable[[str], bool]:
    """Return what tells whether a file is in a folder; a far one is listed once."""
    if out.path is None:
        return frozenset(out.names()).__contains__
    folder = out.path
    return lambda name: (folder / name).exists()


def _is_image(out: Folder, name: str, image: Image) -> bool:
    """Return whether an output would lie where an image does."""
    if isinstance(image, RemoteImage):
        return f"{out.address}/{name}" == image.url
    # However the two are spelt, and through whatever links.
    return out.path is not None and (out.path / name).resolve() == image.path.resolve()

"""What is to be made of very many images, wherever they lie, and what is there already."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from segdistill.api.common import Source
from segdistill.engines.staging import item_row
from segdistill.engines.work import Row
from segdistill.errors import UserError
from segdistill.files import remove_leftovers
from segdistill.images.finding import find_all
from segdistill.images.folder import ImageFile
from segdistill.images.remote import RemoteImage, find_remote_images
from segdistill.storage import Folder, is_url, without_file

Image = ImageFile | RemoteImage


class Plan(NamedTuple):
    """What is to be done.

    Attributes:
        items: images of which there is nothing yet, as rows for an engine.
        kept: names of the outputs that are there already.
    """

    items: list[Row]
    kept: list[str]


class Replacing(NamedTuple):
    """What may happen to outputs that are there already.

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
    here = [without_file(str(source)) for source in sources if not is_url(source)]
    images: list[Image] = list(find_all(here)) if here else []
    for source in sources:
        if is_url(source):
            found = find_remote_images(str(source))
            below = f"{out.place}/" if out is not None and out.place != str(source) else None
            images += [each for each in found if below is None or not each.url.startswith(below)]
    places: dict[Path, str] = {}
    for image in images:
        place = image.url if isinstance(image, RemoteImage) else str(image.path)
        other = places.setdefault(image.name, place)
        if other != place:
            raise UserError(
                f"{place} and {other}: both would be written as {image.name}; take them in turn"
            )
    return images


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
        kind: what outputs are, for people.

    Raises:
        UserError: an output would replace an image, or is there already and neither ``overwrite``
            nor ``resume`` is set.
    """
    if replacing.overwrite and replacing.resume:
        raise UserError("--overwrite and --resume: choose one")
    if out.path is not None and replacing.resume:
        for folder in {(out.path / output).parent for output in outputs}:
            remove_leftovers(folder)
    there = frozenset(out.names())
    items, kept = [], []
    for image, output in zip(images, outputs, strict=True):
        source = image.url if isinstance(image, RemoteImage) else str(image.path.absolute())
        ways = [[path.as_posix() for path in form] for form in forms(output)]
        if any(_place_of(out, form[0]) == source for form in ways):
            raise UserError(f"{source}: would be replaced; choose another --out")
        whole = next((form[0] for form in ways if there.issuperset(form)), None)
        if whole is None or replacing.overwrite:
            items.append(item_row(source, image.name, output))
        else:
            kept.append(whole)
    if replacing.overwrite or replacing.resume:
        return Plan(items, kept)
    if kept:
        raise UserError(
            f"{out.place}: {len(kept)} of {len(images)} {kind} exist already; add --resume to write"
            " the others, --overwrite to replace them, or choose another --out"
        )
    if summary in there:
        raise UserError(
            f"{out.place}/{summary}: exists already; add --overwrite or choose another --out"
        )
    return Plan(items, kept)


def _place_of(out: Folder, name: str) -> str:
    return f"{out.place}/{name}" if out.path is None else str((out.path / name).absolute())

"""The classes as an export has them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segdistill.errors import UserError
from segdistill.images.labels import VOID, Colour
from segdistill.inference.masks import CLASSES_FILE
from segdistill.model.description import SegmentClass

Members = tuple[int, ...]
"""The clusters that a class is made of."""


@dataclass(frozen=True)
class ExportClasses:
    """The classes of an export, and where each value of a mask goes.

    Attributes:
        shown: the classes that are exported, in the order of the format's own numbers.
        places: for each value of a mask, 0..255, its place in ``shown``, or 255 for pixels that
            are not exported; shape (256,).
        written: number of classes that the masks were written with.
    """

    shown: tuple[SegmentClass, ...]
    places: NDArray[np.uint8]
    written: int


def exported_classes(
    current: Sequence[SegmentClass], written: Sequence[Members], folder: Path
) -> ExportClasses:
    """Return the classes of an export. All formats take them from here.

    Args:
        current: the run's classes as they are named, coloured and hidden now.
        written: those that the masks were written with.
        folder: of the masks, named in the error.

    Raises:
        UserError: they differ, so that the masks' values mean other classes, or all are hidden.

    Example:
        >>> classes = [
        ...     SegmentClass(0, "sky", (9, 9, 9), hidden=True),
        ...     SegmentClass(1, "a", (8, 8, 8)),
        ... ]
        >>> exported_classes(classes, [(0,), (1,)], Path()).places[[0, 1, 255]].tolist()
        [255, 0, 255]
    """
    again = "segment the images again with `segdistill segment`"
    if len(current) != len(written):
        raise UserError(
            f"{folder}: masks of {len(written)} classes, but the run has {len(current)} now;"
            f" {again}"
        )
    if [each.members for each in current] != list(written):
        raise UserError(f"{folder}: the run's classes were merged or split since then; {again}")
    shown = tuple(each for each in current if not each.hidden)
    if not shown:
        raise UserError("all classes of the run are hidden; show some with `segdistill classes`")
    places = np.full(256, VOID, np.uint8)
    for place, each in enumerate(shown):
        places[each.index] = place
    return ExportClasses(shown, places, len(written))


def written_classes(folder: Path) -> list[Members]:
    """Return the clusters of each class that the masks of a folder were written with.

    Args:
        folder: with the ``classes.json`` that ``segdistill segment`` wrote.

    Raises:
        UserError: it is missing or damaged.
    """
    path = folder / CLASSES_FILE
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        # Older files do not tell clusters: each class was one.
        classes = [tuple(row.get("clusters") or [int(row["index"])]) for row in rows]
    except FileNotFoundError as error:
        raise UserError(
            f"{folder}: no {CLASSES_FILE} there; give the folder that `segdistill segment` wrote"
        ) from error
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{path}: cannot be read ({error}); segment the images again") from error
    if not classes:
        raise UserError(f"{path}: holds no classes; segment the images again")
    return classes


def check_distinct(classes: Sequence[SegmentClass], *, colours: bool = False) -> None:
    """Check that classes can be separated by name, as some formats do, or also by colour.

    Raises:
        UserError: two cannot.

    Example:
        >>> check_distinct([SegmentClass(0, "road", (9, 9, 9)), SegmentClass(1, "road", (8, 8, 8))])
        Traceback (most recent call last):
        ...
        segdistill.errors.UserError: classes 0 and 1 are both named 'road'; give them other names
    """
    names: dict[str, int] = {}
    shades: dict[Colour, int] = {}
    for each in classes:
        other = names.setdefault(each.name, each.index)
        if other != each.index:
            raise UserError(
                f"classes {other} and {each.index} are both named {each.name!r};"
                " give them other names"
            )
        other = shades.setdefault(each.colour, each.index)
        if colours and other != each.index:
            raise UserError(
                f"classes {other} and {each.index} both have the colour {hexadecimal(each.colour)},"
                " by which this format tells classes apart; give them other colours"
            )


def hexadecimal(colour: Colour) -> str:
    """Return a colour as in a style sheet.

    Example:
        >>> hexadecimal((255, 128, 0))
        '#ff8000'
    """
    return "#{:02x}{:02x}{:02x}".format(*colour)

"""The classes of an export."""

from collections.abc import Sequence
from pathlib import Path

from segdistill.errors import UserError
from segdistill.images.labels import Colour
from segdistill.inference.mask_classes import MaskClass, difference, read_classes
from segdistill.layout import CLASSES_FILE
from segdistill.model.description import SegmentClass
from segdistill.storage import LocalFolder


def shown_classes(current: Sequence[MaskClass], folder: Path) -> tuple[MaskClass, ...]:
    """Return the classes to export, after checking that the masks have the run's classes.

    Args:
        current: the run's classes with their current names, colours and hidden flags.
        folder: folder of the masks, with the ``classes.json`` of ``segdistill segment``.

    Raises:
        UserError: ``classes.json`` is missing or damaged, the classes have changed since the masks
            were written, or all are hidden.
    """
    again = "run `segdistill segment` again"
    masks = read_classes(LocalFolder(folder), fix=again)
    if masks is None:
        raise UserError(
            f"{folder}: no {CLASSES_FILE} found; pass the output folder of `segdistill segment`"
        )
    if not masks:
        raise UserError(f"{folder / CLASSES_FILE}: contains no classes; {again}")
    if len(current) != len(masks):
        raise UserError(
            f"{folder}: the masks have {len(masks)} classes, but the run now has {len(current)};"
            f" {again}"
        )
    reason = difference(masks, current)
    if reason:
        raise UserError(f"{folder}: {reason} after the masks were written; {again}")
    shown = tuple(each for each in current if not each.hidden)
    if not shown:
        raise UserError("all classes are hidden; unhide some with `segdistill classes`")
    return shown


def check_distinct(classes: Sequence[SegmentClass], *, colours: bool = False) -> None:
    """Check that class names, and optionally colours, are unique, as some formats require.

    Raises:
        UserError: two classes share a name or a colour.

    Example:
        >>> check_distinct([SegmentClass(0, "road", (9, 9, 9)), SegmentClass(1, "road", (8, 8, 8))])
        Traceback (most recent call last):
        ...
        segdistill.errors.UserError: classes 0 and 1 are both named 'road'; rename one of them
    """
    names: dict[str, int] = {}
    shades: dict[Colour, int] = {}
    for each in classes:
        other = names.setdefault(each.name, each.index)
        if other != each.index:
            raise UserError(
                f"classes {other} and {each.index} are both named {each.name!r}; rename one of them"
            )
        other = shades.setdefault(each.colour, each.index)
        if colours and other != each.index:
            raise UserError(
                f"classes {other} and {each.index} have the same colour {css_hex(each.colour)};"
                " this format needs distinct colours, so change one of them"
            )


def css_hex(colour: Colour) -> str:
    """Return a colour in CSS notation, such as ``#ff8000``."""
    return "#{:02x}{:02x}{:02x}".format(*colour)

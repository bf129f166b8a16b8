"""Edits of classes, such as naming, merging and hiding; each returns new classes.

Classes are passed and returned ordered by index.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches

from segdistill.errors import UserError
from segdistill.images.palette import Colour
from segdistill.model.description import SegmentClass

Classes = tuple[SegmentClass, ...]

MAX_NAME_LENGTH = 80
SHOWN_LENGTH = 40
SUGGESTED_NAMES = 3


def indices_of(classes: Sequence[SegmentClass], given: Iterable[int | str]) -> list[int]:
    """Return the indices of classes that are given by index or by name.

    A whole number, also as text, is an index. A name matches in upper or lower case, unless classes
    differ in nothing else.

    Raises:
        UserError: no class, or more than one, has a name; the message suggests similar names.

    Example:
        >>> classes = [SegmentClass(0, "road", (9, 9, 9)), SegmentClass(1, "sky", (0, 0, 9))]
        >>> indices_of(classes, ["Sky", 0, "1"])
        [1, 0, 1]
    """
    each_given = [given] if isinstance(given, str) else given
    return [_index_of(classes, each) if isinstance(each, str) else each for each in each_given]


def _index_of(classes: Sequence[SegmentClass], text: str) -> int:
    """Return the index of a class given by name, or by index as text."""
    name = " ".join(text.split())
    if re.fullmatch(r"-?\d{1,9}", name):
        return int(name)
    folded = name.casefold()
    for matches in (
        [each for each in classes if each.name == name],
        [each for each in classes if each.name.casefold() == folded],
    ):
        if len(matches) == 1:
            return matches[0].index
        if matches:
            # Which of them is meant is unknown, and a merge of the wrong ones is easily missed.
            found = " and ".join(f"{each.index} ({each.name})" for each in matches)
            raise UserError(f"{name}: several classes have this name, {found}; give their numbers")
    shown = name if len(name) <= SHOWN_LENGTH else f"{name[:SHOWN_LENGTH]}..."
    raise UserError(f"{shown or repr(text)}: no class has this name; {_suggestion(classes, name)}")


def _suggestion(classes: Sequence[SegmentClass], name: str) -> str:
    """Return what a user may have meant by a name that no class has."""
    if "," in name:
        return 'separate classes by spaces, as in 1 5 "traffic light"'
    by_folded = {each.name.casefold(): each.name for each in classes}
    near = get_close_matches(name.casefold(), by_folded, n=SUGGESTED_NAMES)
    if near:
        return f"did you mean {' or '.join(repr(by_folded[each]) for each in near)}?"
    last = len(classes) - 1
    return f"give a name that `segdistill classes RUN` lists, or a number from 0 to {last}"


def named(classes: Sequence[SegmentClass], names: Mapping[int, str]) -> Classes:
    """Name classes by index; an empty name restores the default, such as ``class 3``.

    Raises:
        UserError: a class does not exist, a name is too long or not valid Unicode, or two classes
            would have the same name.

    Example:
        >>> classes = [SegmentClass(0, "class 0", (9, 9, 9)), SegmentClass(1, "class 1", (0, 0, 9))]
        >>> [each.name for each in named(classes, {1: " road "})]
        ['class 0', 'road']
    """
    _check_indices(classes, names)
    tidy = {index: " ".join(name.split()) or f"class {index}" for index, name in names.items()}
    for name in tidy.values():
        if len(name) > MAX_NAME_LENGTH:
            raise UserError(f"{name[:20]}...: a name may have at most {MAX_NAME_LENGTH} characters")
        if any("\ud800" <= letter <= "\udfff" for letter in name):
            raise UserError(f"{name!a}: not valid Unicode; choose another name")
    renamed = tuple(replace(each, name=tidy.get(each.index, each.name)) for each in classes)
    owners: dict[str, int] = {}
    for each in renamed:
        other = owners.setdefault(each.name, each.index)
        if other != each.index:
            raise UserError(
                f"classes {other} and {each.index} would both be called {each.name!r};"
                " merge them, or choose another name"
            )
    return renamed


def coloured(classes: Sequence[SegmentClass], colours: Mapping[int, Colour]) -> Classes:
    """Set the colours (red, green, blue, 0..255) of classes by index.

    Raises:
        UserError: a class does not exist, or a value is out of range.
    """
    _check_indices(classes, colours)
    for colour in colours.values():
        if not all(0 <= value <= 255 for value in colour):
            raise UserError(f"{colour}: not a colour; red, green and blue go from 0 to 255")
    return tuple(replace(each, colour=colours.get(each.index, each.colour)) for each in classes)


def merged(classes: Sequence[SegmentClass], indices: Collection[int]) -> Classes:
    """Merge several classes into one; later classes move up, so that indices have no gaps.

    The merged class takes the name and colour of the first named class, or else of the first
    class. Unnamed classes are renumbered.

    Raises:
        UserError: a class does not exist, or fewer than two are given.

    Example:
        >>> classes = [SegmentClass(i, f"class {i}", (i, i, i)) for i in range(4)]
        >>> [(each.name, each.members) for each in merged(classes, [0, 2])]
        [('class 0', (0, 2)), ('class 1', (1,)), ('class 2', (3,))]
    """
    _check_indices(classes, indices)
    together = sorted(set(indices))
    if len(together) < 2:
        raise UserError("give at least two classes to merge")
    parts = [classes[index] for index in together]
    lead = next((each for each in parts if each.is_named), parts[0])
    union = replace(
        lead,
        clusters=tuple(sorted(cluster for each in parts for cluster in each.members)),
        hidden=all(each.hidden for each in parts),
    )
    kept = [
        union if each.index == together[0] else each
        for each in classes
        if each.index not in together[1:]
    ]
    return tuple(each.at(index) for index, each in enumerate(kept))


def ordered_by_share(classes: Sequence[SegmentClass], shares: Sequence[float]) -> Classes:
    """Reorder classes by decreasing share.

    Unnamed classes are renumbered.

    Example:
        >>> classes = [SegmentClass(0, "class 0", (0, 0, 0)), SegmentClass(1, "sky", (9, 9, 9))]
        >>> [(each.index, each.name) for each in ordered_by_share(classes, [0.2, 0.8])]
        [(0, 'sky'), (1, 'class 1')]
    """
    order = sorted(range(len(classes)), key=lambda index: -shares[index])
    return tuple(classes[old].at(new) for new, old in enumerate(order))


def hidden(classes: Sequence[SegmentClass], indices: Collection[int], *, hide: bool) -> Classes:
    """Hide the classes with the given indices, or show them again.

    Raises:
        UserError: a class does not exist.
    """
    _check_indices(classes, indices)
    return tuple(replace(each, hidden=hide) if each.index in indices else each for each in classes)


def _check_indices(classes: Sequence[SegmentClass], indices: Collection[int]) -> None:
    for index in indices:
        if not 0 <= index < len(classes):
            raise UserError(f"there is no class {index}; classes go from 0 to {len(classes) - 1}")

"""Edits of classes requested by the page."""

import hashlib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from segdistill.api import classes as editing
from segdistill.api.reclustering import recluster
from segdistill.errors import UserError
from segdistill.images.labels import Colour
from segdistill.model.levels import LEVEL_NAMES

Action = Mapping[str, Any]


def apply_edit(run: Path, action: Action) -> str:
    """Edit the classes of a run folder.

    Args:
        run: the run folder.
        action: the edit. ``do`` is ``name`` or ``colour`` (with ``index`` and ``value``), ``hide``
            (with ``index``, and a boolean ``value``), ``merge`` (with ``indices``), ``count`` or
            ``level`` (with ``value``), ``undo`` or ``redo``.

    Returns:
        A message for the user.

    Raises:
        UserError: the edit is not possible; the folder does not change.
    """
    try:
        change = CHANGES[str(action["do"])]
    except KeyError as error:
        raise UserError(f"unknown edit: {action.get('do')}") from error
    try:
        return change(run, action)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{action['do']}: invalid request ({error})") from error


def revision_of(grouping: tuple[object, ...]) -> str:
    """Return a short hash of the assignment of clusters to classes.

    A page with another revision has other class indices, and must not edit the classes.
    """
    return hashlib.blake2b(repr(grouping).encode(), digest_size=6).hexdigest()


def colour_from(text: str) -> Colour:
    """Parse a colour in CSS hexadecimal notation.

    Raises:
        UserError: the colour is invalid.

    Example:
        >>> colour_from("#0080ff")
        (0, 128, 255)
    """
    if not re.fullmatch(r"#[0-9a-fA-F]{6}", text):
        raise UserError(f"{text}: not a colour; use a format like #0080ff")
    red, green, blue = bytes.fromhex(text[1:])
    return red, green, blue


def _name(run: Path, action: Action) -> str:
    index = int(action["index"])
    changed = editing.name_classes(run, {index: str(action["value"])})[index]
    return f"Class {index} is now called {changed.name}."


def _colour(run: Path, action: Action) -> str:
    index = int(action["index"])
    changed = editing.colour_classes(run, {index: colour_from(str(action["value"]))})[index]
    return f"{_capitalise(changed.name)} has a new colour."


def _hide(run: Path, action: Action) -> str:
    index, hide = int(action["index"]), bool(action["value"])
    changed = editing.hide_classes(run, [index], hide=hide)[index]
    state = "is hidden in overlays and exports" if hide else "is shown again"
    return f"{_capitalise(changed.name)} {state}."


def _merge(run: Path, action: Action) -> str:
    indices = sorted({int(index) for index in action["indices"]})
    before = editing.classes_of(run)
    after = editing.merge_classes(run, indices)
    merged = {cluster for index in indices for cluster in before[index].members}
    union = next(each for each in after if merged <= set(each.members))
    names = [before[index].name for index in indices]
    together = f"{', '.join(names[:-1])} and {names[-1]}"
    return f"{_capitalise(together)} are now one class, {union.name}."


def _count(run: Path, action: Action) -> str:
    changed = recluster(run, int(action["value"]))
    if changed.after == changed.before:
        return f"There are already {len(changed.after)} classes."
    return f"Now {len(changed.after)} classes instead of {len(changed.before)}."


def _level(run: Path, action: Action) -> str:
    level = str(action["value"])
    names = [name for name in LEVEL_NAMES if name == level]
    if not names:
        raise UserError(f"{level}: unknown level; choose from {', '.join(LEVEL_NAMES)}")
    changed = recluster(run, level=names[0])
    return f"Level {level}: now {len(changed.after)} classes instead of {len(changed.before)}."


def _undo(run: Path, _action: Action) -> str:
    editing.undo_classes(run)
    return "Undid the last change."


def _redo(run: Path, _action: Action) -> str:
    editing.redo_classes(run)
    return "Redid the change."


def _capitalise(text: str) -> str:
    return text[:1].upper() + text[1:]


CHANGES: dict[str, Callable[[Path, Action], str]] = {
    "name": _name,
    "colour": _colour,
    "hide": _hide,
    "merge": _merge,
    "count": _count,
    "level": _level,
    "undo": _undo,
    "redo": _redo,
}

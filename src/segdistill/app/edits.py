"""Changes of classes that the page asks for: made at once, in words that say what was done."""

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

Wish = Mapping[str, Any]


def make_change(run: Path, wish: Wish) -> str:
    """Change the classes of a run folder.

    Args:
        run: the run folder.
        wish: ``do`` names the change: ``name`` and ``colour`` (with ``index`` and ``value``),
            ``hide`` (with ``index``, and ``value`` to hide or to show), ``merge`` (with
            ``indices``), ``count`` or ``level`` (with ``value``), ``undo`` or ``redo``.

    Returns:
        What was done, as a sentence.

    Raises:
        UserError: the change cannot be made; the folder is then as it was.
    """
    try:
        change = CHANGES[str(wish["do"])]
    except KeyError as error:
        raise UserError(f"no such change: {wish.get('do')}") from error
    try:
        return change(run, wish)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{wish['do']}: cannot be understood ({error})") from error


def revision_of(grouping: tuple[object, ...]) -> str:
    """Return a short name for which clusters make which class, whatever they are called.

    A page that shows another revision counts classes otherwise, and must not change them.
    """
    return hashlib.blake2b(repr(grouping).encode(), digest_size=6).hexdigest()


def colour_from(text: str) -> Colour:
    """Return a colour as style sheets write it as red, green, blue.

    Raises:
        UserError: it is none.

    Example:
        >>> colour_from("#0080ff")
        (0, 128, 255)
    """
    if not re.fullmatch(r"#[0-9a-fA-F]{6}", text):
        raise UserError(f"{text}: no colour; give one such as #0080ff")
    red, green, blue = bytes.fromhex(text[1:])
    return red, green, blue


def _name(run: Path, wish: Wish) -> str:
    index = int(wish["index"])
    changed = editing.name_classes(run, {index: str(wish["value"])})[index]
    return f"Class {index} is called {changed.name} now."


def _colour(run: Path, wish: Wish) -> str:
    index = int(wish["index"])
    changed = editing.colour_classes(run, {index: colour_from(str(wish["value"]))})[index]
    return f"{_capital(changed.name)} has another colour now."


def _hide(run: Path, wish: Wish) -> str:
    index, hide = int(wish["index"]), bool(wish["value"])
    changed = editing.hide_classes(run, [index], hide=hide)[index]
    state = "is left out of overlays and exports" if hide else "is shown again"
    return f"{_capital(changed.name)} {state}."


def _merge(run: Path, wish: Wish) -> str:
    indices = sorted({int(index) for index in wish["indices"]})
    before = editing.classes_of(run)
    after = editing.merge_classes(run, indices)
    merged = {cluster for index in indices for cluster in before[index].members}
    union = next(each for each in after if merged <= set(each.members))
    names = [before[index].name for index in indices]
    together = f"{', '.join(names[:-1])} and {names[-1]}"
    return f"{_capital(together)} are now one class, {union.name}."


def _count(run: Path, wish: Wish) -> str:
    changed = recluster(run, int(wish["value"]))
    if changed.after == changed.before:
        return f"There are {len(changed.after)} classes already."
    return f"Now {len(changed.after)} classes instead of {len(changed.before)}."


def _level(run: Path, wish: Wish) -> str:
    level = str(wish["value"])
    names = [name for name in LEVEL_NAMES if name == level]
    if not names:
        raise UserError(f"{level}: no such level; choose {', '.join(LEVEL_NAMES)}")
    changed = recluster(run, level=names[0])
    return f"Level {level}: now {len(changed.after)} classes instead of {len(changed.before)}."


def _undo(run: Path, _wish: Wish) -> str:
    editing.undo_classes(run)
    return "The last change is undone."


def _redo(run: Path, _wish: Wish) -> str:
    editing.redo_classes(run)
    return "The change is made again."


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


CHANGES: dict[str, Callable[[Path, Wish], str]] = {
    "name": _name,
    "colour": _colour,
    "hide": _hide,
    "merge": _merge,
    "count": _count,
    "level": _level,
    "undo": _undo,
    "redo": _redo,
}

"""Label maps from YAML files, with one-line errors that name the file and the key."""

import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from segdistill.config.validation import as_literal
from segdistill.errors import UserError
from segdistill.images.palette import VOID
from segdistill.labels.class_names import is_one_line
from segdistill.labels.label_map import MOST_CLASSES, LabelMap, Numbers
from segdistill.labels.label_map_yaml import read_yaml
from segdistill.labels.label_pixels import LARGEST

NUMBERS = "numbers are whole numbers such as 7, or ranges such as 7-10"
COLOURS = 'colours are [red, green, blue] from 0 to 255, or "#rrggbb" in quotes'

_NUMBER = re.compile(r"\s*([-+]?[0-9]{1,19})\s*")
_RANGE = re.compile(r"\s*(-?\d{1,19})\s*(?:-|\.\.)\s*(-?\d{1,19})\s*")
_HEX = re.compile(r"#([0-9A-Fa-f]{6})")

Listed = int | str | list[int | str | list[int]]
"""One number, range or colour, or several."""


class _Class(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    numbers: Listed | msgspec.UnsetType = msgspec.UNSET
    colours: Listed | msgspec.UnsetType = msgspec.UNSET


class _Suffixes(msgspec.Struct, forbid_unknown_fields=True):
    images: str = ""
    labels: str = ""


class _File(msgspec.Struct, forbid_unknown_fields=True):
    classes: list[_Class | str] | msgspec.UnsetType = msgspec.UNSET
    ignore: Listed | msgspec.UnsetType = msgspec.UNSET
    offset: int | None = None
    suffix: _Suffixes = msgspec.field(default_factory=_Suffixes)


class _Value(NamedTuple):
    """A range of numbers, or a colour if ``colour`` is not ``None``."""

    first: int = 0
    last: int = 0
    colour: int | None = None

    def __str__(self) -> str:
        if self.colour is not None:
            return f'"#{self.colour:06x}"'
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"


class _MistakeError(Exception):
    """What is wrong in a file, beginning with the key; the caller adds the file."""


def read_label_map(path: Path) -> LabelMap:
    """Read a label map; ``docs/reading.md`` describes the file.

    Raises:
        UserError: the file is missing, not YAML, or wrong; the message names the file and the key.
    """
    content = read_yaml(path)
    try:
        return _resolved(_typed(content), str(path))
    except _MistakeError as error:
        raise UserError(f"{path}: {error}") from error


def _resolved(file: _File, source: str) -> LabelMap:
    if file.classes == []:
        raise _MistakeError("classes: is empty; list at least one, or omit the key")
    listed = [] if file.classes is msgspec.UNSET else file.classes
    classes = [_Class(each) if isinstance(each, str) else each for each in listed]
    names = [each.name for each in classes]
    _check_names(names)
    if file.offset is not None and abs(file.offset) > LARGEST:
        raise _MistakeError("offset: too large")
    claimed: list[tuple[_Value, int]] = []
    for index, each in enumerate(classes):
        key = f"classes[{index}]"
        values = [
            *_values(each.numbers, f"{key}.numbers", colours=False),
            *_values(each.colours, f"{key}.colours", numbers=False),
        ]
        if not values:
            # The classes count up from the offset.
            number = (file.offset or 0) + index
            values = [_Value(number, number)]
        elif file.offset is not None:
            raise _MistakeError(
                f"offset: {key} ({as_literal(each.name)}) lists its own numbers or colours, and the"
                " offset counts up through classes that list none; remove one of the two"
            )
        claimed += [(value, index) for value in values]
    ignored = _values(file.ignore, "ignore")
    by_default = file.ignore is msgspec.UNSET
    if by_default and not any(v.first <= VOID <= v.last for v, _ in claimed):
        ignored = [_Value(VOID, VOID)]
    claimed += [(value, VOID) for value in ignored]
    _check_overlaps(claimed, names)
    return LabelMap(
        names=tuple(names),
        numbers=tuple(Numbers(v.first, v.last, i) for v, i in claimed if v.colour is None),
        colours={v.colour: i for v, i in claimed if v.colour is not None},
        first=file.offset or 0,
        image_suffix=file.suffix.images,
        label_suffix=file.suffix.labels,
        source=source,
        ignores_by_default=by_default,
    )


def _check_names(names: Sequence[str]) -> None:
    if len(names) > MOST_CLASSES:
        raise _MistakeError(f"classes: {len(names)} classes; at most {MOST_CLASSES} can be scored")
    seen: dict[str, int] = {}
    for index, name in enumerate(names):
        if not name.strip():
            raise _MistakeError(f"classes[{index}].name: is empty")
        if not is_one_line(name):
            raise _MistakeError(
                f"classes[{index}].name: {as_literal(name)} contains line breaks or control"
                " characters; remove them"
            )
        if name in seen:
            raise _MistakeError(
                f"classes[{index}].name: {as_literal(name)} is also the name of"
                f" classes[{seen[name]}]; list all values of a class in one entry"
            )
        seen[name] = index


def _check_overlaps(claimed: Sequence[tuple[_Value, int]], names: Sequence[str]) -> None:
    """Check that no number and no colour is listed twice."""

    def place(index: int) -> str:
        return "ignore" if index == VOID else f"classes[{index}] ({as_literal(names[index])})"

    ordered = sorted(claimed, key=_order)
    for (one, index), (other, further) in pairwise(ordered):
        same_kind = (one.colour is None) == (other.colour is None)
        if same_kind and one.colour == other.colour and other.first <= one.last:
            where = sorted((index, further))
            twice = f"twice in {place(index)}"
            both = f"in {place(where[0])} and in {place(where[1])}"
            raise _MistakeError(
                f"{place(where[1])}: {other} is listed {twice if index == further else both};"
                " list it once"
            )


def _order(claimed: tuple[_Value, int]) -> tuple[int, int, int]:
    value = claimed[0]
    return -1 if value.colour is None else value.colour, value.first, value.last


def _values(
    listed: Listed | msgspec.UnsetType, key: str, *, numbers: bool = True, colours: bool = True
) -> list[_Value]:
    """Return the numbers and colours of an entry."""
    if listed is msgspec.UNSET:
        return []
    if not isinstance(listed, list):
        return [_value(listed, key, numbers=numbers, colours=colours)]
    if not numbers and len(listed) == 3 and all(isinstance(each, int) for each in listed):
        return [_value(listed, key, numbers=False, colours=True)]  # one colour
    return [_value(each, key, numbers=numbers, colours=colours) for each in listed]


def _value(given: Any, key: str, *, numbers: bool, colours: bool) -> _Value:
    if isinstance(given, str) and numbers and (found := _NUMBER.fullmatch(given)):
        given = int(found[1])
    if numbers and isinstance(given, int) and abs(given) <= LARGEST:
        return _Value(given, given)
    if isinstance(given, str) and numbers and (found := _RANGE.fullmatch(given)):
        first, last = int(found[1]), int(found[2])
        if first > last:
            raise _MistakeError(
                f"{key}: {as_literal(given)} is a range from high to low; swap its ends"
            )
        if max(-first, last) <= LARGEST:
            return _Value(first, last)
    if isinstance(given, str) and colours and (found := _HEX.fullmatch(given)):
        return _Value(colour=int(found[1], 16))
    if isinstance(given, list) and colours and len(given) == 3:
        red, green, blue = given
        if all(isinstance(each, int) and 0 <= each <= 255 for each in given):
            return _Value(colour=red << 16 | green << 8 | blue)
    allowed = "; ".join([NUMBERS] * numbers + [COLOURS] * colours)
    raise _MistakeError(f"{key}: {as_literal(given)} is not one of these: {allowed}")


def _typed(content: Any) -> _File:
    """Return the content of a file with every value of its declared type."""
    if not isinstance(content, dict) or not content:
        raise _MistakeError("must hold keys such as `classes:`, `ignore:`, `offset:` and `suffix:`")
    if content.get("suffix") is None or isinstance(content["suffix"], str):
        # A bare suffix is that of the labels.
        content = content | {"suffix": {"labels": content.get("suffix") or ""}}
    try:
        return msgspec.convert(content, _File)
    except msgspec.ValidationError as error:
        raise _MistakeError(_in_words(str(error))) from error
    except UnicodeError as error:  # of a key with half of a pair of surrogates
        raise _MistakeError("contains text that is not Unicode; write it again") from error


_VALUES = re.compile(r"numbers|colours|ignore")
_MUST_BE = (
    (_VALUES, f"{NUMBERS}; {COLOURS}"),
    (re.compile(r"\.(name|images|labels)$"), "must be text; put it in quotes"),
    (
        re.compile(r"^classes$"),
        "must be a list of names, such as [road, car], or of classes like {name: road, numbers: 7}",
    ),
    (re.compile(r"^classes"), "must be a name, or like {name: road, numbers: 7}"),
    (re.compile(r"^offset$"), "must be a whole number such as 1"),
    (re.compile(r"^suffix$"), "must be like {images: _leftImg8bit, labels: _gtFine_labelIds}"),
)
"""What the value of each key must be."""


def _in_words(error: str) -> str:
    """Return a message of msgspec with its path first, without its marks, in one bounded line."""
    message, _, path = error.replace("`", "").partition(" - at ")
    if path.startswith("key in "):
        return "keys must be text, such as `classes:`"
    key = path.removeprefix("$").removeprefix(".")
    message = message.replace("Object contains unknown field", "unknown key")
    message = message.replace("Object missing required field", "lacks the key")
    if message.startswith("unknown key") and len(message) > 60:
        message = f"{message[:57]}..."
    if message.startswith("unknown key"):
        known = _Class if key.startswith("classes[") else _Suffixes if key == "suffix" else _File
        message += f"; the keys are {', '.join(known.__struct_fields__)}"
    elif "got null" in message and _VALUES.search(key):
        message = 'is empty (an unquoted # begins a comment: write "#rrggbb" in quotes)'
    elif "lacks the key" not in message:
        message = next((words for form, words in _MUST_BE if form.search(key)), message)
    return f"{key}: {message}" if key else message

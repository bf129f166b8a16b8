"""Checks of settings: each value against its declared type and range.

A range is declared with the type: ``steps: Annotated[int, at_least(1)]``.
"""

import math
import reprlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from numbers import Integral, Real
from pathlib import Path
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    NamedTuple,
    NoReturn,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from segdistill.config.suggestions import likely_names
from segdistill.errors import UserError

Settings = TypeVar("Settings")


class _Repr(reprlib.Repr):
    """A representation of bounded length: a few lines of YAML can stand for gigabytes."""

    def repr_int(self, x: int, level: int) -> str:
        """Represent a whole number; Python refuses to write very long ones in decimals."""
        return super().repr_int(x, level) if x.bit_length() < 1000 else f"{hex(x)[:20]}..."


_BOUNDED = _Repr()
_BOUNDED.maxlevel = 3
_BOUNDED.maxlist = _BOUNDED.maxtuple = _BOUNDED.maxdict = _BOUNDED.maxset = 20
_BOUNDED.maxstring = _BOUNDED.maxother = 200

LARGEST_INTEGER = 2**63
Numbers = tuple[float, ...]

TYPE_NAMES = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    Numbers: "numbers separated by commas",
}


@dataclass(frozen=True)
class Range:
    """The range of a number, for ``Annotated``.

    Attributes:
        description: the range in words, for error messages.
        contains: whether a number is in it.
    """

    description: str
    contains: Callable[[float], bool]


def at_least(minimum: int) -> Range:
    """Return the range of numbers that are not below a minimum."""
    return Range(f"at least {minimum}", lambda value: value >= minimum)


class Declared(NamedTuple):
    """A type hint in parts.

    Attributes:
        type: the type itself.
        optional: whether ``None`` is allowed.
        notes: what ``Annotated`` adds.
    """

    type: Any
    optional: bool
    notes: tuple[Any, ...]


def declared(hint: Any) -> Declared:
    """Return the parts of a type hint.

    Example:
        >>> declared(Annotated[int, "count"] | None)
        Declared(type=<class 'int'>, optional=True, notes=('count',))
    """
    origin = get_origin(hint)
    if origin is Annotated:
        inner, *notes = get_args(hint)
        kind, optional, more = declared(inner)
        return Declared(kind, optional, (*notes, *more))
    if origin in {Union, UnionType}:
        # A setting has one type, or that type and None.
        (inner,) = (each for each in get_args(hint) if each is not NoneType)
        return declared(inner)._replace(optional=True)
    return Declared(hint, optional=False, notes=())


def as_literal(value: Any) -> str:
    """Return a value as one line of bounded length, in bounded time.

    Example:
        >>> as_literal({"steps": [1, "two"]})
        "{'steps': [1, 'two']}"
        >>> nested = [0] * 9
        >>> for _ in range(40):
        ...     nested = [nested] * 9
        >>> len(as_literal(nested))
        60
    """
    return shortened(" ".join(_BOUNDED.repr(value).split()))


def shortened(text: str, longest: int = 60) -> str:
    """Return the start of a text, with dots if it is longer."""
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def typed(settings: Settings, *, prefix: str = "") -> Settings:
    """Return the settings, each value checked against the declaration of its field.

    Numbers and paths are converted to plain ``int``, ``float`` and ``Path``, for example from
    numpy numbers; all else is unchanged.

    Args:
        settings: a dataclass; its fields may be dataclasses as well.
        prefix: what precedes the names of its fields in error messages.

    Raises:
        UserError: a value has the wrong type, is not finite or out of range; the message names the
            setting and what is allowed.

    Example:
        >>> from segdistill.config.settings import TrainingSettings
        >>> typed(TrainingSettings(steps=2.0))
        Traceback (most recent call last):
        ...
        segdistill.errors.UserError: --steps 2.0: must be a whole number or None
    """
    hints = get_type_hints(type(settings), include_extras=True)
    values = {
        field.name: checked(getattr(settings, field.name), hints[field.name], prefix + field.name)
        for field in fields(settings)  # type: ignore[arg-type]
    }
    return type(settings)(**values)


def checked(value: Any, hint: Any, name: str, *, show: Callable[[Any], str] = as_literal) -> Any:
    """Return a value as a plain one of its declared type and range.

    Args:
        value: any object.
        hint: type hint of the setting.
        name: name of the setting, for errors.
        show: turns a value of the wrong type to text, for errors.

    Raises:
        UserError: the value has the wrong type, is not finite or out of range.
    """
    kind, optional, notes = declared(hint)
    if value is None and optional:
        return None
    if is_dataclass(kind):
        return _nested(value, kind, name)
    plain = _plain(value, kind)
    if plain is None:
        refuse(name, show(value), type_name(kind) + (" or None" if optional else ""))
    numbers = plain if isinstance(plain, tuple) else (plain,)
    if any(isinstance(each, float) and not math.isfinite(each) for each in numbers):
        refuse(name, str(plain), "a finite number")
    for note in notes:
        if isinstance(note, Range) and not note.contains(plain):
            refuse(name, str(plain), note.description)
    return plain


def type_name(kind: Any) -> str:
    """Return a type in words.

    Example:
        >>> type_name(Literal["on", "off"])
        "one of 'on', 'off'"
    """
    if get_origin(kind) is Literal:
        return f"one of {', '.join(map(repr, get_args(kind)))}"
    return TYPE_NAMES.get(kind, "a path")


def refuse(name: str, value: str, allowed: str) -> NoReturn:
    """Reject the value of a setting.

    Raises:
        UserError: always.
    """
    raise UserError(f"--{dashed(name)} {value}: must be {allowed}")


def dashed(name: str) -> str:
    """Return the name of a setting as an option has it.

    Example:
        >>> dashed("training.batch_size")
        'training.batch-size'
    """
    return name.replace("_", "-")


def unknown_setting(name: str, known: Sequence[str]) -> UserError:
    """Return the error for a setting that does not exist; it suggests what may be meant."""
    near = likely_names(name, known)
    if near:
        return UserError(f"unknown setting {name!r}; did you mean {' or '.join(map(repr, near))}?")
    top = [each for each in known if each.count(".") == name.count(".")]
    return UserError(f"unknown setting {name!r}; the settings are {', '.join(sorted(top))}")


def unknown_keyword(name: str, value: object, kind: type) -> UserError:
    """Return the error for a keyword argument that is no setting of a dataclass.

    A setting of a group is shown as it has to be passed.

    Example:
        >>> from segdistill.config.settings import FitSettings
        >>> str(unknown_keyword("steps", 20, FitSettings))
        "unknown setting 'steps'; pass training=segdistill.TrainingSettings(steps=20)"
    """
    groups = dict(_groups_of_settings(kind))
    near = likely_names(name, list(groups))
    if len(near) != 1 or not groups[near[0]]:
        return unknown_setting(name, list(groups))
    # What another program calls otherwise may have other values, too.
    last = near[0].rpartition(".")[2]
    call = f"{last}={as_literal(value) if last == name else '...'}"
    for group, each in reversed(groups[near[0]].items()):
        call = f"{group}=segdistill.{each.__name__}({call})"
    return UserError(f"unknown setting {name!r}; pass {call}")


def _groups_of_settings(kind: type) -> Iterator[tuple[str, dict[str, type]]]:
    """Yield each setting by its full name, with the groups that it is in, outermost first."""
    for name, hint in get_type_hints(kind).items():
        if is_dataclass(hint) and isinstance(hint, type):
            yield name, {}
            for below, groups in _groups_of_settings(hint):
                yield f"{name}.{below}", {name: hint} | groups
        else:
            yield name, {}


def _plain(value: Any, kind: Any) -> Any:
    """Return a value converted to a plain type, or ``None`` if it does not have that type."""
    converted: Any = None
    # In Python, bool is a subclass of int; True is not a valid number here.
    if isinstance(value, bool):
        converted = value if kind is bool else None
    elif get_origin(kind) is Literal:
        converted = value if isinstance(value, str) and value in get_args(kind) else None
    elif kind == Numbers:
        converted = _as_numbers(value)
    elif kind is Path and isinstance(value, str | Path) and str(value):
        converted = Path(value)
    elif kind is float and isinstance(value, Real):
        converted = _as_float(value)
    elif kind is int and isinstance(value, Integral):
        converted = int(value) if abs(int(value)) < LARGEST_INTEGER else None
    elif kind is str and isinstance(value, str):
        converted = value
    return converted


def _as_numbers(value: Any) -> Numbers | None:
    """Return one or several numbers as a tuple, or ``None`` if they are something else."""
    several: Sequence[Any] = value if isinstance(value, list | tuple) else [value]
    if any(isinstance(each, bool) or not isinstance(each, Real) for each in several):
        return None
    return tuple(_as_float(each) for each in several)


def _as_float(value: Real) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _nested(value: Any, kind: Any, name: str) -> Any:
    if isinstance(value, kind):
        return typed(value, prefix=f"{name}.")
    known = [field.name for field in fields(kind)]
    if isinstance(value, Mapping):
        for key in value:
            if key not in known:
                raise unknown_setting(f"{name}.{key}", [f"{name}.{each}" for each in known])
    return refuse(name, as_literal(value), f"segdistill.{kind.__name__}({known[0]}=...)")

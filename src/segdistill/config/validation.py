"""Checks of settings: each value against its declared type, and each number against its range.

The parser checks the types of the command line and of YAML files, but not of values from Python.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from difflib import get_close_matches
from numbers import Integral, Real
from operator import attrgetter
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, NoReturn, TypeVar, Union, get_args, get_origin, get_type_hints

from segdistill.errors import UserError

Settings = TypeVar("Settings")

TYPE_NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


@dataclass(frozen=True)
class Range:
    """The range of some settings.

    Attributes:
        description: the range in words, for error messages.
        contains: whether a number is in it.
        names: names of the settings, with dots for nested ones.
    """

    description: str
    contains: Callable[[float], bool]
    names: tuple[str, ...]


FIT_RANGES = (
    Range("from 2 to 255", lambda value: 2 <= value <= 255, ("classes",)),
    Range("at least 32", lambda value: value >= 32, ("resolution", "segment_resolution")),
    Range("0 or at least 2", lambda value: value == 0 or value >= 2, ("components",)),
    Range("above 0, at most 1", lambda value: 0 < value <= 1, ("crop_ratio",)),
    Range("from 0 to 2147483647", lambda value: 0 <= value < 2**31, ("seed",)),
    Range(
        "at least 0",
        lambda value: value >= 0,
        (
            "extra_clusters",
            "cache.max_gigabytes",
            "depth.weight",
            "depth.weight_hidden_positives",
            "depth.weight_minimum",
            "depth.shift_minimum",
        ),
    ),
    Range("between 0 and 180 degrees", lambda value: 0 < value < 180, ("depth.field_of_view",)),
    Range(
        "above 0",
        lambda value: value > 0,
        (
            "training.learning_rate",
            "training.cluster_learning_rate",
            "depth.weight_factor",
            "depth.shift_factor",
            "depth.samples_factor",
        ),
    ),
    Range(
        "at least 1",
        lambda value: value >= 1,
        (
            "objective.augmentations",
            "objective.random_draws",
            "training.steps",
            "training.neighbours",
            "training.checkpoint_every",
            "training.reset_probes_every",
            "depth.weight_every",
            "depth.shift_every",
            "depth.samples_every",
            "depth.samples_minimum",
        ),
    ),
    Range(
        "at least 2",
        lambda value: value >= 2,
        ("head.channels", "objective.samples", "training.batch_size"),
    ),
    Range(
        "from 0 to 1",
        lambda value: 0 <= value <= 1,
        ("objective.attract_self", "objective.attract_neighbour", "objective.attract_random"),
    ),
    Range(
        "from 0 to below 1",
        lambda value: 0 <= value < 1,
        ("head.dropout", "objective.feature_dropout"),
    ),
)
"""The ranges of the numbers in :class:`segdistill.config.settings.FitSettings`."""


def typed(settings: Settings, *, prefix: str = "") -> Settings:
    """Return the settings, each value checked against the type of its field.

    Numbers and paths are converted to plain ``int``, ``float`` and ``Path``, for example from
    numpy numbers; all else is unchanged.

    Args:
        settings: a dataclass; its fields may be dataclasses as well.
        prefix: prepended to names in errors.

    Raises:
        UserError: a value has the wrong type, is not one of the choices, or is not finite; the
            message names the setting and the allowed values.

    Example:
        >>> @dataclass(frozen=True)
        ... class Walk:
        ...     steps: int = 1
        ...     pace: float = 1.0
        >>> typed(Walk(pace=2))
        Walk(steps=1, pace=2.0)
        >>> typed(Walk(steps="3"))
        Traceback (most recent call last):
        ...
        segdistill.errors.UserError: --steps '3': must be a whole number
    """
    hints = get_type_hints(type(settings))
    values = {
        field.name: _typed_value(
            getattr(settings, field.name), hints[field.name], prefix + field.name
        )
        for field in fields(settings)  # type: ignore[arg-type]
    }
    return type(settings)(**values)


def check_ranges(settings: Any, ranges: tuple[Range, ...]) -> None:
    """Check numbers against their ranges; ``None`` (not given) passes.

    Raises:
        UserError: a number is out of range; the message names the setting and the range.

    Example:
        >>> share = Range("from 0 to 1", lambda value: 0 <= value <= 1, ("real",))
        >>> check_ranges(2.0, (share,))
        Traceback (most recent call last):
        ...
        segdistill.errors.UserError: --real 2.0: must be from 0 to 1
    """
    for each in ranges:
        for name in each.names:
            value = attrgetter(name)(settings)
            if value is not None and not each.contains(value):
                refuse(name, str(value), each.description)


def refuse(name: str, value: str, allowed: str) -> NoReturn:
    """Reject the value of a setting.

    Raises:
        UserError: always.
    """
    raise UserError(f"--{name} {value}: must be {allowed}")


def unknown_setting(name: str, known: list[str]) -> UserError:
    """Return the error for a setting that does not exist; it suggests the nearest."""
    near = get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"the settings are {', '.join(sorted(known))}"
    return UserError(f"unknown setting {name!r}; {hint}")


def _typed_value(value: Any, hint: Any, name: str) -> Any:
    """Return a value, checked against its type hint."""
    choices = get_args(hint) if get_origin(hint) in {Union, UnionType} else (hint,)
    if value is None and NoneType in choices:
        return None
    # A setting has one type, or that type and None.
    (declared,) = (choice for choice in choices if choice is not NoneType)
    if get_origin(declared) is Literal:
        return _chosen(value, get_args(declared), name)
    if is_dataclass(declared):
        return _nested(value, declared, name)
    plain = _plain(value, declared)
    if plain is None:
        left_out = " or None" if NoneType in choices else ""
        refuse(name, _shown(value), TYPE_NAMES.get(declared, "a path") + left_out)
    if isinstance(plain, float) and not math.isfinite(plain):
        refuse(name, str(plain), "a finite number")
    return plain


def _plain(value: Any, declared: Any) -> Any:
    """Return a value converted to a plain type, or ``None`` if it does not have that type."""
    # In Python, bool is a subclass of int; True is not a valid number here.
    if isinstance(value, bool):
        return value if declared is bool else None
    if declared is Path and isinstance(value, str | Path) and str(value):
        return Path(value)
    if declared is float and isinstance(value, Real):
        return _as_float(value)
    if declared is int and isinstance(value, Integral):
        return int(value)
    return value if declared is str and isinstance(value, str) else None


def _chosen(value: Any, choices: tuple[Any, ...], name: str) -> Any:
    if isinstance(value, str) and value in choices:
        return value
    return refuse(name, _shown(value), f"one of {', '.join(map(repr, choices))}")


def _as_float(value: Real) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _nested(value: Any, declared: Any, name: str) -> Any:
    if isinstance(value, declared):
        return typed(value, prefix=f"{name}.")
    known = [field.name for field in fields(declared)]
    if isinstance(value, Mapping):
        for key in value:
            if key not in known:
                raise unknown_setting(f"{name}.{key}", [f"{name}.{each}" for each in known])
    example = f"{declared.__name__}({known[0]}=...)"
    return refuse(name, _shown(value), f"{example} of {declared.__module__}")


def _shown(value: Any) -> str:
    """Return a value as one line of bounded length."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."

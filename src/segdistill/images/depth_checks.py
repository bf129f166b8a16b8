"""Signs that values of depth maps do not mean depth."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from segdistill.images.depth import CONSTANT_DEPTH, DepthSettings, known_values
from segdistill.images.depth_reading import read_depth_values

LARGE_SHARE = 0.1
"""Share of a map from which one extreme value is suspicious."""

FAR_BEYOND = 8.0
"""An extreme this many times as large as all other values is not one of them."""

LARGEST_INTEGERS = frozenset([255.0, 65535.0, 2.0**32 - 1, 2.0**31 - 1])
SMALL_SHARE_KNOWN = 0.5
ROUNDING = 1e-4
MOST_NAMED = 3


class DepthSummary(NamedTuple):
    """What a map says about the depth of an image.

    Attributes:
        unknown: share of the map that is unknown, from 0 to 1.
        constant: whether all known depths are the same.
    """

    unknown: float
    constant: bool


class FillValue(NamedTuple):
    """A value that probably means 'not measured'.

    Attributes:
        value: the stored value.
        share: its share of the pixels.
    """

    value: float
    share: float


def fill_value(values: NDArray[np.float64], settings: DepthSettings) -> FillValue | None:
    """Return the extreme value that probably fills in for missing depth, if there is one.

    That is the lowest or highest value if it covers a tenth of the map and is 0, the largest that
    an integer can be, or far above all others.

    Args:
        values: stored values, shape (height, width).
        settings: meaning of the values; values that are known to be invalid do not count.

    Example:
        >>> fill_value(np.array([[300.0, 400.0, 500.0, 65535.0]]), DepthSettings())
        FillValue(value=65535.0, share=0.25)
    """
    known = values[known_values(values, settings)]
    if not known.size or known.min() == known.max():
        return None
    low, high = known.min(), known.max()
    below = known[known < high].max()
    suspects = []
    if high in LARGEST_INTEGERS or high > FAR_BEYOND * max(abs(below), abs(low)):
        suspects.append(high)
    if low == 0:
        suspects.append(low)
    shares = (FillValue(float(each), float((values == each).mean())) for each in suspects)
    return max((s for s in shares if s.share >= LARGE_SHARE), key=lambda s: s.share, default=None)


def summarise_depth(share: NDArray[np.floating[Any]]) -> DepthSummary:
    """Summarise depth in 0..1 that is NaN where unknown, as a map or on a feature grid.

    Example:
        >>> summarise_depth(np.array([[0.5, 0.5, 0.5, np.nan]]))
        DepthSummary(unknown=0.25, constant=True)
        >>> summarise_depth(np.array([[0.0, 0.5, 1.0, 0.5]]))
        DepthSummary(unknown=0.0, constant=False)
    """
    known = np.isfinite(share)
    constant = (np.abs(share[known] - CONSTANT_DEPTH) <= ROUNDING).all()
    return DepthSummary(float((~known).mean()), bool(constant))


def fill_value_warning(paths: Iterable[Path], settings: DepthSettings) -> str | None:
    """Return a warning about the fill value of some depth maps, or ``None``.

    Raises:
        UnreadableDepthError: a map cannot be read.
    """
    found: dict[float, list[tuple[float, Path]]] = {}
    count = 0
    for path in paths:
        count += 1
        filled = fill_value(read_depth_values(path, settings.format, settings.channel), settings)
        if filled is not None:
            found.setdefault(filled.value, []).append((filled.share, path))
    if not found:
        return None
    value, maps = max(found.items(), key=lambda item: len(item[1]))
    share, path = max(maps)
    already = ",".join(f"{each:.9g}" for each in (*settings.invalid, value))
    return (
        f"the value {value:.9g} covers a tenth or more of {len(maps)} of the {count} depth maps"
        f" checked, {share:.0%} of {path}; if it means sky or 'not measured', add"
        f" --depth.invalid {already}"
    )


def unknown_depth_warning(unknown: Mapping[Path, float]) -> str | None:
    """Return a warning about maps with little depth, or ``None``.

    Args:
        unknown: share of each map that is unknown, from 0 to 1.
    """
    empty = {path: share for path, share in unknown.items() if share > SMALL_SHARE_KNOWN}
    if not empty:
        return None
    worst = sorted(empty.items(), key=lambda item: item[1], reverse=True)
    shown = _first([f"{path} ({share:.0%})" for path, share in worst])
    return (
        f"depth maps that are mostly invalid and therefore have little effect: {len(empty)} of"
        f" {len(unknown)}, {shown}; check --depth.invalid and --depth.kind"
    )


def constant_depth_warning(maps: Mapping[Path, DepthSummary]) -> str | None:
    """Return a warning about constant maps, or ``None``.

    Maps that are mostly unknown do not count: :func:`unknown_depth_warning` names them.
    """
    constant = [
        path for path, each in maps.items() if each.constant and each.unknown <= SMALL_SHARE_KNOWN
    ]
    if not constant:
        return None
    everywhere = len(constant) == len(maps)
    fix = "fit without depth (--depth.guide off)" if everywhere else "remove these maps"
    return (
        f"depth maps that are constant and therefore hold no information: {len(constant)} of"
        f" {len(maps)}, {_first([str(path) for path in constant])}; all parts of such an image"
        f" count as equally far, and so as alike: {fix}, or check --depth.invalid, --depth.format"
        " and --depth.channel"
    )


def _first(shown: Sequence[str]) -> str:
    more = ["..."] if len(shown) > MOST_NAMED else []
    return ", ".join([*shown[:MOST_NAMED], *more])

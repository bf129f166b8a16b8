"""Stored numbers of more than 8 bits as 8 bits, for every kind of file."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

LOWEST, HIGHEST = 2.0, 98.0
"""Percentiles of bands that are balanced, as programs for maps show them."""

LOWEST_SHOWN, HIGHEST_SHOWN = 0.5, 99.5
"""Percentiles that map to black and white."""

LEAST_SPIKE = 0.005
"""Share of the pixels from which on a single far value is taken for a mark."""

MOST_AT_BLACK = 0.25
"""Values whose lowest percentile is above this share of their bits' range do not begin near 0."""

LEAST_SPREAD_OF_GREY = 0.4
LEAST_SPREAD_OF_COLOURS = 0.25
"""Share of their bits' range that values must fill to keep it. Colours are photographs as a rule,
and a dim one is to stay dim; grey numbers are measurements as a rule."""

LARGEST_SCALED = float(np.finfo(np.float32).max) / 2
"""Limit of value ranges, so that their difference is finite."""

Ranges = tuple[tuple[float, float], ...]
"""For each band, the values that map to black and white."""

NATURAL_AXES = np.array([[1.0, 1.0, 1.0], [1.0, 1.0, -1.0], [1.0, -2.0, 0.0]]) / np.sqrt([3, 6, 2])
"""Lightness, yellow-blue and red-green, as columns of red, green and blue: the directions of
largest, second largest and smallest variance of colours in photographs (Ruderman, Cronin and
Chiao, JOSA A 1998)."""


@dataclass(frozen=True)
class Projection:
    """A projection of many bands onto three colours.

    Attributes:
        weights: weights of the bands (scaled to 0..1) in red, green and blue: 3 rows with one
            weight per band.
        offsets: offsets of red, green and blue, so that the results are about 0..1.
    """

    weights: tuple[tuple[float, ...], ...]
    offsets: tuple[float, ...]

    def __post_init__(self) -> None:
        """Check that the shapes are consistent and all numbers finite.

        Raises:
            ValueError: they are not.
        """
        lengths = {len(row) for row in self.weights}
        if len(self.weights) != 3 or len(self.offsets) != 3 or len(lengths) != 1 or 0 in lengths:
            raise ValueError("projection: not three rows of as many weights, and three offsets")
        if not np.isfinite([*self.offsets, *(w for row in self.weights for w in row)]).all():
            raise ValueError("projection: a number is not finite")

    @property
    def bands(self) -> int:
        """Number of input bands."""
        return len(self.weights[0])

    def apply(self, shares: NDArray[np.float32]) -> NDArray[np.float32]:
        """Project bands in 0..1, shape (bands, rows, columns), onto three, about 0..1."""
        offsets = np.array(self.offsets, np.float32)[:, None, None]
        # Some BLAS kernels compute with unused lanes of vectors, too, and set flags for what they
        # find there.
        with np.errstate(invalid="ignore"):
            projected: NDArray[np.float32] = (
                np.tensordot(np.array(self.weights, np.float32), shares, axes=1) + offsets
            )
        return projected


def percentile_ranges(values: NDArray[Any]) -> Ranges:
    """Return the values of each band that map to black and white, by percentiles.

    Args:
        values: shape (pixels, bands).

    Example:
        >>> percentile_ranges(np.arange(101, dtype=np.float32)[:, None])
        ((2.0, 98.0),)
    """
    if not len(values):
        return ((0.0, 1.0),) * int(values.shape[1])
    limits = np.percentile(values.astype(np.float64), (LOWEST, HIGHEST), axis=0)
    pairs: list[list[float]] = limits.T.tolist()
    return tuple((low, high if high > low else low + 1.0) for low, high in pairs)


def display_ranges(values: NDArray[Any], *, common: bool) -> Ranges:
    """Choose the values of each band that map to black and white, from a sample of pixels.

    Values that fill the range of 8, 10, 12, 14 or 16 bits from near 0, or floats from 0 to 1, keep
    that range, so that a scene looks as it does in 8 bits. Others, such as the temperatures of a
    thermal camera in a narrow band, heights, and CT numbers, are scaled by robust percentiles.

    Args:
        values: finite values of shape (pixels, bands).
        common: whether all bands share one range, as colours must to keep their hue. Others, such
            as infrared beside red, are balanced by the percentiles of each.

    Example:
        >>> narrow = np.arange(51241, 52242, dtype=np.uint16)[:, None]
        >>> display_ranges(narrow, common=True)
        ((51246.0, 52236.0),)
        >>> display_ranges(narrow - np.uint16(51241), common=True)
        ((0.0, 1023.0),)
    """
    bands = int(values.shape[1])
    if not len(values):
        return ((0.0, 1.0),) * bands
    if common:
        return (_display_range(values.ravel(), colours=bands > 1),) * bands
    return percentile_ranges(values)


def _display_range(values: NDArray[Any], *, colours: bool) -> tuple[float, float]:
    ordered = np.sort(values.astype(np.float64))
    if colours:
        limits = _percentiles(ordered)
        nominal = _nominal_maximum(ordered)
        if _fills(*limits, nominal, LEAST_SPREAD_OF_COLOURS):
            return 0.0, nominal
    for spike in (*_percentiles(ordered), ordered[len(ordered) // 2]):
        ordered = _without_far_spike(ordered, float(spike))
    low, high = _robust_limits(ordered)
    nominal = _nominal_maximum(ordered)
    if not colours and _fills(low, high, nominal, LEAST_SPREAD_OF_GREY):
        return 0.0, nominal
    return low, high if high > low else low + 1.0


def _percentiles(ordered: NDArray[np.float64]) -> tuple[float, float]:
    # Of the values themselves: between two, nothing is stored.
    low, high = np.percentile(ordered, (LOWEST_SHOWN, HIGHEST_SHOWN), method="nearest")
    return float(low), float(high)


def _fills(low: float, high: float, nominal: float, least_spread: float) -> bool:
    """Return whether values fill the range of their bits from near 0."""
    near_zero = 0 <= low <= MOST_AT_BLACK * nominal
    return near_zero and high <= nominal and high - low >= least_spread * nominal


def _without_far_spike(ordered: NDArray[np.float64], spike: float) -> NDArray[np.float64]:
    """Drop a single value that many pixels have, if it is far from all others.

    Such a value stands for 'nothing' or 'too much', as 0 does around a masked thermal image.
    """
    rest = ordered[ordered != spike]
    if len(rest) < 2 or len(ordered) - len(rest) < LEAST_SPIKE * len(ordered):
        return ordered
    low, high = _percentiles(rest)
    is_far = max(low - spike, spike - high) > max(high - low, 1e-9)
    return rest if is_far and high > low else ordered


def _robust_limits(ordered: NDArray[np.float64]) -> tuple[float, float]:
    """Return percentiles that a few hot or dead pixels do not move.

    If most values are the same, as in a picture of small things on nothing, those are counted
    apart: the percentiles would see nothing else.
    """
    middle = float(ordered[len(ordered) // 2])
    rest = ordered[ordered != middle]
    if len(rest) > 0.5 * len(ordered):
        return _percentiles(ordered)
    if not len(rest):
        return middle, middle
    low, high = _percentiles(rest)
    return min(low, middle), max(high, middle)


def _nominal_maximum(ordered: NDArray[np.float64]) -> float:
    """Return the largest value that the bits in use can hold; infinity if that means nothing.

    A thousandth of the values may be above it, as hot pixels are.
    """
    high = float(np.percentile(ordered, 99.9))
    whole = bool((ordered == np.round(ordered)).all())
    if not whole:
        return 1.0 if high <= 1 else np.inf
    return next((float(2**bits - 1) for bits in (8, 10, 12, 14, 16) if high < 2**bits), np.inf)


def nominal_range(values: NDArray[Any]) -> tuple[float, float]:
    """Return the values that map to black and white in a file read for a run of an older version.

    For integers, 0 and the largest number of the bits in use. For floats, 0 and 1 if no value lies
    outside, else the smallest and the largest value.

    Args:
        values: finite values of any shape.

    Example:
        >>> nominal_range(np.array([3, 700])), nominal_range(np.array([-2.0, 0.5]))
        ((0.0, 1023.0), (-2.0, 0.5))
    """
    low, high = float(values.min()), float(values.max())
    if values.dtype.kind != "f":
        bits = next((bits for bits in (8, 10, 12, 14, 16) if high < 2**bits), 32)
        return 0.0, float(2**bits - 1)
    if low >= 0 and high <= 1:
        return 0.0, 1.0
    return low, high if high > low else low + 1.0


def scaled(values: NDArray[Any], ranges: Ranges) -> NDArray[np.float32]:
    """Scale the values of bands, shape (bands, ...), to 0..1 and clip them.

    Example:
        >>> scaled(np.array([[-1.0, 5.0, np.nan, 30.0]]), ((0.0, 10.0),)).tolist()
        [[0.0, 0.5, 0.0, 1.0]]
    """
    with np.errstate(over="ignore"):  # a no-data value of 64 bits may be infinite in 32
        result = values.astype(np.float32)
    for band, limits in zip(result, ranges, strict=True):
        low, high = np.clip(limits, -LARGEST_SCALED, LARGEST_SCALED).tolist()
        # Clip first: a no-data value may be too large to multiply.
        np.clip(band, low, high, out=band)
        np.subtract(band, low, out=band)
        np.divide(band, (high - low) or 1.0, out=band)
    # A single band may have no value.
    return np.nan_to_num(result, copy=False)


def rgb_from_bands(
    values: NDArray[Any], ranges: Ranges | None, projection: Projection | None = None
) -> NDArray[np.uint8]:
    """Convert stored values to 8-bit RGB: the one way for every kind of file.

    Args:
        values: shape (bands, rows, columns): grey, three colours, or the bands of the projection.
        ranges: for each band, the values that map to 0 and 255; ``None`` for 8-bit values that are
            used unchanged.
        projection: projection of the bands onto three.

    Returns:
        Array of shape (rows, columns, 3).

    Example:
        >>> rgb_from_bands(np.array([[[0, 500, 2000]]], np.uint16), ((0.0, 1000.0),))[0].tolist()
        [[0, 0, 0], [128, 128, 128], [255, 255, 255]]
    """
    if ranges is not None:
        shares = scaled(values, ranges)
        shares = projection.apply(shares) if projection else shares
        values = np.round(shares.clip(0, 1) * 255).astype(np.uint8)
    if len(values) == 1:
        values = np.repeat(values, 3, axis=0)
    pixels: NDArray[np.uint8] = np.moveaxis(values, 0, 2)  # (3, h, w) -> (h, w, 3)
    return pixels


def missing_values(values: NDArray[Any], nodata: float | None) -> NDArray[np.bool_]:
    """Return where a band has no value."""
    missing = np.zeros(values.shape, np.bool_)
    if values.dtype.kind == "f":
        missing = ~np.isfinite(values)
    if nodata is not None:
        # Compare in the band's own type: -3.4e38 differs between 32 and 64 bits.
        own = np.array(nodata).astype(values.dtype) if values.dtype.kind == "f" else nodata
        missing |= values == own
    return missing


def principal_projection(values: NDArray[np.float32]) -> Projection:
    """Return the projection of bands onto their first three principal components.

    The first becomes lightness, the others the two axes of hue, as in the photographs on which
    backbones are trained. Distances between pixels are kept (apart from the components left out),
    so noise does not grow. One common scale brings the 2nd to 98th percentiles of red, green and
    blue into 0..1.

    Args:
        values: values of pixels in 0..1, shape (pixels, bands), at least one pixel.

    Example:
        >>> values = np.linspace(0, 1, 101, dtype=np.float32)[:, None] * [[1, 1, 0, 0]]
        >>> projection = principal_projection(values.astype(np.float32))
        >>> [round(weight, 2) for weight in projection.weights[0]]
        [0.52, 0.52, 0.0, 0.0]
    """
    centred = values.astype(np.float64)
    mean = centred.mean(axis=0)
    centred -= mean
    variances, vectors = np.linalg.eigh(centred.T @ centred / len(values))
    directions = vectors.T[::-1][:3]  # (bands, bands) -> at most (3, bands)
    # Components without variance are dropped.
    directions = directions[variances[::-1][:3] > 1e-9 * max(variances[-1], 1e-9)]
    # The sign of a component is arbitrary: make its sum positive.
    largest = np.abs(directions).argmax(axis=1, keepdims=True)
    directions = directions * np.sign(np.take_along_axis(directions, largest, axis=1))
    turned = NATURAL_AXES[:, : len(directions)] @ directions  # (3, bands)
    colours = centred @ turned.T
    low, high = np.percentile(colours, (LOWEST, HIGHEST), axis=0)
    spread = max(float((high - low).max()), 1e-6)
    weights = turned / spread
    offsets = 0.5 - (low + high) / (2 * spread) - weights @ mean
    rows: list[list[float]] = weights.tolist()
    return Projection(tuple(map(tuple, rows)), tuple(offsets.tolist()))

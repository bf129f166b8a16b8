"""Stored numbers of more than 8 bits as 8 bits, for every kind of file."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

LOWEST, HIGHEST = 2.0, 98.0
"""Percentiles that map to black and white."""

Ranges = tuple[tuple[float, float], ...]
"""For each band, the values that map to black and white."""


def percentile_ranges(values: NDArray[np.float32]) -> Ranges:
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


def nominal_range(values: NDArray[Any]) -> tuple[float, float]:
    """Return the values that map to black and white in a file without a range of its own.

    For integers, 0 and the largest number of the bits in use: cameras and microscopes store 10, 12
    or 14 bits in 16, and images of one camera keep their relative brightness. For floats, 0 and 1
    if no value lies outside, else the smallest and the largest value.

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
    result = values.astype(np.float32)
    for band, (low, high) in zip(result, ranges, strict=True):
        # Clip first: a no-data value may be too large to multiply.
        np.clip(band, low, high, out=band)
        np.subtract(band, low, out=band)
        np.divide(band, high - low, out=band)
    # A single band may have no value.
    return np.nan_to_num(result, copy=False)


def to_8_bit(shares: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Convert values from 0..1 to 0..255; others are clipped.

    Example:
        >>> to_8_bit(np.array([-1.0, 0.5, 1.0], np.float32)).tolist()
        [0, 128, 255]
    """
    levels: NDArray[np.uint8] = np.round(shares.clip(0, 1) * 255).astype(np.uint8)
    return levels


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

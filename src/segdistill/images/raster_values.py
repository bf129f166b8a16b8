"""The numbers of a raster's bands: which are missing, and how they are brought to 0..1."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

LOWEST, HIGHEST = 2.0, 98.0
"""Percentiles of the values that become black and white, in bands of more than 8 bits."""

Ranges = tuple[tuple[float, float], ...]
"""Of each band, the values that become black and white."""


def percentile_ranges(values: NDArray[np.float32]) -> Ranges:
    """Return the values of each band that become black and white.

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


def scaled(values: NDArray[Any], ranges: Ranges) -> NDArray[np.float32]:
    """Return the values of bands, shape (bands, ...), brought to 0..1 and cut off there.

    Example:
        >>> scaled(np.array([[-1.0, 5.0, np.nan, 30.0]]), ((0.0, 10.0),)).tolist()
        [[0.0, 0.5, 0.0, 1.0]]
    """
    result = values.astype(np.float32)
    for band, (low, high) in zip(result, ranges, strict=True):
        # Cut off first: what stands for 'no value' may be too large to be multiplied.
        np.clip(band, low, high, out=band)
        np.subtract(band, low, out=band)
        np.divide(band, high - low, out=band)
    # Of several bands one may have no value.
    return np.nan_to_num(result, copy=False)


def missing_values(values: NDArray[Any], nodata: float | None) -> NDArray[np.bool_]:
    """Return where a band has no value."""
    missing = np.zeros(values.shape, np.bool_)
    if values.dtype.kind == "f":
        missing = ~np.isfinite(values)
    if nodata is not None:
        # Compared in the band's own numbers: -3.4e38 is not the same in 32 and 64 bits.
        own = np.array(nodata).astype(values.dtype) if values.dtype.kind == "f" else nodata
        missing |= values == own
    return missing

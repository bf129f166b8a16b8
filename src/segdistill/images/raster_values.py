"""Values of raster bands: missing values, and scaling to 0..1."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

LOWEST, HIGHEST = 2.0, 98.0
"""Percentiles that map to black and white in bands of more than 8 bits."""

Ranges = tuple[tuple[float, float], ...]
"""For each band, the values that map to black and white."""


def percentile_ranges(values: NDArray[np.float32]) -> Ranges:
    """Return the values of each band that map to black and white.

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

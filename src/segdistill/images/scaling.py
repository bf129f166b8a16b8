"""Stored numbers of more than 8 bits as 8 bits, for every kind of file."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

LOWEST, HIGHEST = 2.0, 98.0
"""Percentiles that map to black and white."""

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

    @property
    def bands(self) -> int:
        """Number of input bands."""
        return len(self.weights[0])

    def apply(self, shares: NDArray[np.float32]) -> NDArray[np.float32]:
        """Project bands in 0..1, shape (bands, rows, columns), onto three, about 0..1."""
        offsets = np.array(self.offsets, np.float32)[:, None, None]
        projected: NDArray[np.float32] = (
            np.tensordot(np.array(self.weights, np.float32), shares, axes=1) + offsets
        )
        return projected


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

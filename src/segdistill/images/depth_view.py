"""Resampling depth to the feature grid, for the part of an image that the network sees."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from segdistill.images.resize import Crop, Size, Viewing

# Locations with less known coverage than this are unknown: the rest is rounding.
LEAST_SHARE = 1e-6


def seen_region(image: Size, crop: Crop, viewing: Viewing) -> Crop:
    """Return the part of an image that the network sees, as shares of the image's sides.

    It differs from the crop by rounding to whole pixels and by the centre crop, if there is one.

    Args:
        image: height and width of the image, in pixels.
        crop: crop of the image.
        viewing: how the crop is resized for the network.

    Example:
        >>> seen_region((100, 200), Crop(), Viewing(64, 8, square=True))
        Crop(top=0.0, left=0.25, height=1.0, width=0.5)
    """
    rows, columns = crop.pixels(*image)
    cut = Crop(
        rows.start / image[0],
        columns.start / image[1],
        (rows.stop - rows.start) / image[0],
        (columns.stop - columns.start) / image[1],
    )
    resized, seen = viewing.sizes(rows.stop - rows.start, columns.stop - columns.start)
    top, left = (round((whole - part) / 2) for whole, part in zip(resized, seen, strict=True))
    middle = Crop(top / resized[0], left / resized[1], seen[0] / resized[0], seen[1] / resized[1])
    return Crop(
        cut.top + middle.top * cut.height,
        cut.left + middle.left * cut.width,
        middle.height * cut.height,
        middle.width * cut.width,
    )


def depth_for_view(
    depth: NDArray[np.float32],
    image: Size,
    crop: Crop,
    viewing: Viewing,
    grid: Size,
    *,
    mirrored: bool = False,
) -> NDArray[np.float32]:
    """Resample the depth of the part that the network sees to its feature grid.

    See :func:`depth_on_grid` for the depth and the result, and :func:`seen_region` for the rest.
    """
    return depth_on_grid(depth, grid, seen_region(image, crop, viewing), mirrored=mirrored)


def depth_on_grid(
    depth: NDArray[np.float32], grid: Size, region: Crop | None = None, *, mirrored: bool = False
) -> NDArray[np.float32]:
    """Resample depth to a grid by average pooling, or bilinearly where the grid is finer.

    Each location gets the mean of the known pixels under it, weighted by their overlap. A linear
    depth ramp is reproduced exactly at the locations' centres, except that, where the grid is finer
    than the map, values within half a pixel of the map's border are those of its outermost pixels.

    Args:
        depth: depth map of the whole image, of any resolution, NaN where unknown, shape
            (height, width).
        grid: height and width of the output.
        region: part of the map to resample; by default all of it.
        mirrored: whether to flip the result horizontally.

    Returns:
        Array of shape ``grid``, NaN where no pixel is known.

    Example:
        >>> depth = np.array([[1, 2, 3, np.nan], [1, 2, 5, np.nan]], np.float32)
        >>> depth_on_grid(depth, (1, 2)).tolist()
        [[1.5, 4.0]]
        >>> depth_on_grid(depth, (2, 2), Crop(0.0, 0.5, 1.0, 0.5), mirrored=True).tolist()
        [[nan, 3.0], [nan, 5.0]]
    """
    region = region or Crop()
    down = csr_array(_weights(region.top, region.height, grid[0], depth.shape[0]))
    across = csr_array(_weights(region.left, region.width, grid[1], depth.shape[1])).T
    known = np.isfinite(depth)
    # (rows, height) @ (height, width) @ (width, columns) -> (rows, columns)
    total = (down @ np.where(known, depth, 0.0).astype(np.float64)) @ across
    share = (down @ known.astype(np.float64)) @ across
    enough = share > LEAST_SHARE
    pooled = np.where(enough, total / np.where(enough, share, 1.0), np.nan).astype(np.float32)
    return pooled[:, ::-1].copy() if mirrored else pooled


def _weights(start: float, extent: float, places: int, pixels: int) -> NDArray[np.float64]:
    """Return the weight of each pixel in each location along one axis, (locations, pixels)."""
    edges = (np.linspace(start, start + extent, places + 1) * pixels).clip(0, pixels)
    centres = (edges[:-1] + edges[1:])[:, None] / 2  # (places, 1)
    pixel = np.arange(pixels)[None]  # (1, pixels)
    if extent * pixels <= places:
        at = (centres - 0.5).clip(0, pixels - 1)
        interpolated: NDArray[np.float64] = (1 - np.abs(at - pixel)).clip(0)
        return interpolated
    under = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    under = under.clip(0)
    return _centred(under / under.sum(axis=1, keepdims=True), centres)


def _centred(weights: NDArray[np.float64], centres: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shift weight between each location's outermost pixels so that it balances at the centre."""
    # A pixel that is partly under a location counts with the value at the pixel's centre, not at
    # the overlap's: the mean of a linear ramp would be off by up to an eighth of a pixel's step.
    pixels = weights.shape[1]
    under = weights > 0
    first = under.argmax(axis=1)
    last = pixels - 1 - under[:, ::-1].argmax(axis=1)
    error = (weights * (np.arange(pixels) + 0.5 - centres)).sum(axis=1)
    shifted = error / np.maximum(last - first, 1)
    place = np.arange(len(weights))
    weights[place, first] += shifted
    weights[place, last] -= shifted
    return weights

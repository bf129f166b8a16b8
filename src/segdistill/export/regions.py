"""The regions of a mask: connected pixels of one class, or all pixels of a class."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from segdistill.images.labels import VOID


@dataclass(frozen=True)
class RegionMap:
    """A mask cut into regions.

    Attributes:
        numbers: the region of each pixel, from 1; 0 for none; shape (height, width), int32.
        classes: the class of each region, shape (regions,): that of region n is at n - 1.
    """

    numbers: NDArray[np.int32]
    classes: NDArray[np.uint8]


@dataclass(frozen=True)
class Region:
    """One region, cut out.

    Attributes:
        number: of the region, from 1.
        place: of its class.
        top: first row in the image.
        left: first column in the image.
        pixels: shape (height, width) of the smallest box around it.
    """

    number: int
    place: int
    top: int
    left: int
    pixels: NDArray[np.bool_]


def find_regions(mask: NDArray[np.uint8], *, connected: bool, min_area: int = 1) -> RegionMap:
    """Cut a mask into regions.

    Pixels are connected by their sides, not their corners, so that the outline of a region never
    meets itself and is a valid polygon (see :mod:`segdistill.export.polygons`).

    Args:
        mask: classes, 255 for none, shape (height, width).
        connected: each connected part of a class by itself; otherwise all of a class together.
        min_area: leave out connected parts of fewer pixels.

    Example:
        >>> mask = np.array([[0, 1, 0], [0, 1, 1]], np.uint8)
        >>> find_regions(mask, connected=True).numbers.tolist()
        [[1, 3, 2], [1, 3, 3]]
        >>> find_regions(mask, connected=False).classes.tolist()
        [0, 1]
    """
    if connected:
        return _without_small(_connected(mask), min_area)
    if min_area > 1:
        mask = np.where(_without_small(_connected(mask), min_area).numbers > 0, mask, VOID)
    classes, numbers = np.unique(mask, return_inverse=True)
    present = classes != VOID
    # VOID is the highest value, so that what it would be numbered is above all others.
    numbers = np.where(mask == VOID, 0, numbers.reshape(mask.shape) + 1)
    return RegionMap(numbers.astype(np.int32), classes[present].astype(np.uint8))


def cut_out(regions: RegionMap) -> Iterator[Region]:
    """Yield the regions of a mask one by one."""
    for index, box in enumerate(ndimage.find_objects(regions.numbers)):
        rows, columns = box
        yield Region(
            index + 1,
            int(regions.classes[index]),
            rows.start,
            columns.start,
            regions.numbers[box] == index + 1,
        )


def _connected(mask: NDArray[np.uint8]) -> RegionMap:
    numbers = np.zeros(mask.shape, np.int32)
    classes: list[NDArray[np.uint8]] = []
    count = 0
    # Shifted by one, since scipy passes over 0: that is what 255 becomes.
    for place, box in enumerate(ndimage.find_objects(mask + np.uint8(1))):
        if box is None:
            continue
        inside = mask[box] == place
        parts, number = ndimage.label(inside)
        numbers[box][inside] = parts[inside] + count
        classes.append(np.full(number, place, np.uint8))
        count += number
    return RegionMap(numbers, np.concatenate([np.empty(0, np.uint8), *classes]))


def _without_small(regions: RegionMap, min_area: int) -> RegionMap:
    if min_area <= 1:
        return regions
    areas = np.bincount(regions.numbers.ravel(), minlength=len(regions.classes) + 1)
    kept = areas >= min_area
    kept[0] = False
    again = np.where(kept, np.cumsum(kept), 0).astype(np.int32)
    return RegionMap(again[regions.numbers], regions.classes[kept[1:]])

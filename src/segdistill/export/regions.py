"""Regions of a mask: connected components of a class, or all pixels of a class."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from segdistill.images.labels import VOID


@dataclass(frozen=True)
class RegionMap:
    """A mask divided into regions.

    Attributes:
        numbers: region number of each pixel, from 1; 0 for none; shape (height, width), int32.
        classes: class index of each region, shape (regions,); region n is at n - 1.
    """

    numbers: NDArray[np.int32]
    classes: NDArray[np.uint8]


@dataclass(frozen=True)
class Region:
    """A region, cropped to its bounding box.

    Attributes:
        number: region number, from 1.
        class_index: exported class index.
        top: first row in the image.
        left: first column in the image.
        pixels: mask of the region in its bounding box, shape (height, width).
    """

    number: int
    class_index: int
    top: int
    left: int
    pixels: NDArray[np.bool_]


def find_regions(mask: NDArray[np.uint8], *, connected: bool, min_area: int = 1) -> RegionMap:
    """Divide a mask into regions.

    Components are 4-connected, so that the outline of a region never touches itself and is a valid
    polygon (see :mod:`segdistill.export.polygons`).

    Args:
        mask: class indices, 255 for none, shape (height, width).
        connected: one region per connected component; otherwise one per class.
        min_area: drop connected components with fewer pixels.

    Example:
        >>> mask = np.array([[0, 1, 0], [0, 1, 1]], np.uint8)
        >>> find_regions(mask, connected=True).numbers.tolist()
        [[1, 3, 2], [1, 3, 3]]
        >>> find_regions(mask, connected=False).classes.tolist()
        [0, 1]
    """
    if connected:
        return _drop_small(_connected(mask), min_area)
    if min_area > 1:
        mask = np.where(_drop_small(_connected(mask), min_area).numbers > 0, mask, VOID)
    classes, numbers = np.unique(mask, return_inverse=True)
    present = classes != VOID
    # VOID is the highest value, so all other classes are numbered from 1 without gaps.
    numbers = np.where(mask == VOID, 0, numbers.reshape(mask.shape) + 1)
    return RegionMap(numbers.astype(np.int32), classes[present].astype(np.uint8))


def iterate_regions(regions: RegionMap) -> Iterator[Region]:
    """Yield the regions of a mask, cropped to their bounding boxes."""
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
    # Shifted by one so that 255 wraps to 0, which scipy ignores.
    for class_index, box in enumerate(ndimage.find_objects(mask + np.uint8(1))):
        if box is None:
            continue
        inside = mask[box] == class_index
        parts, number = ndimage.label(inside)
        numbers[box][inside] = parts[inside] + count
        classes.append(np.full(number, class_index, np.uint8))
        count += number
    return RegionMap(numbers, np.concatenate([np.empty(0, np.uint8), *classes]))


def _drop_small(regions: RegionMap, min_area: int) -> RegionMap:
    if min_area <= 1:
        return regions
    areas = np.bincount(regions.numbers.ravel(), minlength=len(regions.classes) + 1)
    kept = areas >= min_area
    kept[0] = False
    again = np.where(kept, np.cumsum(kept), 0).astype(np.int32)
    return RegionMap(again[regions.numbers], regions.classes[kept[1:]])

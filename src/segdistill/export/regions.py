"""Regions of a mask: connected components of a class, or all pixels of a class."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage


@dataclass(frozen=True)
class RegionMap:
    """A mask divided into regions.

    Attributes:
        numbers: region number of each pixel, from 1; 0 for none; shape (height, width), int32.
        classes: class index of each region, shape (regions,); region n is at n - 1.
    """

    numbers: NDArray[np.int32]
    classes: NDArray[np.uint8]

    @property
    def areas(self) -> NDArray[np.int64]:
        """Number of pixels of each region, shape (regions,)."""
        return np.bincount(self.numbers.ravel(), minlength=len(self.classes) + 1)[1:]


def find_regions(mask: NDArray[np.uint8], *, connected: bool) -> RegionMap:
    """Divide a mask into regions.

    Components are 4-connected, so that their outlines are valid polygons.

    Args:
        mask: class indices, 255 for none, shape (height, width).
        connected: one region per connected component; otherwise one per class.

    Example:
        >>> mask = np.array([[0, 1, 0], [0, 1, 1]], np.uint8)
        >>> find_regions(mask, connected=True).numbers.tolist()
        [[1, 3, 2], [1, 3, 3]]
        >>> find_regions(mask, connected=False).classes.tolist()
        [0, 1]
    """
    numbers = np.zeros(mask.shape, np.int32)
    classes: list[int] = []
    # Shifted by one so that 255 wraps to 0, which scipy ignores.
    for class_index, box in enumerate(ndimage.find_objects(mask + np.uint8(1))):
        if box is None:
            continue
        inside = mask[box] == class_index
        parts, count = ndimage.label(inside) if connected else (inside, 1)
        numbers[box][inside] = parts[inside] + len(classes)
        classes += [class_index] * count
    return RegionMap(numbers, np.array(classes, np.uint8))

"""Clearing masks of specks and pinholes: small regions join a neighbour.

A region is a connected part of one class. Connections run along pixel edges, not corners
(4-connectivity), as the outlines of exports do.
"""

import heapq
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from segdistill.images.labels import VOID

MIN_REGION = 0.0003
"""Share of an image that a region needs by default to stay in its mask."""


def min_pixels(share: float, height: int, width: int) -> int:
    """Return the area in pixels that a share of an image comes to, rounded up.

    Example:
        >>> min_pixels(0.0005, 360, 480), min_pixels(0, 360, 480)
        (87, 0)
    """
    return int(np.ceil(share * height * width))


class Absorbed(NamedTuple):
    """A mask without small regions, and what that changed.

    Attributes:
        mask: class indices, shape (height, width).
        regions: number of regions that joined a neighbour.
        pixels: number of their pixels.
    """

    mask: NDArray[np.uint8]
    regions: int
    pixels: int


def absorb_small_regions(
    mask: NDArray[np.uint8], smallest: int, *, fixed: int = VOID
) -> NDArray[np.uint8]:
    """Give every region smaller than an area to the neighbour it borders on most.

    The smallest region goes first, and what it joins grows by it, so that a speck within a speck
    ends where most of its surroundings belong. Holes are filled the same way.

    Args:
        mask: class indices, shape (height, width).
        smallest: area, in pixels, that a region needs to stay.
        fixed: value that never changes and never absorbs anything, such as "nothing".

    Returns:
        Mask of the same shape; the same array where nothing is small. A region stays if it is
        small but all its neighbours are of the value ``fixed``.

    Example:
        >>> mask = np.zeros((4, 5), np.uint8)
        >>> mask[1, 1] = 1
        >>> mask[:, 4] = 2
        >>> absorb_small_regions(mask, 3).tolist()[1]
        [0, 0, 0, 0, 2]
    """
    return absorbed(mask, smallest, fixed=fixed).mask


def absorbed(mask: NDArray[np.uint8], smallest: int, *, fixed: int = VOID) -> Absorbed:
    """Absorb small regions, and count them; see :func:`absorb_small_regions`."""
    if smallest <= 1:
        return Absorbed(mask, 0, 0)
    regions, class_of = _regions(mask)
    areas = np.bincount(regions.ravel())
    if not ((areas < smallest) & (class_of != fixed)).any():
        return Absorbed(mask, 0, 0)
    owner = _owners(regions, class_of, areas, smallest, fixed)
    changed = class_of[owner] != class_of
    cleaned: NDArray[np.uint8] = class_of[owner][regions]
    return Absorbed(cleaned, int(changed.sum()), int(areas[changed].sum()))


def _regions(mask: NDArray[np.uint8]) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Return the number of each pixel's region, from 0, and the class of each region."""
    regions = np.zeros(mask.shape, np.int32)
    classes = []
    count = 0
    for value in np.flatnonzero(np.bincount(mask.ravel(), minlength=256)):
        present = mask == value
        rows, columns = ndimage.find_objects(present.view(np.uint8))[0]
        labels, found = ndimage.label(present[rows, columns])
        part = regions[rows, columns]
        part[labels > 0] = labels[labels > 0] + (count - 1)
        classes.append(np.full(found, value, np.uint8))
        count += found
    return regions, np.concatenate(classes)


def _borders(regions: NDArray[np.int32], count: int) -> list[dict[int, int]]:
    """Return, for each region, the length of its border with each neighbour, in pixel edges."""
    pairs = []
    for one, other in ((regions[1:], regions[:-1]), (regions[:, 1:], regions[:, :-1])):
        differ = one != other
        first, second = one[differ].astype(np.int64), other[differ].astype(np.int64)
        pairs.append(np.minimum(first, second) * count + np.maximum(first, second))
    codes, lengths = np.unique(np.concatenate(pairs), return_counts=True)
    borders: list[dict[int, int]] = [{} for _ in range(count)]
    for first, second, length in zip(
        (codes // count).tolist(), (codes % count).tolist(), lengths.tolist(), strict=True
    ):
        borders[first][second] = length
        borders[second][first] = length
    return borders


def _owners(
    regions: NDArray[np.int32],
    class_of: NDArray[np.uint8],
    areas: NDArray[np.int64],
    smallest: int,
    fixed: int,
) -> NDArray[np.int64]:
    """Return the region that each region ends up in, shape (regions,)."""
    count = len(areas)
    borders = _borders(regions, count)
    area = areas.tolist()
    owner = list(range(count))
    queue = [(size, region) for region, size in enumerate(area) if size < smallest]
    heapq.heapify(queue)
    while queue:
        size, region = heapq.heappop(queue)
        if owner[region] != region or area[region] != size or class_of[region] == fixed:
            continue
        neighbours = [
            (length, area[other], -other)
            for other, length in borders[region].items()
            if class_of[other] != fixed
        ]
        if not neighbours:
            continue
        into = -max(neighbours)[2]
        owner[region] = into
        area[into] += area[region]
        _join(borders, owner, class_of, area, region, into)
        if area[into] < smallest:
            heapq.heappush(queue, (area[into], into))
    for region in range(count):
        root = region
        while owner[root] != root:
            root = owner[root]
        owner[region] = root
    return np.array(owner)


def _join(
    borders: list[dict[int, int]],
    owner: list[int],
    class_of: NDArray[np.uint8],
    area: list[int],
    region: int,
    into: int,
) -> None:
    """Hand the borders of a region on, and unite what then touches and is of one class."""
    queue = [(region, into)]
    while queue:
        gone, kept = queue.pop()
        for other, length in borders[gone].items():
            del borders[other][gone]
            if other == kept:
                continue
            borders[kept][other] = borders[kept].get(other, 0) + length
            borders[other][kept] = borders[kept][other]
        borders[gone] = {}
        for other in borders[kept]:
            if class_of[other] == class_of[kept]:
                owner[other] = kept
                area[kept] += area[other]
                queue.append((other, kept))
                break

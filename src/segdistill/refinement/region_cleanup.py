"""Removal of specks and pinholes from masks by merging small regions into a neighbour.

A region is a connected component of one class. Pixels connect across edges, not corners
(4-connectivity), as in exported outlines.
"""

import heapq
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from segdistill.images.palette import VOID


def min_pixels(share: float, height: int, width: int) -> int:
    """Convert a share of an image to an area in pixels, rounded up.

    Example:
        >>> min_pixels(0.0005, 360, 480), min_pixels(0, 360, 480)
        (87, 0)
    """
    return int(np.ceil(share * height * width))


class Absorbed(NamedTuple):
    """A mask without small regions, and the number of regions and pixels changed.

    Attributes:
        mask: class indices, shape (height, width).
        regions: number of regions merged into a neighbour.
        pixels: number of pixels in those regions.
    """

    mask: NDArray[np.uint8]
    regions: int
    pixels: int


def absorb_small_regions(mask: NDArray[np.uint8], smallest: int) -> NDArray[np.uint8]:
    """Merge every region below a minimum area into the neighbour with which it shares most border.

    Regions are merged in ascending order of area, and the absorbing region grows each time, so a
    speck within a speck ends up in the same region as most of its surroundings. Holes are filled
    the same way.

    Args:
        mask: class indices, shape (height, width); regions of 255 never change and never absorb
            others.
        smallest: minimum area of a region, in pixels.

    Returns:
        Mask of the same shape; the input array itself if no region is small. A small region is
        kept if all its neighbours have the value 255.

    Example:
        >>> mask = np.zeros((4, 5), np.uint8)
        >>> mask[1, 1] = 1
        >>> mask[:, 4] = 2
        >>> absorb_small_regions(mask, 3).tolist()[1]
        [0, 0, 0, 0, 2]
    """
    return absorbed(mask, smallest).mask


def absorbed(mask: NDArray[np.uint8], smallest: int) -> Absorbed:
    """Absorb small regions and count them; see :func:`absorb_small_regions`."""
    if smallest <= 1:
        return Absorbed(mask, 0, 0)
    starts, regions, class_of, areas, borders = _runs(mask)
    if not ((areas < smallest) & (class_of != VOID)).any():
        return Absorbed(mask, 0, 0)
    owner = _owners(borders, class_of, areas, smallest)
    changed = class_of[owner] != class_of
    lengths = np.diff(starts, append=mask.size)
    cleaned = np.repeat(class_of[owner][regions], lengths).reshape(mask.shape)
    return Absorbed(cleaned, int(changed.sum()), int(areas[changed].sum()))


class _Runs(NamedTuple):
    """Run-length encoding of a mask: stretches of one class within a row.

    Attributes:
        starts: row-major index of each run's first pixel, shape (runs,).
        regions: index of each run's region, shape (runs,).
        class_of: class index of each region, shape (regions,).
        areas: area of each region, in pixels, shape (regions,).
        borders: length of each region's border with each of its neighbours, in pixel edges.
    """

    starts: NDArray[np.int64]
    regions: NDArray[np.int64]
    class_of: NDArray[np.uint8]
    areas: NDArray[np.int64]
    borders: list[dict[int, int]]


def _runs(mask: NDArray[np.uint8]) -> _Runs:
    height, width = mask.shape
    flat = mask.ravel()
    begins = np.ones(mask.shape, np.bool_)
    np.not_equal(mask[:, 1:], mask[:, :-1], out=begins[:, 1:])
    starts = np.flatnonzero(begins)
    # Between two breaks, neither the run in a row nor the run below it changes.
    breaks = np.flatnonzero((begins[:-1] | begins[1:]).ravel())
    run_of = np.cumsum(begins) - 1
    above, below = run_of[breaks], run_of[breaks + width]
    lengths = np.diff(breaks, append=(height - 1) * width)
    same = flat[starts[above]] == flat[starts[below]]
    joined = coo_array(
        (np.ones(int(same.sum()), np.bool_), (above[same], below[same])), (len(starts),) * 2
    )
    count, regions = connected_components(joined, directed=False)
    regions = regions.astype(np.int64)
    class_of = np.empty(count, np.uint8)
    class_of[regions] = flat[starts]
    areas = np.bincount(regions, np.diff(starts, append=flat.size), count).astype(np.int64)
    left = np.flatnonzero(starts[1:] % width)  # runs followed by another in the same row
    first = np.concatenate([regions[above[~same]], regions[left]])
    second = np.concatenate([regions[below[~same]], regions[left + 1]])
    edges = np.concatenate([lengths[~same], np.ones(len(left), np.int64)])
    return _Runs(starts, regions, class_of, areas, _borders(first, second, edges, count))


def _borders(
    first: NDArray[np.int64], second: NDArray[np.int64], edges: NDArray[np.int64], count: int
) -> list[dict[int, int]]:
    """Sum the border lengths between regions."""
    pairs, index = np.unique(
        np.minimum(first, second) * count + np.maximum(first, second), return_inverse=True
    )
    lengths = np.bincount(index, edges, len(pairs)).astype(np.int64)
    borders: list[dict[int, int]] = [{} for _ in range(count)]
    for one, other, length in zip(
        (pairs // count).tolist(), (pairs % count).tolist(), lengths.tolist(), strict=True
    ):
        borders[one][other] = length
        borders[other][one] = length
    return borders


def _owners(
    borders: list[dict[int, int]],
    class_of: NDArray[np.uint8],
    areas: NDArray[np.int64],
    smallest: int,
) -> NDArray[np.int64]:
    """Return the region into which each region is finally merged, shape (regions,)."""
    count = len(areas)
    # Reading single numbers from lists is much faster than from arrays.
    area, classes = areas.tolist(), class_of.tolist()
    owner = list(range(count))
    queue = [(size, region) for region, size in enumerate(area) if size < smallest]
    heapq.heapify(queue)
    while queue:
        size, region = heapq.heappop(queue)
        if owner[region] != region or area[region] != size or classes[region] == VOID:
            continue
        neighbours = [
            (length, area[other], -other)
            for other, length in borders[region].items()
            if classes[other] != VOID
        ]
        if not neighbours:
            continue
        into = -max(neighbours)[2]
        owner[region] = into
        area[into] += area[region]
        _join(borders, owner, classes, area, region, into)
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
    classes: list[int],
    area: list[int],
    region: int,
    into: int,
) -> None:
    """Transfer the borders of a merged region, and merge adjacent regions of the same class."""
    queue = [(region, into)]
    while queue:
        gone, kept = queue.pop()
        kept_borders = borders[kept]
        for other, length in borders[gone].items():
            del borders[other][gone]
            if other == kept:
                continue
            # Regions that were adjacent before have other classes, only new neighbours may not.
            if other not in kept_borders and classes[other] == classes[kept]:
                owner[other] = kept
                area[kept] += area[other]
                queue.append((other, kept))
            kept_borders[other] = borders[other][kept] = kept_borders.get(other, 0) + length
        borders[gone] = {}

"""Clearing masks of specks and pinholes: small regions join a neighbour.

A region is a connected part of one class. Connections run along pixel edges, not corners
(4-connectivity), as the outlines of exports do.
"""

import heapq
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from segdistill.images.labels import VOID


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
        fixed: value that never changes and never absorbs anything.

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
    starts, regions, class_of, areas, borders = _runs(mask)
    if not ((areas < smallest) & (class_of != fixed)).any():
        return Absorbed(mask, 0, 0)
    owner = _owners(borders, class_of, areas, smallest, fixed)
    changed = class_of[owner] != class_of
    lengths = np.diff(starts, append=mask.size)
    cleaned = np.repeat(class_of[owner][regions], lengths).reshape(mask.shape)
    return Absorbed(cleaned, int(changed.sum()), int(areas[changed].sum()))


class _Runs(NamedTuple):
    """The runs of a mask, stretches of one class within a row, far fewer than its pixels.

    Attributes:
        starts: pixel at which each run starts, counted in reading order, shape (runs,).
        regions: region of each run, from 0, shape (runs,).
        class_of: class of each region, shape (regions,).
        areas: pixels of each region, shape (regions,).
        borders: for each region the length of its border with each neighbour, in pixel edges.
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
    # Between two of these, both a row's run and the run below it stay the same.
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
    left = np.flatnonzero(starts[1:] % width)  # runs with another to the right of them
    first = np.concatenate([regions[above[~same]], regions[left]])
    second = np.concatenate([regions[below[~same]], regions[left + 1]])
    edges = np.concatenate([lengths[~same], np.ones(len(left), np.int64)])
    return _Runs(starts, regions, class_of, areas, _borders(first, second, edges, count))


def _borders(
    first: NDArray[np.int64], second: NDArray[np.int64], edges: NDArray[np.int64], count: int
) -> list[dict[int, int]]:
    """Add up the lengths of borders between regions."""
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
    fixed: int,
) -> NDArray[np.int64]:
    """Return the region that each region ends up in, shape (regions,)."""
    count = len(areas)
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

"""Connected regions against a plain search."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from segdistill.teaching.cells import CellPool


def plain_regions(groups: NDArray[np.int64]) -> set[frozenset[tuple[int, int]]]:
    left = {(y, x) for y in range(groups.shape[0]) for x in range(groups.shape[1])}
    found = set()
    while left:
        region, waiting = set(), [min(left)]
        while waiting:
            y, x = waiting.pop()
            if (y, x) not in left:
                continue
            left.remove((y, x))
            region.add((y, x))
            waiting += [
                (b, a)
                for b, a in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1))
                if (b, a) in left and groups[b, a] == groups[y, x]
            ]
        found.add(frozenset(region))
    return found


@given(
    st.lists(
        st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(0, 2**25 - 1)),
        min_size=1,
        max_size=3,
    )
)
def test_regions_are_those_of_a_plain_search_and_stay_in_their_image(
    drawn: list[tuple[int, int, int]],
) -> None:
    grids = [(height, width) for height, width, _ in drawn]
    maps = [
        np.array([(bits >> n) & 1 for n in range(height * width)]).reshape(height, width)
        for height, width, bits in drawn
    ]
    groups = np.concatenate([each.ravel() for each in maps])
    pool = CellPool(torch.zeros(len(groups), 1), grids, np.ones(len(groups), np.bool_))
    regions = pool.regions(groups)
    for image, each in enumerate(maps):
        own = regions[pool.cells_of(image)].reshape(each.shape)
        found = {
            frozenset(zip(*(axis.tolist() for axis in np.nonzero(own == n)), strict=True))
            for n in np.unique(own)
        }
        assert found == plain_regions(each)
    assert len(np.unique(regions)) == sum(len(plain_regions(each)) for each in maps)


def test_cells_know_their_image() -> None:
    pool = CellPool(torch.zeros(10, 1), [(2, 3), (1, 4)], np.ones(10, np.bool_))
    assert pool.image_of(np.array([0, 5, 6, 9])).tolist() == [0, 0, 1, 1]
    assert pool.cells_of(1) == slice(6, 10)

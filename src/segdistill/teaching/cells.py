"""The cells of the images that are taught: their features and where they lie."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

Cells = NDArray[np.int64]


@dataclass(frozen=True)
class CellPool:
    """The cells of some images.

    Attributes:
        features: features of the cells, image by image in row-major order, shape (cells, channels),
            float32.
        grids: height and width of each image's grid, in cells.
        valid: which cells have a value, shape (cells,).
    """

    features: torch.Tensor
    grids: Sequence[tuple[int, int]]
    valid: NDArray[np.bool_]

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """Index of each image's first cell, and after the last image the number of cells."""
        sizes = [height * width for height, width in self.grids]
        return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)

    def image_of(self, cells: Cells) -> NDArray[np.int64]:
        """Return the index of the image of each cell."""
        images: NDArray[np.int64] = np.searchsorted(self.starts, cells, side="right") - 1
        return images

    def cells_of(self, image: int) -> slice:
        """Return the cells of an image."""
        return slice(int(self.starts[image]), int(self.starts[image + 1]))

    @cached_property
    def _neighbours(self) -> tuple[Cells, Cells]:
        """Pairs of cells that share a side."""
        first, second = [], []
        for (height, width), start in zip(self.grids, self.starts[:-1], strict=True):
            index = start + np.arange(height * width).reshape(height, width)
            first += [index[:, :-1].ravel(), index[:-1].ravel()]
            second += [index[:, 1:].ravel(), index[1:].ravel()]
        return np.concatenate(first), np.concatenate(second)

    def regions(self, groups: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the connected region of each cell: cells of one group that adjoin in an image.

        Args:
            groups: group of each cell, shape (cells,).

        Returns:
            Index of a region for each cell, shape (cells,).
        """
        first, second = self._neighbours
        same = groups[first] == groups[second]
        count = len(groups)
        edges = (np.ones(int(same.sum()), np.int8), (first[same], second[same]))
        graph = coo_array(edges, shape=(count, count))
        _, regions = connected_components(graph, directed=False)
        found: NDArray[np.int64] = regions.astype(np.int64)
        return found

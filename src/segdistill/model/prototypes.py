"""Prototypes: many small clusters of a data set's codes, from which classes are merged.

They are stored with the model, so that the number of classes can be changed without the images.
Prototype maps of some images are stored too: they show, for any set of classes, which classes
adjoin and which turn into each other when the lighting changes.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

ROUNDING = 1e-5
"""Cosine distances that differ by less are equal but for rounding."""


@dataclass(frozen=True)
class Prototypes:
    """Clusters of codes, far more than there are classes, and a tree that merges them.

    Attributes:
        vectors: sum of each cluster's unit codes divided by the total number of codes, shape
            (prototypes, channels). It points to the centre of the cluster, and its length is the
            cluster's share times the mean cosine of its codes with that centre.
        shares: share of all codes in each cluster, shape (prototypes,), summing to 1.
        merges: the two nodes joined by each merge, shape (prototypes - 1, 2), int64. Prototypes are
            nodes 0 to prototypes - 1, and merge t creates node prototypes + t.
        heights: decrease in the mean cosine of codes with their cluster's centre at each merge,
            shape (prototypes - 1,), non-decreasing.
    """

    vectors: torch.Tensor
    shares: torch.Tensor
    merges: torch.Tensor
    heights: torch.Tensor

    def __post_init__(self) -> None:
        """Check that the shapes are consistent.

        Raises:
            ValueError: the shapes are inconsistent.
        """
        count = len(self.vectors)
        shapes = [tuple(part.shape) for part in (self.shares, self.merges, self.heights)]
        if not count or shapes != [(count,), (count - 1, 2), (count - 1,)]:
            raise ValueError(f"{count} prototypes, but other parts of shapes {shapes}")
        # Every node but the last is merged once, after it was created.
        nodes = torch.arange(2 * count - 2, device=self.merges.device)
        once = torch.equal(self.merges.flatten().sort().values, nodes)
        if not (once and bool((self.merges.amax(dim=1) <= nodes[count - 1 :]).all())):
            raise ValueError("the merges of prototypes are no tree")
        if bool((self.shares < 0).any()):
            raise ValueError("a share of prototypes is negative")


@dataclass(frozen=True)
class CodeMaps:
    """Prototype maps of some training images, for some of them also under changed lighting.

    Attributes:
        sizes: height and width of each map, shape (maps, 2), int64.
        prototypes: prototype indices of all maps, flattened in row-major order and concatenated,
            shape (cells,), int16.
        relit_from: for each relit map, the index of the map of the same image in its original
            lighting, shape (relit maps,), int64.
        relit: relit maps, stored like ``prototypes``, int16.
        distances: mean cosine distance of each map's codes from the nearest prototypes formed by
            other images, from 0 to 2, shape (maps,), float32.
    """

    sizes: torch.Tensor
    prototypes: torch.Tensor
    relit_from: torch.Tensor
    relit: torch.Tensor
    distances: torch.Tensor

    def __post_init__(self) -> None:
        """Check that the shapes are consistent.

        Raises:
            ValueError: the shapes are inconsistent.
        """
        numbers = (self.sizes, self.prototypes, self.relit_from, self.relit)
        if any(each.is_floating_point() for each in numbers) or self.sizes.dim() != 2:
            raise ValueError("code maps are not whole numbers")
        if bool((self.sizes < 1).any()) or _outside(self.relit_from, len(self.sizes)):
            raise ValueError("a code map has no size")
        cells = self.sizes.prod(dim=1)
        relit_cells = int(cells[self.relit_from].sum())
        parts = (len(self.prototypes), len(self.relit), len(self.distances))
        if parts != (int(cells.sum()), relit_cells, len(self.sizes)):
            raise ValueError(f"code maps of {int(cells.sum())} cells, but parts of sizes {parts}")

    def check_for(self, prototypes: int) -> None:
        """Check that all indices are those of so many prototypes.

        Raises:
            ValueError: one is not.
        """
        if _outside(self.prototypes, prototypes) or _outside(self.relit, prototypes):
            raise ValueError(f"code maps of other prototypes than the {prototypes}")

    def classes(self, class_of: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        """Yield the map of class indices of each image, shape (height, width).

        Args:
            class_of: class index of each prototype, shape (prototypes,).
        """
        yield from _maps(self.prototypes, self.sizes, class_of)

    def relit_classes(self, class_of: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        """Yield the map of class indices of each relit image; see :meth:`classes`."""
        yield from _maps(self.relit, self.sizes[self.relit_from], class_of)

    @property
    def unusual_above(self) -> float | None:
        """Distance above which an image is considered unlike the training images.

        This is Tukey's upper fence of the training images' distances: the third quartile plus 1.5
        times the interquartile range. ``None`` if they do not differ, as those of copies of one
        image: then they do not show how much images differ.
        """
        first, third = np.quantile(self.distances.numpy(), [0.25, 0.75])
        if third - first <= ROUNDING:
            return None
        return float(third + 1.5 * (third - first))


def _outside(indices: torch.Tensor, count: int) -> bool:
    return bool(((indices < 0) | (indices >= count)).any())


def _maps(
    prototypes: torch.Tensor, sizes: torch.Tensor, class_of: NDArray[np.int64]
) -> Iterator[NDArray[np.int64]]:
    classes = class_of[prototypes.numpy()]
    start = 0
    for height, width in sizes.tolist():
        yield classes[start : start + height * width].reshape(height, width)
        start += height * width

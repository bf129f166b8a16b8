"""Prototypes: the codes of a data set gathered into many small groups, from which classes are made.

They are kept with the model, so that the number of classes can be changed without the images; and
so are maps of which prototype is where in some images, over which any classes can be laid to see
what they border on and which turn into each other when the light changes.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray


@dataclass(frozen=True)
class Prototypes:
    """Groups of codes, far more than there are classes, and a tree that merges them.

    Attributes:
        vectors: sum of the unit codes of each group, over the number of all codes, shape
            (prototypes, channels): it points to the middle of the group, and its length is the
            group's share times how alike its codes are.
        shares: of all codes, shape (prototypes,), summing to 1.
        merges: the two nodes of each merger, shape (prototypes - 1, 2), int64; prototypes are nodes
            0 to prototypes - 1, and merger t makes the node prototypes + t.
        heights: by how much each merger lowers the mean cosine of codes with the middle of their
            group, shape (prototypes - 1,), never falling.
    """

    vectors: torch.Tensor
    shares: torch.Tensor
    merges: torch.Tensor
    heights: torch.Tensor

    def __post_init__(self) -> None:
        """Check that the parts fit together.

        Raises:
            ValueError: they do not.
        """
        count = len(self.vectors)
        shapes = [tuple(part.shape) for part in (self.shares, self.merges, self.heights)]
        if not count or shapes != [(count,), (count - 1, 2), (count - 1,)]:
            raise ValueError(f"{count} prototypes, but other parts of shapes {shapes}")


@dataclass(frozen=True)
class CodeMaps:
    """Maps of prototype indices in some training images, some also under changed light.

    Attributes:
        sizes: height and width of each map, shape (maps, 2), int64.
        prototypes: all maps, row by row and one after the other, shape (cells,), int16.
        relit_from: for each relit map, the number of the map of the same image in its own light,
            shape (relit maps,), int64.
        relit: the relit maps like ``prototypes``, int16.
        distances: mean cosine distance of each map's codes from the nearest prototypes that other
            images made, from 0 to 2, shape (maps,), float32.
    """

    sizes: torch.Tensor
    prototypes: torch.Tensor
    relit_from: torch.Tensor
    relit: torch.Tensor
    distances: torch.Tensor

    def __post_init__(self) -> None:
        """Check that the parts fit together.

        Raises:
            ValueError: they do not.
        """
        cells = self.sizes.prod(dim=1)
        relit_cells = int(cells[self.relit_from].sum())
        parts = (len(self.prototypes), len(self.relit), len(self.distances))
        if parts != (int(cells.sum()), relit_cells, len(self.sizes)):
            raise ValueError(f"code maps of {int(cells.sum())} cells, but parts of sizes {parts}")

    def classes(self, class_of: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        """Yield the map of class indices of each image, shape (height, width).

        Args:
            class_of: class of each prototype, shape (prototypes,).
        """
        yield from _maps(self.prototypes, self.sizes, class_of)

    def relit_classes(self, class_of: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        """Yield the map of class indices of each relit image; see :meth:`classes`."""
        yield from _maps(self.relit, self.sizes[self.relit_from], class_of)

    @property
    def unusual_above(self) -> float:
        """Distance above which an image is unlike the training images.

        Tukey's upper fence of the training images' distances: a quarter lies above the third
        quartile, and what lies one and a half interquartile ranges beyond it is an outlier.
        """
        first, third = np.quantile(self.distances.numpy(), [0.25, 0.75])
        return float(third + 1.5 * (third - first))


def _maps(
    prototypes: torch.Tensor, sizes: torch.Tensor, class_of: NDArray[np.int64]
) -> Iterator[NDArray[np.int64]]:
    classes = class_of[prototypes.numpy()]
    start = 0
    for height, width in sizes.tolist():
        yield classes[start : start + height * width].reshape(height, width)
        start += height * width

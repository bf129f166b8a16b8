"""Prototypes: the codes of a data set gathered into many small groups, from which classes are made.

They are kept with the model, so that the number of classes can be changed without the images.
"""

from dataclasses import dataclass

import torch


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

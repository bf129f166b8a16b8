"""The merge tree of the current classes, drawn from root (left) to leaves (right)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from segdistill.clustering.code_clusters import prototype_classes
from segdistill.images.palette import css_colour
from segdistill.model.class_sets import ClassSets
from segdistill.model.description import SegmentClass
from segdistill.objective.merge_tree import cut_tree, merge_tree
from segdistill.objective.spherical_kmeans import group_sums

MAX_LEAVES = 40
WIDTH = 100.0
# Leaves room for the stem, and for mergers of almost zero cost.
DEEPEST, SHALLOWEST = 0.06, 0.97


@dataclass(frozen=True)
class Leaf:
    """A class, or several classes drawn as one leaf.

    Attributes:
        name: name of the largest class.
        colour: CSS colour of the largest class.
        others: number of other classes in the leaf.
        indices: indices of all classes in the leaf.
    """

    name: str
    colour: str
    others: int
    indices: tuple[int, ...]


@dataclass(frozen=True)
class TreeDrawing:
    """The layout of a tree.

    Attributes:
        leaves: leaves from top to bottom.
        lines: line segments (x1, y1, x2, y2), with x from 0 to :data:`WIDTH` and leaves 1 apart in
            y.
        mergers: description of each merger, in order.
        first: indices of the classes in the first merger.
    """

    leaves: list[Leaf]
    lines: list[tuple[float, float, float, float]]
    mergers: list[str]
    first: tuple[int, ...]


def tree_of_classes(sets: ClassSets) -> TreeDrawing | None:
    """Return the merge tree of the current classes; ``None`` if the model has no prototypes.

    The tree repeatedly merges the two classes with the lowest merge cost; see
    :func:`segdistill.objective.merge_tree.merge_tree`.
    """
    classes, prototypes = sets.current.classes, sets.prototypes
    if prototypes is None or len(classes) < 2:
        return None
    owners = torch.from_numpy(prototype_classes(prototypes, sets.current))
    sums = group_sums(prototypes.vectors, owners, len(classes))
    shares = group_sums(prototypes.shares[:, None], owners, len(classes))[:, 0]
    members = [(each.index,) for each in classes]
    if len(classes) > MAX_LEAVES:
        groups = cut_tree(merge_tree(sums)[0], MAX_LEAVES)
        sums = group_sums(sums, groups, MAX_LEAVES)
        members = [tuple((groups == group).nonzero()[:, 0].tolist()) for group in range(len(sums))]
    merges, heights = merge_tree(sums)
    leaves = [_leaf(each, classes, shares.numpy()) for each in members]
    return drawing_of(merges.numpy(), heights.numpy(), leaves)


def drawing_of(
    merges: NDArray[np.int64], heights: NDArray[np.float64], leaves: Sequence[Leaf]
) -> TreeDrawing:
    """Lay out a tree.

    Args:
        merges: the two nodes of each merger, shape (leaves - 1, 2); leaves are nodes 0 to
            leaves - 1, and merger t creates node leaves + t.
        heights: cost of each merger, shape (leaves - 1,), non-decreasing.
        leaves: leaves of the tree.

    Example:
        >>> leaves = [
        ...     Leaf(name, "#000000", 0, (i,)) for i, name in enumerate(["sky", "sea", "sun"])
        ... ]
        >>> drawn = drawing_of(np.array([[0, 2], [1, 3]]), np.array([0.01, 0.16]), leaves)
        >>> [leaf.name for leaf in drawn.leaves]
        ['sea', 'sky', 'sun']
        >>> drawn.mergers
        ['sky with sun', 'sea with sky, sun']
    """
    count = len(leaves)
    below: list[list[int]] = [[leaf] for leaf in range(count)]
    for one, other in merges.tolist():
        below.append([*below[one], *below[other]])
    order = below[-1]
    place = {leaf: row + 0.5 for row, leaf in enumerate(order)}
    x = [WIDTH] * count
    y = [place[leaf] for leaf in range(count)]
    lines, mergers = [], []
    highest = max(float(heights[-1]), 1e-12)
    for (one, other), height in zip(merges.tolist(), heights.tolist(), strict=True):
        # Costs span orders of magnitude; the square root spreads them out.
        depth = math.sqrt(max(height, 0.0) / highest)
        at = WIDTH * (SHALLOWEST - (SHALLOWEST - DEEPEST) * depth)
        lines += [(at, y[one], x[one], y[one]), (at, y[other], x[other], y[other])]
        lines.append((at, y[one], at, y[other]))
        x.append(at)
        y.append((y[one] + y[other]) / 2)
        mergers.append(" with ".join(_names(below[node], leaves) for node in (one, other)))
    lines.append((0.0, y[-1], x[-1], y[-1]))
    first = sorted(index for node in merges[0].tolist() for index in leaves[node].indices)
    return TreeDrawing([leaves[leaf] for leaf in order], lines, mergers, tuple(first))


def _names(nodes: Sequence[int], leaves: Sequence[Leaf]) -> str:
    return ", ".join(leaves[node].name for node in nodes)


def _leaf(
    members: tuple[int, ...], classes: Sequence[SegmentClass], shares: NDArray[np.float64]
) -> Leaf:
    largest = classes[max(members, key=lambda index: float(shares[index]))]
    return Leaf(largest.name, css_colour(largest.colour), len(members) - 1, members)

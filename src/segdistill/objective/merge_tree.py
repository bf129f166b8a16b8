"""A tree that merges prototypes, two at a time, until one is left.

The codes of a prototype sum up to a vector. Spherical k-means seeks the clusters with the greatest
total length of such sums, for that is the sum of the cosines of all codes with their centre. The
tree merges, as Ward (1963) does for squared distances, the two nodes whose merger shortens that
total the least: ``|a| + |b| - |a + b|``.
"""

import numpy as np
import torch
from numpy.typing import NDArray


def merge_tree(vectors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Merge prototypes into a tree.

    Args:
        vectors: sum of the unit codes of each prototype, in any unit, shape (prototypes, channels).

    Returns:
        The two nodes of each merger, shape (prototypes - 1, 2), int64: prototypes are nodes 0 to
        prototypes - 1, and merger t makes the node prototypes + t. And by how much each shortens
        the total length, shape (prototypes - 1,), never falling.

    Example:
        >>> merges, heights = merge_tree(torch.tensor([[2.0, 0.0], [0.0, 1.0], [3.0, 0.3]]))
        >>> merges.tolist(), heights.numpy().round(2).tolist()
        ([[0, 2], [1, 3]], [0.01, 0.84])
    """
    sums = vectors.double().numpy().copy()
    count = len(sums)
    lengths = np.linalg.norm(sums, axis=1)
    nodes = np.arange(count)
    alive = np.ones(count, bool)
    costs = np.stack([_costs(sums, lengths, row, alive) for row in range(count)])
    nearest = costs.argmin(axis=1)
    lowest = costs.min(axis=1)
    merges = np.empty((max(count - 1, 0), 2), np.int64)
    heights = np.empty(len(merges))
    for step in range(len(merges)):
        kept = int(lowest.argmin())
        gone = int(nearest[kept])
        merges[step] = sorted((nodes[kept], nodes[gone]))
        heights[step] = lowest[kept]
        nodes[kept] = count + step
        sums[kept] += sums[gone]
        lengths[kept] = np.linalg.norm(sums[kept])
        alive[gone] = False
        row = _costs(sums, lengths, kept, alive)
        costs[kept], costs[:, kept] = row, row
        costs[gone], costs[:, gone], lowest[gone] = np.inf, np.inf, np.inf
        # Whose nearest node has changed looks again among all; for the rest only one is new.
        lost = alive & ((nearest == kept) | (nearest == gone))
        lost[kept] = alive[kept]
        nearest[lost], lowest[lost] = costs[lost].argmin(axis=1), costs[lost].min(axis=1)
        closer = alive & (row < lowest)
        nearest[closer], lowest[closer] = kept, row[closer]
    return torch.from_numpy(merges), torch.from_numpy(np.maximum.accumulate(heights))


def cut_tree(merges: torch.Tensor, groups: int) -> torch.Tensor:
    """Cut a tree of :func:`merge_tree` into a number of groups.

    Returns:
        Group of each prototype, shape (prototypes,), int64; groups are numbered by their first
        prototype.

    Raises:
        ValueError: there are fewer prototypes than groups.

    Example:
        >>> cut_tree(torch.tensor([[0, 2], [1, 3]]), 2).tolist()
        [0, 1, 0]
    """
    count = len(merges) + 1
    if not 1 <= groups <= count:
        raise ValueError(f"{count} prototypes cannot make {groups} groups")
    owners = np.arange(count + len(merges))
    # From the last merger that is made to the first: what is above passes its owner down.
    for step in range(count - groups - 1, -1, -1):
        owners[merges[step].numpy()] = owners[count + step]
    _, first, group = np.unique(owners[:count], return_index=True, return_inverse=True)
    return torch.from_numpy(first.argsort().argsort()[group])


def _costs(
    sums: NDArray[np.float64], lengths: NDArray[np.float64], row: int, alive: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return what merging one node with each other one costs; infinity where that cannot be."""
    merged = lengths**2 + lengths[row] ** 2 + 2 * (sums @ sums[row])
    costs: NDArray[np.float64] = lengths + lengths[row] - np.sqrt(np.maximum(merged, 0))
    costs[~alive] = np.inf
    costs[row] = np.inf
    return costs.clip(min=0)

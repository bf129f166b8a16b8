"""Hierarchical clustering of prototypes: merge two at a time until one is left.

Each prototype is represented by the sum of its codes. Spherical k-means maximises the total length
of such sums over clusters, since it equals the sum of the cosine similarities between codes and
their centres. Each step merges the two nodes that decrease this total the least,
``|a| + |b| - |a + b|``, as Ward (1963) does for squared distances.
"""

import numpy as np
import torch
from numpy.typing import NDArray


def merge_tree(vectors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Merge prototypes into a tree.

    Args:
        vectors: sum of the unit codes of each prototype, up to a common factor, shape (prototypes,
            channels).

    Returns:
        Merges, the two nodes merged at each step, shape (prototypes - 1, 2), int64: prototypes are
        nodes 0 to prototypes - 1, and merge t creates node prototypes + t. Heights, the decrease in
        total length at each step, shape (prototypes - 1,), non-decreasing.

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
        # Nodes whose nearest node was merged search all nodes; the others only check the new one.
        lost = alive & ((nearest == kept) | (nearest == gone))
        lost[kept] = alive[kept]
        nearest[lost], lowest[lost] = costs[lost].argmin(axis=1), costs[lost].min(axis=1)
        closer = alive & (row < lowest)
        nearest[closer], lowest[closer] = kept, row[closer]
    return torch.from_numpy(merges), torch.from_numpy(np.maximum.accumulate(heights))


def cut_tree(merges: torch.Tensor, groups: int) -> torch.Tensor:
    """Cut a tree from :func:`merge_tree` into groups.

    Returns:
        Group of each prototype, shape (prototypes,), int64. Groups are numbered in the order of
        their first prototypes.

    Raises:
        ValueError: fewer prototypes than groups, or fewer than one group.

    Example:
        >>> cut_tree(torch.tensor([[0, 2], [1, 3]]), 2).tolist()
        [0, 1, 0]
    """
    count = len(merges) + 1
    if not 1 <= groups <= count:
        raise ValueError(f"{count} prototypes cannot make {groups} groups")
    owners = np.arange(count + len(merges))
    # From the last merge below the cut to the first: each node passes its owner to its children.
    for step in range(count - groups - 1, -1, -1):
        owners[merges[step].numpy()] = owners[count + step]
    _, first, group = np.unique(owners[:count], return_index=True, return_inverse=True)
    return torch.from_numpy(first.argsort().argsort()[group])


def _costs(
    sums: NDArray[np.float64], lengths: NDArray[np.float64], row: int, alive: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return the cost of merging a node with each other node; infinity if impossible."""
    merged = lengths**2 + lengths[row] ** 2 + 2 * (sums @ sums[row])
    costs: NDArray[np.float64] = lengths + lengths[row] - np.sqrt(np.maximum(merged, 0))
    costs[~alive] = np.inf
    costs[row] = np.inf
    return costs.clip(min=0)

"""Neighbour agreement: how often locations share a cluster with their nearest neighbours.

A score for clusters that needs no labels. The nearest neighbours of a location in the feature space
of a frozen backbone usually show the same thing, so clusters that separate them are likely wrong.
The score is corrected for chance, as in Cohen's kappa, so that a single cluster scores 0.
"""

import torch
import torch.nn.functional as F

ROWS_AT_ONCE = 1024


def nearest_in_other_images(
    features: torch.Tensor, images: torch.Tensor, count: int
) -> torch.Tensor:
    """Find the most similar locations in other images for each location.

    Args:
        features: non-zero vectors of any length, shape (locations, channels).
        images: image index of each location, shape (locations,), int64. If all locations are in
            the same image, neighbours are searched within it.
        count: number of neighbours per location; fewer are returned if some locations have fewer.

    Returns:
        Indices of shape (locations, count), int64, in descending order of cosine similarity.

    Raises:
        ValueError: fewer than two locations.

    Example:
        >>> features = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.2, 1.0]])
        >>> nearest_in_other_images(features, torch.tensor([0, 1, 0, 1]), 1).flatten().tolist()
        [1, 0, 3, 2]
    """
    locations = len(features)
    if locations < 2:
        raise ValueError("one location alone has no neighbours")
    one_image = bool((images == images[0]).all())
    image_of = torch.arange(locations) if one_image else images
    directions = F.normalize(features, dim=1)
    taken = min(count, locations - int(torch.bincount(image_of).max()))
    found = []
    for start in range(0, locations, ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        similarity = directions[rows] @ directions.mT  # (rows, locations)
        similarity.masked_fill_(image_of[rows, None] == image_of, -torch.inf)
        found.append(similarity.topk(taken, dim=1).indices)
    return torch.cat(found)


def neighbour_agreement(clusters: torch.Tensor, neighbours: torch.Tensor) -> float:
    """Return how often locations share a cluster with their neighbours, corrected for chance.

    Args:
        clusters: cluster of each location, shape (locations,), int64, from 0.
        neighbours: indices from :func:`nearest_in_other_images`, shape (locations, count).

    Returns:
        Agreement, at most 1; 0 on average for clusters that are independent of the neighbours, and
        for a single cluster.

    Example:
        >>> neighbours = torch.tensor([[1], [0], [3], [2]])
        >>> neighbour_agreement(torch.tensor([0, 0, 1, 1]), neighbours)
        1.0
    """
    shares = torch.bincount(clusters).double() / len(clusters)
    chance = float(shares.square().sum())
    if chance == 1:
        return 0.0
    same = float((clusters[neighbours] == clusters[:, None]).double().mean())
    return (same - chance) / (1 - chance)

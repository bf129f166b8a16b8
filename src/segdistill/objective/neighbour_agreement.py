"""How often a location shares its cluster with the locations whose features are most like its own.

A score for clusters that needs no labels. Features of a frozen backbone are good at telling, for a
location, the few others that show the same; clusters that part them are mistaken. Chance is taken
off, as in Cohen's kappa, so that one cluster for everything scores 0.
"""

import torch
import torch.nn.functional as F

ROWS_AT_ONCE = 1024


def nearest_in_other_images(
    features: torch.Tensor, images: torch.Tensor, count: int
) -> torch.Tensor:
    """Find, for each location, the locations of other images with the most similar features.

    Args:
        features: shape (locations, channels), of any length but zero.
        images: image of each location, shape (locations,), int64. If all locations are of one
            image, any other location counts.
        count: neighbours of each; fewer are given if not all have as many.

    Returns:
        Indices of shape (locations, count), int64, by falling cosine similarity.

    Raises:
        ValueError: there is only one location.

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
    """Return how often locations share their cluster with their neighbours, beyond chance.

    Args:
        clusters: cluster of each location, shape (locations,), int64, from 0.
        neighbours: indices of shape (locations, count), of :func:`nearest_in_other_images`.

    Returns:
        At most 1; 0 on average for clusters that have nothing to do with the neighbours, and for a
        single cluster.

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

"""Global and local hidden positives (HP, Seong et al., CVPR 2023).

A location is a hidden positive of an anchor if it is more similar to the anchor than anything in a
reference pool drawn from the data set. Similarity is that of backbone features (task-agnostic) or
that of codes (task-specific).
"""

import torch
import torch.nn.functional as F


def hidden_positives(vectors: torch.Tensor, pool: torch.Tensor) -> torch.Tensor:
    """Return which locations are hidden positives of which anchors.

    ``cos(v_i, v_j) > max_m cos(v_i, q_m)``; an anchor is not its own positive.

    Args:
        vectors: features or codes of all locations of a batch, shape (locations, channels).
        pool: those of the reference pool, shape (pool, channels).

    Returns:
        Bool tensor of shape (locations, locations), one row for each anchor.

    Example:
        >>> vectors = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]])
        >>> hidden_positives(vectors, torch.tensor([[1.0, 1.0]])).long().tolist()
        [[0, 1, 0], [1, 0, 0], [0, 0, 0]]
    """
    unit = F.normalize(vectors, dim=1)
    threshold = (unit @ F.normalize(pool, dim=1).mT).amax(dim=1, keepdim=True)
    return (unit @ unit.mT > threshold).fill_diagonal_(fill_value=False)


def positive_contrast(logits: torch.Tensor, positives: torch.Tensor) -> torch.Tensor:
    """Return the contrastive loss of anchors and their positives.

    For each anchor i that has positives, the mean over these of
    ``- log (exp(s_ij) / sum_a exp(s_ia))``, where a runs over all locations but i; and the mean of
    that over all these anchors; 0 if there are none.

    Args:
        logits: similarities divided by the temperature, shape (locations, locations).
        positives: from :func:`hidden_positives`, same shape.

    Example:
        >>> positives = torch.tensor([[False, True], [False, False]])
        >>> positive_contrast(torch.zeros(2, 2), positives).item()
        0.0
    """
    others = torch.eye(len(logits), dtype=torch.bool, device=logits.device)
    logs = logits.masked_fill(others, -torch.inf).log_softmax(dim=1).masked_fill(others, 0.0)
    counts = positives.sum(dim=1)
    each = -(logs * positives).sum(dim=1) / counts.clamp_min(1)
    return each.sum() / (counts > 0).sum().clamp_min(1)


def handed_over(step: int, steps: int) -> float:
    """Return the weight of task-specific positives, which rises from 0 to 1.

    Args:
        step: the step, counted from 0.
        steps: number of steps until it is 1.

    Example:
        >>> [handed_over(step, 100) for step in (0, 25, 200)]
        [0.0, 0.25, 1.0]
    """
    return min(step / steps, 1.0)


def local_weights(features: torch.Tensor, side: int) -> torch.Tensor:
    """Return the weights of each location's surroundings on a regular grid.

    The surroundings are the location and those adjacent to it, diagonally too, whose cosine
    similarity to it is at least the mean over its surroundings. Weights are in proportion to the
    similarity and sum to 1.

    Args:
        features: features on a grid in row-major order, shape (batch, side * side, channels).
        side: locations per side.

    Returns:
        Tensor of shape (batch, locations, locations), without gradient.

    Example:
        >>> features = torch.tensor([[[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]])
        >>> local_weights(features, 2)[0, 0].tolist()
        [0.3333333432674408, 0.3333333432674408, 0.0, 0.3333333432674408]
    """
    with torch.no_grad():
        unit = F.normalize(features, dim=2)
        alike = (unit @ unit.mT).clamp_min(0)
        near = adjacent(side, features.device)
        mean = (alike * near).sum(dim=2, keepdim=True) / near.sum(dim=1)[:, None]
        kept = (alike * near).where(alike >= mean, 0.0)
        return kept / kept.sum(dim=2, keepdim=True).clamp_min(1e-12)


def adjacent(side: int, device: torch.device | None = None) -> torch.Tensor:
    """Return which locations of a grid touch each other, (side ** 2, side ** 2), bool.

    Example:
        >>> adjacent(3).sum(dim=1).tolist()
        [4, 6, 4, 6, 9, 6, 4, 6, 4]
    """
    number = torch.arange(side * side, device=device)
    rows, columns = number // side, number % side
    beside = (rows[:, None] - rows).abs() <= 1
    return beside & ((columns[:, None] - columns).abs() <= 1)

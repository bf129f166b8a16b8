"""Global and local hidden positives (HP, Seong et al., CVPR 2023).

A location is a hidden positive of an anchor if it is more similar to the anchor than anything in a
reference pool drawn from the data set. Similarity is that of backbone features (task-agnostic) or
that of codes (task-specific). Docstrings name the parts of the authors' code
(github.com/hynnsk/HP) that compute the same.
"""

import torch
import torch.nn.functional as F


def hidden_positives(vectors: torch.Tensor, pool: torch.Tensor) -> torch.Tensor:
    """Return which locations are hidden positives of which anchors.

    ``cos(v_i, v_j) > min(t_i, t_j)`` with ``t_i = max_m cos(v_i, q_m)``: the positive of an anchor
    has the anchor as a positive too. An anchor is not its own positive. `mask_one` and
    `mask_ema_one` in `SupConLoss` of the released code.

    Args:
        vectors: features or codes of all locations of a batch, shape (locations, channels).
        pool: those of the reference pool, shape (pool, channels).

    Returns:
        Bool tensor of shape (locations, locations), symmetric, one row for each anchor.

    Example:
        >>> vectors = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]])
        >>> hidden_positives(vectors, torch.tensor([[1.0, 1.0]])).long().tolist()
        [[0, 1, 0], [1, 0, 0], [0, 0, 0]]
    """
    unit = F.normalize(vectors, dim=1)
    threshold = (unit @ F.normalize(pool, dim=1).mT).amax(dim=1)
    nearer = torch.minimum(threshold[:, None], threshold)
    return (unit @ unit.mT > nearer).fill_diagonal_(fill_value=False)


def weighed_positives(agnostic: torch.Tensor, specific: torch.Tensor, share: float) -> torch.Tensor:
    """Return the weights of pairs: 1 for task-agnostic, and a share for task-specific positives.

    A pair that is both has the sum. Anchors without task-agnostic positives have none at all.
    `weighted_mask` in `SupConLoss` of the released code.

    Args:
        agnostic: from :func:`hidden_positives`, shape (locations, locations).
        specific: likewise.
        share: weight of task-specific positives, in 0..1.

    Example:
        >>> agnostic = torch.tensor([[False, True], [False, False]])
        >>> weighed_positives(agnostic, agnostic | agnostic.mT, 0.5).tolist()
        [[0.0, 1.5], [0.0, 0.0]]
    """
    return (agnostic + share * specific) * agnostic.any(dim=1, keepdim=True)


def positive_contrast(logits: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Return the contrastive loss of anchors and their positives.

    The mean over pairs of an anchor i and a positive j of ``- log (exp(s_ij) / sum_a exp(s_ia))``,
    weighted by the pair, where a runs over all locations but i; 0 without pairs. This is the loss
    of `SupConLoss` of the released code with `reweighting`, which weighs anchors by the number of
    their positives, except that it is not taken image by image.

    Args:
        logits: similarities divided by the temperature, shape (locations, locations).
        weights: weights of pairs, at least 0, and 0 on the diagonal, same shape.

    Example:
        >>> weights = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
        >>> round(positive_contrast(torch.zeros(3, 3), weights).item(), 4)  # log(2)
        0.6931
    """
    others = torch.eye(len(logits), dtype=torch.bool, device=logits.device)
    logs = logits.masked_fill(others, -torch.inf).log_softmax(dim=1).masked_fill(others, 0.0)
    total = weights.sum()
    return -(logs * weights).sum() / total.where(total > 0, 1.0)


def handed_over(step: int, steps: int) -> float:
    """Return the weight of task-specific positives, which rises from 0 to 1.

    `lmbd` in `run.py` of the released code, without its steps of warm-up.

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
    similarity and sum to 1. They stand for the attention in `DinoFeaturizer` of the released code.

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

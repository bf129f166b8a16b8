"""STEGO's cluster probe: cluster centres learned by gradient descent alongside the head."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F

UNIT_TOLERANCE = 1e-5


def unit_vectors(vectors: torch.Tensor) -> torch.Tensor:
    """Return vectors scaled to unit length.

    Those that have it already are returned unchanged, so that saving and loading unit vectors
    keeps every bit of them.

    Args:
        vectors: shape (vectors, channels).

    Example:
        >>> unit_vectors(torch.tensor([[3.0, 4.0], [1.0, 0.0]])).tolist()
        [[0.6000000238418579, 0.800000011920929], [1.0, 0.0]]
    """
    lengths = vectors.norm(dim=1, keepdim=True)
    is_unit = (lengths - 1).abs() < UNIT_TOLERANCE
    return torch.where(is_unit, vectors, F.normalize(vectors, dim=1))


def cluster_similarity(codes: torch.Tensor, centres: torch.Tensor) -> torch.Tensor:
    """Return the cosine similarity between codes and cluster centres.

    Args:
        codes: codes of shape (batch, channels, height, width).
        centres: vectors of any length, shape (clusters, channels).

    Returns:
        Tensor of shape (batch, clusters, height, width), in -1..1.
    """
    return torch.einsum(
        "bchw,nc->bnhw", F.normalize(codes, dim=1), F.normalize(centres, dim=1)
    )  # (b, c, h, w) -> (b, n, h, w)


def class_similarity(similarity: torch.Tensor, members: Sequence[Sequence[int]]) -> torch.Tensor:
    """Return the similarity between codes and classes: the maximum over the clusters of each class.

    Args:
        similarity: similarity to clusters, shape (batch, clusters, height, width).
        members: cluster indices of each class, at least one per class.

    Returns:
        Tensor of shape (batch, classes, height, width).

    Example:
        >>> similarity = torch.tensor([0.1, 0.9, 0.3]).view(1, 3, 1, 1)
        >>> class_similarity(similarity, [(0, 2), (1,)]).flatten().tolist()
        [0.30000001192092896, 0.8999999761581421]
    """
    if list(members) == [(index,) for index in range(similarity.shape[1])]:
        return similarity
    return torch.stack([similarity[:, list(own)].amax(dim=1) for own in members], dim=1)


def cluster_loss(similarity: torch.Tensor) -> torch.Tensor:
    """Return the loss that moves centres towards codes: minus the mean of the largest similarities.

    Args:
        similarity: shape (batch, clusters, height, width), in -1..1.

    Example:
        >>> round(cluster_loss(torch.tensor([0.9, 0.1]).view(1, 2, 1, 1)).item(), 4)
        -0.9
    """
    nearest = similarity.argmax(dim=1)
    assignment = F.one_hot(nearest, similarity.shape[1]).movedim(-1, 1).to(similarity)
    return -(assignment * similarity).sum(dim=1).mean()


def cluster_log_probabilities(similarity: torch.Tensor, *, alpha: float = 2.0) -> torch.Tensor:
    """Return the log-probability of each cluster, ``log_softmax(alpha * s)``.

    Args:
        similarity: shape (batch, clusters, height, width), in -1..1.
        alpha: sharpness; STEGO predicts with 2.

    Returns:
        Tensor of the shape of ``similarity``.
    """
    return (similarity * alpha).log_softmax(dim=1)

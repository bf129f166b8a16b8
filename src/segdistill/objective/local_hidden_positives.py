"""Local hidden positives: a location's code averaged with those of locations that belong with it.

Seong et al., Leveraging hidden positives for unsupervised semantic segmentation (CVPR 2023), find
these by attention; DepthG (Sick et al., CVPR 2024) by nearness in space. The averaged codes go
through a second head, and that through the same losses as the codes themselves.

Weights have shape (batch, locations, locations), and attention between locations, without class or
register tokens, (batch, heads, locations, locations).
"""

import torch

from segdistill.objective.depth_correlation import pairwise_distances, typical_distance

REACH = 0.1
"""Distance at which locations still belong together, in typical distances of the image."""


def near_weights(points: torch.Tensor) -> torch.Tensor:
    """Weigh locations by how near they lie in space.

    ``w[p, q] = exp(- |X[p] - X[q]|^2 / (2 r^2))``, brought to a sum of 1 over q, where r is
    :data:`REACH` times the image's typical distance
    (:func:`~segdistill.objective.depth_correlation.typical_distance`). A location of unknown (not
    finite) position counts for itself alone.

    Args:
        points: locations in space, shape (batch, locations, 3).

    Example:
        >>> near_weights(torch.tensor([[[0.0, 0, 1], [0, 0, 1], [5, 0, 1]]]))[0].round(decimals=2)
        tensor([[0.5000, 0.5000, 0.0000],
                [0.5000, 0.5000, 0.0000],
                [0.0000, 0.0000, 1.0000]])
    """
    with torch.no_grad():
        apart = pairwise_distances(points)
        scaled = apart / (REACH * typical_distance(apart))
        kernel = torch.exp(-scaled.square() / 2).nan_to_num(nan=0.0)
        kernel.diagonal(dim1=1, dim2=2).fill_(1.0)
        return kernel / kernel.sum(dim=2, keepdim=True)


def attention_weights(attention: torch.Tensor) -> torch.Tensor:
    """Weigh locations by attention, where it is above the location's mean; rows sum to 1.

    Example:
        >>> attention_weights(torch.tensor([[[[0.6, 0.2, 0.1]] * 3]]))[0, 0]
        tensor([1., 0., 0.])
    """
    with torch.no_grad():
        mean = attention.mean(dim=1)  # (batch, heads, p, q) -> (batch, p, q)
        # "Not below", so that even attention keeps every location.
        kept = mean.where(mean >= mean.mean(dim=2, keepdim=True), 0.0)
        return kept / kept.sum(dim=2, keepdim=True)


def released_attention_weights(attention: torch.Tensor) -> torch.Tensor:
    """Weigh locations by attention as DepthG's released code does.

    Each row of the mean attention is brought to 0..1, its largest entry then set to 0, and the rest
    divided by the number of locations: weights don't sum to 1, so codes shrink.

    Example:
        >>> released_attention_weights(torch.tensor([[[[0.1, 0.2, 0.3]] * 3]]))[0, 0] * 3
        tensor([0.0000, 0.5000, 0.0000])
    """
    with torch.no_grad():
        mean = attention.mean(dim=1)
        lowest, highest = mean.amin(dim=2, keepdim=True), mean.amax(dim=2, keepdim=True)
        spread = highest - lowest
        scaled = (mean - lowest) / spread.where(spread > 0, 1.0)
        return scaled.where(mean < highest, 0.0) / attention.shape[3]


def released_near_weights(points: torch.Tensor) -> torch.Tensor:
    """Weigh locations by nearness in space as DepthG's released code does, as far as is known.

    Its outputs show each location counting for itself alone, divided by the number of all: weights
    don't sum to 1, so codes shrink.

    Args:
        points: locations in space, shape (batch, locations, 3).

    Example:
        >>> released_near_weights(torch.rand(1, 4, 3))[0, 0]
        tensor([0.2500, 0.0000, 0.0000, 0.0000])
    """
    with torch.no_grad():
        return (pairwise_distances(points) == 0).to(points.dtype) / points.shape[1]

"""Local hidden positives: codes averaged over related locations of the same image.

Seong et al., "Leveraging Hidden Positives for Unsupervised Semantic Segmentation" (CVPR 2023),
select these locations by attention; DepthG (Sick et al., CVPR 2024) by distance in space. The
averaged codes pass through a second head, whose output is trained with the same losses.

Weights have shape (batch, locations, locations). Attention has shape (batch, heads, locations,
locations), without class and register tokens.
"""

import torch

from segdistill.objective.depth_correlation import pairwise_distances, typical_distance

REACH = 0.1
"""Standard deviation of the Gaussian kernel, relative to the typical distance of the image."""


def near_weights(points: torch.Tensor) -> torch.Tensor:
    """Return weights that decrease with distance in space.

    ``w[p, q] = exp(- |X[p] - X[q]|^2 / (2 r^2))``, normalised to sum to 1 over q, where r is
    :data:`REACH` times the typical distance of the image
    (:func:`~segdistill.objective.depth_correlation.typical_distance`). A location whose position is
    unknown (not finite) is averaged only with itself.

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
    """Return attention weights: values below the mean of their row are set to 0; rows sum to 1.

    Example:
        >>> attention_weights(torch.tensor([[[[0.6, 0.2, 0.1]] * 3]]))[0, 0]
        tensor([1., 0., 0.])
    """
    with torch.no_grad():
        mean = attention.mean(dim=1)  # (batch, heads, p, q) -> (batch, p, q)
        # >= rather than >, so that uniform attention keeps all locations.
        kept = mean.where(mean >= mean.mean(dim=2, keepdim=True), 0.0)
        return kept / kept.sum(dim=2, keepdim=True)


def released_attention_weights(attention: torch.Tensor) -> torch.Tensor:
    """Return attention weights as computed by DepthG's released code.

    Each row of the mean attention is scaled to 0..1, its largest entry is set to 0, and the result
    is divided by the number of locations. Weights do not sum to 1, so codes shrink.

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
    """Return distance weights as computed by DepthG's released code, inferred from its outputs.

    Each location has weight only for itself, 1 / locations. Weights do not sum to 1, so codes
    shrink.

    Args:
        points: locations in space, shape (batch, locations, 3).

    Example:
        >>> released_near_weights(torch.rand(1, 4, 3))[0, 0]
        tensor([0.2500, 0.0000, 0.0000, 0.0000])
    """
    with torch.no_grad():
        return (pairwise_distances(points) == 0).to(points.dtype) / points.shape[1]

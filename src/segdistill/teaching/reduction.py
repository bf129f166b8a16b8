"""Reduction of prepared features to the leading principal components, for speed and memory."""

from dataclasses import dataclass

import torch

from segdistill.features.preparation import principal_components

CHANNELS = 128


@dataclass(frozen=True)
class Reduction:
    """A fixed linear map from prepared to reduced features.

    Attributes:
        rotation: shape (channels, reduced channels).
        offset: subtracted after the rotation, shape (reduced channels,).
    """

    rotation: torch.Tensor
    offset: torch.Tensor

    def __call__(self, features: torch.Tensor) -> torch.Tensor:
        """Return reduced features: (cells, channels) to (cells, reduced channels)."""
        return torch.addmm(-self.offset, features, self.rotation)


def fit_reduction(features: torch.Tensor, channels: int = CHANNELS) -> Reduction:
    """Fit a reduction to prepared features; the reduced ones have mean 0 and mean squared norm 1.

    Args:
        features: sampled cells, shape (cells, channels).
        channels: the most channels to keep.

    Example:
        >>> features = torch.randn(500, 20)
        >>> reduced = fit_reduction(features, 4)(features)
        >>> round(reduced.square().sum(dim=1).mean().item(), 3)
        1.0
    """
    centre = features.mean(dim=0)
    kept = min(channels, features.shape[1])
    rotation = principal_components(features - centre, kept)
    length = ((features - centre) @ rotation).square().sum(dim=1).mean().sqrt()
    rotation = rotation / length.clamp_min(1e-6)
    return Reduction(rotation, centre @ rotation)

"""Making raw feature maps comparable: standardise, normalise by group, reduce.

Raw activations differ in scale from channel to channel and from stage to stage; cosine
similarities of such features see only the loudest channels.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

STANDARD_DEVIATION_FLOOR = 1e-4
"""Channels that change less count as constant."""


class FeaturePreparation(nn.Module):
    """A fixed map from raw to prepared features, fitted once to a data set.

    Steps: standardise each channel; bring each group of channels to unit length at each location;
    subtract the mean; rotate onto the leading principal components.

    Args:
        groups: sizes of the groups of channels.
        components: channels kept by the last step, or ``None`` to skip the last two steps.

    Shapes: (..., sum(groups)) to (..., channels): the channels are the last dimension.

    Example:
        >>> locations = torch.randn(500, 6) * 10 + 3
        >>> preparation = fit_preparation(locations, (2, 4), standardise=True, components=3)
        >>> preparation(locations).shape
        torch.Size([500, 3])
    """

    mean: torch.Tensor
    scale: torch.Tensor
    centre: torch.Tensor
    rotation: torch.Tensor

    def __init__(self, groups: Sequence[int], components: int | None = None) -> None:
        super().__init__()
        self.groups = tuple(groups)
        total = sum(self.groups)
        self.components = None if components is None else min(components, total)
        self.register_buffer("mean", torch.zeros(total))
        self.register_buffer("scale", torch.ones(total))
        if self.components is not None:
            self.register_buffer("centre", torch.zeros(total))
            self.register_buffer("rotation", torch.eye(total, self.components))

    @property
    def channels(self) -> int:
        """Number of channels of prepared features."""
        return sum(self.groups) if self.components is None else self.components

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return prepared features; see the class."""
        features = self.normalise(features)
        if self.components is None:
            return features
        locations = features.flatten(0, -2)  # (..., sum(groups)) -> (locations, sum(groups))
        rotated = torch.addmm(-(self.centre @ self.rotation), locations, self.rotation)
        return rotated.view(*features.shape[:-1], self.components)

    def normalise(self, features: torch.Tensor) -> torch.Tensor:
        """Return features after the first two steps, in the shape given."""
        # Equal to (features - mean) * scale, with one pass over what is large in place of two.
        features = torch.addcmul(-self.mean * self.scale, features, self.scale)
        if len(self.groups) == 1:
            return features
        parts = torch.split(features, list(self.groups), dim=-1)
        return torch.cat([F.normalize(part, dim=-1) for part in parts], dim=-1)


def fit_preparation(
    locations: torch.Tensor, groups: Sequence[int], *, standardise: bool, components: int | None
) -> FeaturePreparation:
    """Fit a :class:`FeaturePreparation` to features of locations spread over the data set.

    Args:
        locations: raw features, shape (locations, sum(groups)).
        groups: sizes of the groups of channels.
        standardise: whether channels are brought to mean 0 and standard deviation 1.
        components: principal components kept, or ``None`` for the features unchanged.

    Returns:
        The fitted map.
    """
    preparation = FeaturePreparation(groups, components)
    if standardise:
        preparation.mean.copy_(locations.mean(dim=0))
        deviation = locations.std(dim=0, correction=0)
        # A channel that never changes tells nothing, and would be blown up if it once did.
        changes = deviation > STANDARD_DEVIATION_FLOOR
        preparation.scale.copy_(torch.where(changes, 1 / deviation, 0.0))
    if preparation.components is not None:
        normalised = preparation.normalise(locations)
        preparation.centre.copy_(normalised.mean(dim=0))
        preparation.rotation.copy_(
            principal_components(normalised - preparation.centre, preparation.components)
        )
    return preparation


def principal_components(centred: torch.Tensor, count: int) -> torch.Tensor:
    """Return the leading principal directions as columns.

    Args:
        centred: shape (locations, channels), of mean zero.
        count: number of directions.

    Returns:
        Tensor of shape (channels, count) with orthonormal columns; each column's largest entry is
        positive, so that the result does not depend on the machine.
    """
    covariance = centred.double().mT @ centred.double()
    _, vectors = torch.linalg.eigh(covariance)  # ascending
    leading = vectors[:, -count:].flip(dims=(1,))
    largest = leading.abs().argmax(dim=0)
    signs = leading[largest, torch.arange(count)].sign()
    oriented: torch.Tensor = (leading * signs).to(centred.dtype)
    return oriented

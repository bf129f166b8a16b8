"""Feature preparation: standardise, normalise channel groups, reduce with PCA.

The scale of raw activations differs between channels and stages, and the largest channels would
dominate cosine similarities.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

STANDARD_DEVIATION_FLOOR = 1e-4
"""Channels with a smaller standard deviation count as constant."""


FLOAT16_MAX = torch.finfo(torch.float16).max


def storage_format(maps: torch.Tensor) -> torch.Tensor:
    """Convert a backbone's maps (batch, channels, h, w) to stored ones (batch, h, w, channels).

    Stored features are float16. Masks are made of features that were rounded in this way, stored or
    not, so that they do not depend on what the store holds.

    Example:
        >>> storage_format(torch.full((1, 3, 2, 2), 1e6))[0, 0, 0]
        tensor([65504., 65504., 65504.], dtype=torch.float16)
    """
    half = maps.permute(0, 2, 3, 1).half()
    # Some transformers have a few huge activations that overflow float16.
    return half.clamp(-FLOAT16_MAX, FLOAT16_MAX).contiguous()


class FeaturePreparation(nn.Module):
    """Fixed transform from raw to prepared features, fitted once to a data set.

    Steps: standardise each channel; normalise each group of channels to unit length at each
    location; subtract the mean; project onto the leading principal components.

    Args:
        groups: sizes of the groups of channels.
        components: number of principal components, or ``None`` to skip the last two steps.

    Shapes: (..., sum(groups)) to (..., channels).

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
        """Number of channels of the prepared features."""
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
        """Return features after the first two steps, in the same shape."""
        # Equal to (features - mean) * scale, in one pass over the features.
        features = torch.addcmul(-self.mean * self.scale, features, self.scale)
        if len(self.groups) == 1:
            return features
        parts = torch.split(features, list(self.groups), dim=-1)
        return torch.cat([F.normalize(part, dim=-1) for part in parts], dim=-1)


def fit_preparation(
    locations: torch.Tensor, groups: Sequence[int], *, standardise: bool, components: int | None
) -> FeaturePreparation:
    """Fit a :class:`FeaturePreparation` to raw features, shape (locations, sum(groups)).

    Args:
        locations: features sampled from the data set.
        groups: sizes of the groups of channels.
        standardise: whether to standardise channels to mean 0 and standard deviation 1.
        components: number of principal components, or ``None`` to skip PCA.
    """
    preparation = FeaturePreparation(groups, components)
    if standardise:
        preparation.mean.copy_(locations.mean(dim=0))
        deviation = locations.std(dim=0, correction=0)
        # Constant channels carry no information, and scaling would amplify rare outliers.
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
    """Return the leading principal components of centred features, (channels, count).

    Columns are orthonormal. The largest entry of each is positive, so that signs do not depend on
    the machine.
    """
    covariance = centred.double().mT @ centred.double()
    _, vectors = torch.linalg.eigh(covariance)  # ascending
    leading = vectors[:, -count:].flip(dims=(1,))
    largest = leading.abs().argmax(dim=0)
    signs = leading[largest, torch.arange(count)].sign()
    oriented: torch.Tensor = (leading * signs).to(centred.dtype)
    return oriented

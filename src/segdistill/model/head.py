"""The segmentation head: feature map to code."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import nn


class SegmentationHead(nn.Module):
    """A linear branch and, beside it, a branch with one hidden layer (STEGO, section 3.2).

    ``code = W1 drop(f) + W3 relu(W2 drop(f))``, with channels dropped anew for each branch. All
    layers act on single places, so the head takes feature maps and lists of places alike; the
    channels are the last dimension.

    Args:
        features: channels of the features.
        channels: channels of the code.
        kind: ``linear`` leaves the second branch out.
        dropout: share of channels dropped while training, whole channels of an image at a time.

    Shapes: (batch, ..., features) to (batch, ..., channels).

    Example:
        >>> SegmentationHead(48, 10)(torch.rand(2, 4, 6, 48)).shape
        torch.Size([2, 4, 6, 10])
    """

    def __init__(
        self,
        features: int,
        channels: int,
        *,
        kind: Literal["nonlinear", "linear"] = "nonlinear",
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.dropout = dropout
        self.linear = nn.Linear(features, channels)
        self.nonlinear = (
            nn.Sequential(nn.Linear(features, features), nn.ReLU(), nn.Linear(features, channels))
            if kind == "nonlinear"
            else None
        )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return codes; see the class."""
        codes = self.linear(self._drop_channels(features))
        if self.nonlinear is not None:
            codes = codes + self.nonlinear(self._drop_channels(features))
        return codes  # type: ignore[no-any-return]

    def _drop_channels(self, features: torch.Tensor) -> torch.Tensor:
        return drop_channels(features, self.dropout) if self.training else features


def drop_channels(features: torch.Tensor, share: float) -> torch.Tensor:
    """Set whole channels of an image to zero, and enlarge the others to make up for it.

    Neighbouring places are so alike that dropping single values would leave what they say intact.

    Args:
        features: shape (batch, ..., channels).
        share: of the channels dropped, from 0 to below 1.

    Example:
        >>> dropped = drop_channels(torch.ones(1, 5, 1000), 0.5)
        >>> sorted(set(dropped.flatten().tolist()))
        [0.0, 2.0]
    """
    if share == 0:
        return features
    shape = (features.shape[0], *([1] * (features.dim() - 2)), features.shape[-1])
    return features * F.dropout(features.new_ones(shape), share)

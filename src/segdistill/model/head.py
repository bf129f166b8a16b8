"""The segmentation head: feature map to code."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import nn

from segdistill.objective.fused_interpolation import interpolate_cells, interpolated_hidden_layer


class SegmentationHead(nn.Module):
    """A linear branch and, beside it, a branch with one hidden layer (STEGO, section 3.2).

    ``code = W1 drop(f) + W3 relu(W2 drop(f))``, with channels dropped again for each branch. All
    layers act on single locations, so the head takes feature maps and lists of locations alike; the
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
        codes = self.linear(drop_channels(features, self._dropped_share))
        if self.nonlinear is not None:
            codes = codes + self.nonlinear(drop_channels(features, self._dropped_share))
        return codes  # type: ignore[no-any-return]

    def at_locations(
        self, cells: torch.Tensor, nearest: torch.Tensor, weights: torch.Tensor
    ) -> torch.Tensor:
        """Return codes at locations between cells: ``interpolate(head(cells))``, for less.

        Interpolation changes locations with all that is linear, so the cells, of which there are
        several to a place, go through the hidden layer alone.

        Args:
            cells: features, shape (batch, cells, features); no gradient flows into them.
            nearest: the cells around each location, shape (batch, locations, 4), int64.
            weights: of those cells, which sum to 1, shape (batch, locations, 4).

        Returns:
            Tensor of shape (batch, locations, channels).
        """
        locations = interpolate_cells(cells, nearest, weights)  # (b, cells, f) -> (b, locations, f)
        codes = self.linear(drop_channels(locations, self._dropped_share))
        if self.nonlinear is not None:
            first, _, last = self.nonlinear
            weight, bias = first.parameters()
            kept = kept_channels(cells, self._dropped_share)
            hidden = interpolated_hidden_layer(cells, kept, weight, bias, nearest, weights)
            codes = codes + last(hidden)
        return codes  # type: ignore[no-any-return]

    @property
    def _dropped_share(self) -> float:
        return self.dropout if self.training else 0.0


def drop_channels(features: torch.Tensor, share: float) -> torch.Tensor:
    """Set a share of an image's channels to zero, and enlarge the others to make up for it.

    Neighbouring locations are so alike that dropping single values of features (batch, ...,
    channels) would leave what they say intact.

    Example:
        >>> dropped = drop_channels(torch.ones(1, 5, 1000), 0.5)
        >>> sorted(set(dropped.flatten().tolist()))
        [0.0, 2.0]
    """
    kept = kept_channels(features, share)
    return features if kept is None else features * kept


def kept_channels(features: torch.Tensor, share: float) -> torch.Tensor | None:
    """Draw what :func:`drop_channels` multiplies by; ``None`` where nothing is dropped.

    Returns:
        Tensor of shape (batch, 1, ..., channels).
    """
    if share == 0:
        return None
    shape = (features.shape[0], *([1] * (features.dim() - 2)), features.shape[-1])
    return F.dropout(features.new_ones(shape), share)

"""The segmentation head, which maps features to codes."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import nn

from segdistill.objective.fused_interpolation import interpolate_cells, interpolated_hidden_layer


class SegmentationHead(nn.Module):
    """Sum of a linear branch and a branch with one hidden layer (STEGO, section 3.2).

    ``code = W1 drop(f) + W3 relu(W2 drop(f))``, with independent dropout for each branch. All
    layers act on single locations, so the head accepts both feature maps and lists of locations;
    channels are the last dimension.

    Args:
        features: number of feature channels.
        channels: number of code channels.
        kind: ``linear`` omits the second branch.
        dropout: share of channels dropped in training; a channel is dropped for the whole image.

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

    def forward(
        self, features: torch.Tensor, *, matrix_type: torch.dtype | None = None
    ) -> torch.Tensor:
        """Return the codes; see the class for shapes.

        Args:
            features: features of a map or a list of locations.
            matrix_type: the type of matrix products, if not that of the features; codes always have
                the features' type.
        """
        codes = _layer(self.linear, drop_channels(features, self._dropped_share), matrix_type).to(
            features.dtype
        )
        if self.nonlinear is not None:
            first, _, last = self.nonlinear
            dropped = drop_channels(features, self._dropped_share)
            hidden = _layer(first, dropped, matrix_type).relu()
            codes = codes + _layer(last, hidden, matrix_type).to(features.dtype)
        return codes

    def at_locations(
        self,
        cells: torch.Tensor,
        nearest: torch.Tensor,
        weights: torch.Tensor,
        *,
        matrix_type: torch.dtype | None = None,
        threads: int = 1,
    ) -> torch.Tensor:
        """Return codes at locations between cells: a cheaper ``interpolate(head(cells))``.

        Interpolation commutes with linear maps, so only the hidden layer is evaluated at the
        cells, of which there are several per location.

        Args:
            cells: features of shape (batch, cells, features); no gradient flows into them.
            nearest: indices of the cells around each location, shape (batch, locations, 4), int64.
            weights: weights of those cells, summing to 1, shape (batch, locations, 4).
            matrix_type: as for :meth:`forward`.
            threads: number of threads that compute portions of the batch on a CPU.

        Returns:
            Tensor of shape (batch, locations, channels).
        """
        locations = interpolate_cells(cells, nearest, weights)  # (b, cells, f) -> (b, locations, f)
        codes = _layer(self.linear, drop_channels(locations, self._dropped_share), matrix_type).to(
            cells.dtype
        )
        if self.nonlinear is not None:
            first, _, last = self.nonlinear
            weight, bias = first.parameters()
            kept = kept_channels(cells, self._dropped_share)
            hidden = interpolated_hidden_layer(
                cells,
                kept,
                weight,
                bias,
                nearest,
                weights,
                matrix_type=matrix_type,
                threads=threads,
            )
            codes = codes + _layer(last, hidden, matrix_type).to(cells.dtype)
        return codes

    @property
    def _dropped_share(self) -> float:
        return self.dropout if self.training else 0.0


def _layer(layer: nn.Module, values: torch.Tensor, matrix_type: torch.dtype | None) -> torch.Tensor:
    """Return a linear layer's output; with a type, in that type."""
    weight, bias = layer.parameters()
    if matrix_type is None:
        return F.linear(values, weight, bias)
    return F.linear(values.to(matrix_type), weight.to(matrix_type), bias.to(matrix_type))


def drop_channels(features: torch.Tensor, share: float) -> torch.Tensor:
    """Set a share of each image's channels to zero and scale up the others to compensate.

    Features have shape (batch, ..., channels). Neighbouring locations are so similar that dropping
    single values would remove little information.

    Example:
        >>> dropped = drop_channels(torch.ones(1, 5, 1000), 0.5)
        >>> sorted(set(dropped.flatten().tolist()))
        [0.0, 2.0]
    """
    kept = kept_channels(features, share)
    return features if kept is None else features * kept


def kept_channels(features: torch.Tensor, share: float) -> torch.Tensor | None:
    """Draw the factors applied by :func:`drop_channels`; ``None`` if nothing is dropped.

    Returns:
        Tensor of shape (batch, 1, ..., channels).
    """
    if share == 0:
        return None
    shape = (features.shape[0], *([1] * (features.dim() - 2)), features.shape[-1])
    return F.dropout(features.new_ones(shape), share)

"""Bilinear interpolation between cells, fused with a hidden layer to avoid large temporaries.

Each location needs four cells, and locations share cells. Interpolation is therefore a product
with a sparse matrix with four weights per row, and its gradient a product with the transpose.
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch.autograd.function import once_differentiable

from segdistill.objective.portions import in_portions


def interpolate_cells(
    values: torch.Tensor, nearest: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    """Interpolate values from cells to locations.

    Args:
        values: values at the cells, shape (batch, cells, channels).
        nearest: indices of the cells around each location, shape (batch, locations, 4), int64.
        weights: weights of those cells, shape (batch, locations, 4).

    Returns:
        Tensor of shape (batch, locations, channels).

    Example:
        >>> cells = torch.tensor([[[1.0], [3.0]]])
        >>> nearest, weights = torch.tensor([[[0, 1, 0, 1]]]), torch.full((1, 1, 4), 0.25)
        >>> interpolate_cells(cells, nearest, weights).item()
        2.0
    """
    if values.device.type == "mps":  # has no embedding_bag before torch 2.10
        return torch.einsum("bpnc,bpn->bpc", gather_cells(values, nearest), weights)
    weighed = F.embedding_bag(
        _rows(nearest, values.shape[1]).flatten(0, 1),  # (b, locations, 4) -> (b * locations, 4)
        values.flatten(0, 1),  # (b, cells, c) -> (b * cells, c)
        per_sample_weights=weights.flatten(0, 1).to(values.dtype),
        mode="sum",
    )
    return weighed.view(*nearest.shape[:2], -1)


def gather_cells(values: torch.Tensor, nearest: torch.Tensor) -> torch.Tensor:
    """Gather the values of the cells around each location: (batch, locations, 4, channels)."""
    return values.flatten(0, 1)[_rows(nearest, values.shape[1])]


def interpolated_hidden_layer(
    cells: torch.Tensor,
    kept: torch.Tensor | None,
    weight: torch.Tensor,
    bias: torch.Tensor,
    nearest: torch.Tensor,
    weights: torch.Tensor,
    *,
    matrix_type: torch.dtype | None = None,
    threads: int = 1,
) -> torch.Tensor:
    """Compute ``interpolate_cells(relu(linear(cells * kept)))``, a few images at a time.

    Only the signs of the hidden layer at the cells are saved for the backward pass.

    Args:
        cells: features of shape (batch, cells, features); no gradient flows into them.
        kept: factor for each channel of each image, shape (batch, 1, features); ``None`` means 1.
        weight: weight of the layer, shape (hidden channels, features).
        bias: bias of the layer, shape (hidden channels,).
        nearest: as for :func:`interpolate_cells`.
        weights: as for :func:`interpolate_cells`.
        matrix_type: the type of matrix products, if not that of the cells; all else, sums over
            images included, has the cells' type.
        threads: number of threads that compute portions of the batch on a CPU.

    Returns:
        Tensor of shape (batch, locations, hidden channels). It can be differentiated once.

    Example:
        >>> cells, locations = torch.tensor([[[-1.0], [3.0]]]), torch.tensor([[[0, 1, 0, 1]]])
        >>> layer = torch.ones(1, 1), torch.zeros(1)
        >>> interpolated_hidden_layer(
        ...     cells, None, *layer, locations, torch.full((1, 1, 4), 0.25)
        ... ).item()
        1.5
    """
    hidden: torch.Tensor = _InterpolatedHiddenLayer.apply(
        cells, kept, weight, bias, nearest, weights, matrix_type or cells.dtype, threads
    )  # type: ignore[no-untyped-call]
    return hidden


class _InterpolatedHiddenLayer(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        cells: torch.Tensor,
        kept: torch.Tensor | None,
        weight: torch.Tensor,
        bias: torch.Tensor,
        nearest: torch.Tensor,
        weights: torch.Tensor,
        matrix_type: torch.dtype,
        threads: int,
    ) -> torch.Tensor:
        positive = torch.empty(
            (*cells.shape[:2], len(weight)), dtype=torch.bool, device=cells.device
        )
        locations = cells.new_empty(*nearest.shape[:2], len(weight))
        inputs = _inputs(cells, kept, matrix_type)
        weight, bias = weight.to(matrix_type), bias.to(matrix_type)

        def compute(images: slice) -> None:
            hidden = F.linear(inputs(images), weight, bias).relu_()
            positive[images] = hidden  # converts faster than a comparison is made
            locations[images] = interpolate_cells(
                hidden.to(cells.dtype), nearest[images], weights[images]
            )

        for _ in in_portions(compute, cells, threads=threads):
            pass
        ctx.save_for_backward(*inputs, positive, nearest, weights)
        ctx.result_type, ctx.threads = cells.dtype, threads
        return locations

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        *tensors, positive, nearest, weights = ctx.saved_tensors
        inputs = _Inputs(*tensors)
        cells, result_type = inputs.cells, ctx.result_type
        shape = (positive.shape[2], cells.shape[2])
        by_weight = cells.new_zeros(shape, dtype=result_type)
        by_bias = cells.new_zeros(shape[0], dtype=result_type)

        def slopes(images: slice) -> tuple[torch.Tensor, torch.Tensor]:
            slope = _scatter_to_cells(
                upstream[images], nearest[images], weights[images], cells.shape[1]
            )
            # (images, cells, hidden channels); a product with booleans takes three times as long.
            slope.mul_(positive[images].view(torch.uint8))
            rows = slope.flatten(0, 1)
            return rows.to(cells.dtype).mT @ inputs(images).flatten(0, 1), rows.sum(dim=0)

        for _, (weight, bias) in in_portions(slopes, cells, threads=ctx.threads):
            by_weight += weight
            by_bias += bias
        return None, None, by_weight, by_bias, *[None] * 4


class _Inputs(NamedTuple):
    """The inputs of the hidden layer: cells, and factors still to be multiplied with them."""

    cells: torch.Tensor
    kept: torch.Tensor | None = None

    def __call__(self, images: slice) -> torch.Tensor:
        """Return the inputs at the cells of some images."""
        cells = self.cells[images]
        return cells if self.kept is None else cells * self.kept[images]


def _inputs(cells: torch.Tensor, kept: torch.Tensor | None, matrix_type: torch.dtype) -> _Inputs:
    """Return what is kept for the gradient: in another type a copy, otherwise the cells."""
    if matrix_type == cells.dtype:
        return _Inputs(cells, kept)
    converted = torch.empty_like(cells, dtype=matrix_type)
    if kept is None:
        return _Inputs(converted.copy_(cells))
    return _Inputs(torch.mul(cells, kept, out=converted))


def _scatter_to_cells(
    values: torch.Tensor, nearest: torch.Tensor, weights: torch.Tensor, cells: int
) -> torch.Tensor:
    """Scatter values (batch, locations, channels) to cells: the transpose of interpolation."""
    batch, _, channels = values.shape
    rows, shares = _rows(nearest, cells).flatten(), weights.flatten().to(values.dtype)
    if values.device.type == "mps":
        weighed = (values[:, :, None] * weights[..., None]).flatten(0, 2)
        spread = values.new_zeros(batch * cells, channels).index_add_(0, rows, weighed)
        return spread.view(batch, cells, channels)
    order = rows.argsort(stable=True)
    starts = torch.searchsorted(rows[order], torch.arange(batch * cells, device=rows.device))
    spread = F.embedding_bag(
        order // nearest.shape[2],  # locations interpolated from each cell, by cell
        values.flatten(0, 1),
        starts,
        per_sample_weights=shares[order],
        mode="sum",
    )
    return spread.view(batch, cells, channels)


def _rows(nearest: torch.Tensor, cells: int) -> torch.Tensor:
    """Convert cell indices of each image to indices into the flattened batch."""
    images = torch.arange(len(nearest), device=nearest.device)
    return nearest + cells * images[:, None, None]

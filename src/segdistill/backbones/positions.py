"""Interpolation of learned position embeddings to other image sizes.

Bicubic interpolation (Keys, Cubic Convolution Interpolation for Digital Image Processing, 1981) as
matrix products that support symbolic sizes. Networks are exported (ONNX or ``torch.export``) with
dynamic sizes, for which torch's own interpolation cannot be traced.
"""

import contextlib
import math

import torch

KERNEL = -0.75
"""Parameter a of the cubic kernel in torch's bicubic interpolation."""

ANTIALIASED_KERNEL = -0.5
"""Parameter a in torch's antialiased bicubic interpolation."""


def interpolate_positions(
    position_embeddings: torch.Tensor,
    rows: int,
    columns: int,
    *,
    margin: float = 0.0,
    antialias: bool = False,
) -> torch.Tensor:
    """Interpolate position embeddings to another patch grid.

    Equal to torch's bicubic interpolation with the scale factors (patches + margin) / side. On the
    training grid, embeddings are unchanged.

    Args:
        position_embeddings: embeddings of shape (1, 1 + positions, channels), for the class token
            followed by a square grid.
        rows: number of rows of patches, an integer or a symbol.
        columns: number of columns of patches, an integer or a symbol.
        margin: offset added to the number of patches per side in the scale factor.
        antialias: whether to widen the kernel when downsampling.

    Returns:
        Tensor of shape (1, 1 + rows * columns, channels).

    Example:
        >>> interpolate_positions(torch.zeros(1, 1 + 16, 8), 4, 6).shape
        torch.Size([1, 25, 8])
    """
    side = math.isqrt(position_embeddings.shape[1] - 1)
    # (1, positions, channels) -> (side, side, channels)
    grid = position_embeddings[0, 1:].reshape(side, side, -1).float()
    # As tensors, because comparing integers would specialise the graph to one size.
    height, width = (torch.scalar_tensor(each, device=grid.device) for each in (rows, columns))
    native = (height == side) & (width == side)
    weights = []
    for count, patches in ((rows, height), (columns, width)):
        centres = torch.arange(count, device=grid.device) + 0.5
        scale = torch.where(native, 1.0, side / (patches + margin))
        read = _antialiased_weights if antialias else _cubic_weights
        weights.append(read(centres, scale, side))
    with _without_autocast(grid.device):
        tall = torch.einsum("ri,ijc->rjc", weights[0], grid)
        enlarged = torch.einsum("sj,rjc->rsc", weights[1], tall)
    patches = enlarged.flatten(0, 1)[None].to(position_embeddings.dtype)
    return torch.cat((position_embeddings[:, :1], patches), dim=1)


def _cubic_weights(centres: torch.Tensor, scale: torch.Tensor, side: int) -> torch.Tensor:
    """Return weights of shape (outputs, side), with the border repeated beyond the samples.

    Args:
        centres: centres of the outputs, shape (outputs,).
        scale: samples per output, a scalar.
        side: number of samples, which are centred at 0.5, 1.5 and so on.
    """
    positions = (centres * scale - 0.5)[:, None]
    taps = positions.floor() + torch.arange(-1, 3, device=centres.device)  # (outputs, 4)
    weights = _cubic_kernel(positions - taps, KERNEL)
    samples = torch.arange(side, device=centres.device)
    reads = taps.clamp(0, side - 1)[:, :, None] == samples  # (outputs, 4, side)
    return (weights[:, :, None] * reads).sum(dim=1)


def _antialiased_weights(centres: torch.Tensor, scale: torch.Tensor, side: int) -> torch.Tensor:
    """Like :func:`_cubic_weights`, with a kernel that is widened when downsampling."""
    samples = torch.arange(side, device=centres.device) + 0.5
    distance = (samples - (centres * scale)[:, None]) / scale.clamp(min=1)
    weights = _cubic_kernel(distance, ANTIALIASED_KERNEL)
    return weights / weights.sum(dim=1, keepdim=True)


def _cubic_kernel(distance: torch.Tensor, a: float) -> torch.Tensor:
    """Return the cubic convolution kernel, whose slope at a distance of 1 is ``a``."""
    away = distance.abs()
    near = ((a + 2) * away - (a + 3)) * away**2 + 1
    far = ((a * away - 5 * a) * away + 8 * a) * away - 4 * a
    return torch.where(away <= 1, near, torch.where(away < 2, far, 0.0))


def _without_autocast(device: torch.device) -> contextlib.AbstractContextManager[object]:
    if torch.compiler.is_compiling():  # exported networks contain no autocast
        return contextlib.nullcontext()
    return torch.autocast(device.type, enabled=False)

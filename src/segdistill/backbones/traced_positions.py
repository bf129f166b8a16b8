"""Traceable interpolation of position embeddings, for dynamic image sizes.

Exported networks (ONNX or ``torch.export``) are traced once with symbolic sizes. The usual
interpolation of position embeddings needs concrete sizes. This module computes the same values as
matrix products whose entries depend on the symbolic size.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch

KERNEL = -0.75
"""Parameter a of the cubic kernel in torch's bicubic interpolation."""

ANTIALIASED_KERNEL = -0.5
"""Parameter a in torch's antialiased bicubic interpolation."""


class PositionInterpolation(NamedTuple):
    """How a network interpolates its position embeddings.

    Attributes:
        margin: added to the patches per side before the scale factor is computed.
        antialias: whether to antialias when downsampling.
    """

    margin: float = 0.0
    antialias: bool = False


def traced_position_embedding(
    position_embeddings: torch.Tensor, rows: int, columns: int, interpolation: PositionInterpolation
) -> torch.Tensor:
    """Interpolate position embeddings bicubically to another patch grid.

    Equal to torch's bicubic interpolation with the scale factors (patches + margin) / side. On the
    training grid, embeddings do not change.

    Args:
        position_embeddings: embeddings of shape (1, 1 + positions, channels): the class token, then
            a square grid.
        rows: rows of patches, an integer or a symbol.
        columns: columns of patches, an integer or a symbol.
        interpolation: interpolation settings.

    Returns:
        Tensor of shape (1, 1 + rows * columns, channels).

    Example:
        >>> traced_position_embedding(
        ...     torch.zeros(1, 1 + 16, 8), 4, 6, PositionInterpolation()
        ... ).shape
        torch.Size([1, 25, 8])
    """
    side = math.isqrt(position_embeddings.shape[1] - 1)
    # (1, positions, channels) -> (side, side, channels)
    grid = position_embeddings[0, 1:].reshape(side, side, -1).float()
    # As tensors, since comparing integers would specialise the graph to one size.
    height, width = (torch.scalar_tensor(each, device=grid.device) for each in (rows, columns))
    native = (height == side) & (width == side)
    weights = []
    for count, patches in ((rows, height), (columns, width)):
        centres = torch.arange(count, device=grid.device) + 0.5
        scale = torch.where(native, 1.0, side / (patches + interpolation.margin))
        read = antialiased_weights if interpolation.antialias else cubic_weights
        weights.append(read(centres, scale, side))
    tall = torch.einsum("ri,ijc->rjc", weights[0], grid)
    enlarged = torch.einsum("sj,rjc->rsc", weights[1], tall)
    patches = enlarged.flatten(0, 1)[None].to(position_embeddings.dtype)
    return torch.cat((position_embeddings[:, :1], patches), dim=1)


def cubic_weights(centres: torch.Tensor, scale: torch.Tensor, side: int) -> torch.Tensor:
    """Return the weights of cubic convolution interpolation.

    Keys, Cubic Convolution Interpolation for Digital Image Processing (1981), section II. Samples
    beyond the ends repeat the last one.

    Args:
        centres: pixel centres of the output, shape (outputs,).
        scale: input samples per output pixel, a scalar.
        side: number of input samples, centred at 0.5, 1.5 and so on.

    Returns:
        Tensor of shape (outputs, side); rows sum to 1.

    Example:
        >>> cubic_weights(torch.tensor([1.5, 2.0]), torch.tensor(1.0), 4).tolist()
        [[0.0, 1.0, 0.0, 0.0], [-0.09375, 0.59375, 0.59375, -0.09375]]
    """
    positions = (centres * scale - 0.5)[:, None]
    taps = positions.floor() + torch.arange(-1, 3, device=centres.device)  # (centres, 4)
    weights = cubic_kernel(positions - taps, KERNEL)
    samples = torch.arange(side, device=centres.device)
    reads = taps.clamp(0, side - 1)[:, :, None] == samples  # (centres, 4, side)
    return (weights[:, :, None] * reads).sum(dim=1)


def antialiased_weights(centres: torch.Tensor, scale: torch.Tensor, side: int) -> torch.Tensor:
    """Return the weights of antialiased cubic interpolation.

    The kernel is widened when downsampling.

    Args:
        centres: as for :func:`cubic_weights`.
        scale: as for :func:`cubic_weights`.
        side: as for :func:`cubic_weights`.

    Returns:
        Tensor of shape (outputs, side); rows sum to 1.

    Example:
        >>> antialiased_weights(torch.tensor([0.5]), torch.tensor(2.0), 2).tolist()
        [[0.5, 0.5]]
    """
    samples = torch.arange(side, device=centres.device) + 0.5
    distance = (samples - (centres * scale)[:, None]) / scale.clamp(min=1)
    weights = cubic_kernel(distance, ANTIALIASED_KERNEL)
    return weights / weights.sum(dim=1, keepdim=True)


def cubic_kernel(distance: torch.Tensor, a: float) -> torch.Tensor:
    """Return the cubic convolution kernel of Keys (1981).

    Args:
        distance: distance from a sample, any shape.
        a: slope of the kernel at a distance of 1.

    Example:
        >>> cubic_kernel(torch.tensor([0.0, -1.5, 2.5]), -0.5).tolist()
        [1.0, -0.0625, 0.0]
    """
    away = distance.abs()
    near = ((a + 2) * away - (a + 3)) * away**2 + 1
    far = ((a * away - 5 * a) * away + 8 * a) * away - 4 * a
    return torch.where(away <= 1, near, torch.where(away < 2, far, 0.0))


class TraceablePositions:
    """Replacement for ``interpolate_pos_encoding`` that can be traced.

    Args:
        embeddings: module with the ``position_embeddings``.
        patch_side: side of a patch in pixels.
        interpolation: interpolation settings of the network.
        fallback: called instead when not tracing.
    """

    def __init__(
        self,
        embeddings: Any,
        patch_side: int,
        interpolation: PositionInterpolation,
        fallback: Callable[[torch.Tensor, int, int], torch.Tensor],
    ) -> None:
        self._embeddings = embeddings
        self._patch_side = patch_side
        self._interpolation = interpolation
        self._fallback = fallback

    def __call__(self, tokens: torch.Tensor, height: int, width: int) -> torch.Tensor:
        """Return the position embeddings for an image size in pixels."""
        if not torch.compiler.is_compiling():
            return self._fallback(tokens, height, width)
        learnt: torch.Tensor = self._embeddings.position_embeddings
        rows, columns = height // self._patch_side, width // self._patch_side
        return traced_position_embedding(learnt, rows, columns, self._interpolation)

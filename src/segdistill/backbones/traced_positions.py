"""Position embeddings as operations that a traced graph keeps, for images of every size.

A network that is exported (to ONNX, or by ``torch.export``) is traced once, with sizes that are
symbols. What enlarges position embeddings otherwise asks for numbers: whether the image has the
size of training, by which factor it differs. Here the same values come from matrix products whose
entries follow from the size, which stays a symbol.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch

KERNEL = -0.75
"""The parameter a of the cubic kernel, as torch's bicubic interpolation has it."""

ANTIALIASED_KERNEL = -0.5
"""The same where torch also antialiases."""


class Enlargement(NamedTuple):
    """How a network brings its position embeddings to another grid.

    Attributes:
        margin: added to the patches of per side before the factor is computed.
        antialias: whether several embeddings are averaged where the grid has fewer places.
    """

    margin: float = 0.0
    antialias: bool = False


def traced_position_embedding(
    position_embeddings: torch.Tensor, rows: int, columns: int, way: Enlargement
) -> torch.Tensor:
    """Bring learnt position embeddings to another grid of patches, bicubically.

    Equal to torch's bicubic interpolation by the factors (patches + margin) / side; at the grid
    that the embeddings were learnt for they stay unchanged.

    Args:
        position_embeddings: shape (1, 1 + positions, channels), the class token's first, the
            others on a square grid.
        rows: patches from top to bottom; a number or a symbol.
        columns: patches from left to right; a number or a symbol.
        way: margin and antialiasing.

    Returns:
        Tensor of shape (1, 1 + rows * columns, channels).

    Example:
        >>> traced_position_embedding(torch.zeros(1, 1 + 16, 8), 4, 6, Enlargement()).shape
        torch.Size([1, 25, 8])
    """
    side = math.isqrt(position_embeddings.shape[1] - 1)
    # (1, positions, channels) -> (side, side, channels)
    grid = position_embeddings[0, 1:].reshape(side, side, -1).float()
    # As tensors: with numbers, to compare would be to choose a size.
    height, width = (torch.scalar_tensor(each, device=grid.device) for each in (rows, columns))
    native = (height == side) & (width == side)
    weights = []
    for count, patches in ((rows, height), (columns, width)):
        places = torch.arange(count, device=grid.device) + 0.5
        scale = torch.where(native, 1.0, side / (patches + way.margin))
        read = antialiased_weights if way.antialias else cubic_weights
        weights.append(read(places, scale, side))
    tall = torch.einsum("ri,ijc->rjc", weights[0], grid)
    enlarged = torch.einsum("sj,rjc->rsc", weights[1], tall)
    patches = enlarged.flatten(0, 1)[None].to(position_embeddings.dtype)
    return torch.cat((position_embeddings[:, :1], patches), dim=1)


def cubic_weights(places: torch.Tensor, scale: torch.Tensor, side: int) -> torch.Tensor:
    """Return the weights by which cubic convolution reads samples between them.

    Keys, Cubic Convolution Interpolation for Digital Image Processing (1981), section II. Beyond
    the ends samples stay unchanged there.

    Args:
        places: centres of the places wanted, in their own units, shape (places,).
        scale: samples to a place, a scalar.
        side: number of samples; their centres are at 0.5, 1.5 and so on.

    Returns:
        Tensor of shape (places, side), of which each row sums to 1.

    Example:
        >>> cubic_weights(torch.tensor([1.5, 2.0]), torch.tensor(1.0), 4).tolist()
        [[0.0, 1.0, 0.0, 0.0], [-0.09375, 0.59375, 0.59375, -0.09375]]
    """
    positions = (places * scale - 0.5)[:, None]
    taps = positions.floor() + torch.arange(-1, 3, device=places.device)  # (places, 4)
    weights = cubic_kernel(positions - taps, KERNEL)
    samples = torch.arange(side, device=places.device)
    reads = taps.clamp(0, side - 1)[:, :, None] == samples  # (places, 4, side)
    return (weights[:, :, None] * reads).sum(dim=1)


def antialiased_weights(places: torch.Tensor, scale: torch.Tensor, side: int) -> torch.Tensor:
    """Return the weights of a cubic kernel that widens where there are several samples to a place.

    Args:
        places: as for :func:`cubic_weights`.
        scale: the same.
        side: the same.

    Returns:
        Tensor of shape (places, side), of which each row sums to 1.

    Example:
        >>> antialiased_weights(torch.tensor([0.5]), torch.tensor(2.0), 2).tolist()
        [[0.5, 0.5]]
    """
    samples = torch.arange(side, device=places.device) + 0.5
    distance = (samples - (places * scale)[:, None]) / scale.clamp(min=1)
    weights = cubic_kernel(distance, ANTIALIASED_KERNEL)
    return weights / weights.sum(dim=1, keepdim=True)


def cubic_kernel(distance: torch.Tensor, a: float) -> torch.Tensor:
    """Return the cubic convolution kernel of Keys (1981).

    Args:
        distance: from a sample, any shape.
        a: the kernel's slope at a distance of 1.

    Example:
        >>> cubic_kernel(torch.tensor([0.0, -1.5, 2.5]), -0.5).tolist()
        [1.0, -0.0625, 0.0]
    """
    away = distance.abs()
    near = ((a + 2) * away - (a + 3)) * away**2 + 1
    far = ((a * away - 5 * a) * away + 8 * a) * away - 4 * a
    return torch.where(away <= 1, near, torch.where(away < 2, far, 0.0))


class TracedPositions:
    """Stands in for ``interpolate_pos_encoding`` of a network, and matters while it is traced.

    Args:
        embeddings: the part of the network that holds ``position_embeddings``.
        patch_side: side of a patch, in pixels.
        way: how the network brings them to other grids.
        otherwise: what to call while nothing is traced.
    """

    def __init__(
        self,
        embeddings: Any,
        patch_side: int,
        way: Enlargement,
        otherwise: Callable[[torch.Tensor, int, int], torch.Tensor],
    ) -> None:
        self._embeddings = embeddings
        self._patch_side = patch_side
        self._way = way
        self._otherwise = otherwise

    def __call__(self, tokens: torch.Tensor, height: int, width: int) -> torch.Tensor:
        """Return position embeddings for an image whose sides are given in pixels."""
        if not torch.compiler.is_compiling():
            return self._otherwise(tokens, height, width)
        learnt: torch.Tensor = self._embeddings.position_embeddings
        rows, columns = height // self._patch_side, width // self._patch_side
        return traced_position_embedding(learnt, rows, columns, self._way)

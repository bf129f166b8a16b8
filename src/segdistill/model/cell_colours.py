"""Colours of an image in the cells of a grid, and the noise of colours."""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from segdistill.model.dense import bands_of

QUIET_SHARE = 0.75
"""Share of the cells, those of least variance, that tell the noise: edges run in the others."""

SAMPLES = 16
"""Pixels sampled along each side of a cell for its colours; larger cells are not read whole."""

LEAST_NOISE = 1 / 255
"""Deviation of the noise that is always there: one level of an image of 8 bits."""


def cell_colours(
    image: NDArray[np.uint8], scores: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return mean and covariance of the colours in each cell.

    Args:
        image: shape (height, width, 3).
        scores: whose grid and device are meant, shape (1, classes, h, w).

    Returns:
        Means in 0..1 of shape (3, h, w), and covariances of shape (3, 3, h, w).

    Example:
        >>> image = np.array([[[0, 0, 0], [255, 255, 255]]], np.uint8)
        >>> means, covariances = cell_colours(image, torch.zeros(1, 1, 1, 1))
        >>> means.flatten().tolist(), covariances[0, 1].item()
        ([0.5, 0.5, 0.5], 0.25)
    """
    h, w = scores.shape[2:]
    step = max(1, min(image.shape[0] // h, image.shape[1] // w) // SAMPLES)
    image = image[step // 2 :: step, step // 2 :: step]
    height, width = image.shape[:2]
    strips = []
    for rows in bands_of(height, width=width, classes=12):
        pixels = pixels_of(image, rows, scores)
        products = (pixels[:, None] * pixels).flatten(0, 1)
        both = torch.cat([pixels, products])  # (12, rows, width) -> (12, rows, w)
        strips.append(F.adaptive_avg_pool2d(both, (both.shape[1], w)))
    moments = F.adaptive_avg_pool2d(torch.cat(strips, dim=1), (h, w))  # (12, h, w)
    means = moments[:3]
    return means, moments[3:].view(3, *means.shape) - means[:, None] * means


def colour_noise(covariances: torch.Tensor) -> torch.Tensor:
    """Return the covariance of the noise: that within the quieter cells, texture and all.

    Args:
        covariances: of the colours in each cell, shape (3, 3, h, w).

    Returns:
        Tensor of shape (3, 3), positive definite.
    """
    cells = covariances.flatten(2)  # (3, 3, h, w) -> (3, 3, cells)
    variance = cells.diagonal().sum(dim=1)
    quiet = variance.argsort()[: max(1, int(QUIET_SHARE * len(variance)))]
    least = LEAST_NOISE**2 * torch.eye(3, dtype=cells.dtype, device=cells.device)
    return cells[..., quiet].mean(dim=2) + least


def pixels_of(image: NDArray[np.uint8], rows: slice, like: torch.Tensor) -> torch.Tensor:
    """Return rows of an image in 0..1, shape (3, rows, width), of the kind of another tensor."""
    part = torch.from_numpy(np.ascontiguousarray(image[rows].transpose(2, 0, 1)))
    return part.to(like).div_(255)

"""Contrastive CRF: codes of nearby locations with similar colours attract each other.

This is an optional term in STEGO's code. The kernel is that of Krähenbühl and Koltun (NIPS 2011,
equation 3), evaluated at sampled locations.
"""

import math

import torch

ALPHA = 0.5
"""Variance of distance in the appearance kernel, in squared cells."""

BETA = 0.15
"""Variance of colour in the appearance kernel."""

GAMMA = 0.05
"""Variance of distance in the smoothness kernel, in squared cells."""

APPEARANCE_WEIGHT = 10.0
SMOOTHNESS_WEIGHT = 3.0

GUIDANCE_SIDE = 56
"""Cells per side of the grid to which images are resized for this kernel."""


def contrastive_crf_loss(
    colours: torch.Tensor, codes: torch.Tensor, cells: torch.Tensor
) -> torch.Tensor:
    """Return ``- c[p] . c[q] k[p, q]`` for each pair of locations; see :func:`pairwise_kernel`.

    Args:
        colours: colours at the locations, shape (batch, locations, colour channels).
        codes: unit vectors at the locations, shape (batch, locations, channels).
        cells: row and column of each location, the same for all images, shape (locations, 2).

    Returns:
        Tensor of shape (batch, locations, locations).

    Example:
        >>> location = torch.zeros(1, 1, 3), torch.ones(1, 1, 1), torch.zeros(1, 2)
        >>> contrastive_crf_loss(*location).item()  # with itself: -(w1 + w2)
        -13.0
    """
    return -(codes @ codes.mT) * pairwise_kernel(colours, cells)


def pairwise_kernel(colours: torch.Tensor, cells: torch.Tensor) -> torch.Tensor:
    """Return the CRF affinity of each pair of locations (Krähenbühl and Koltun, equation 3).

    ``k[p, q] = w1 exp(-|x|^2 / 2 alpha - |i|^2 / 2 beta) + w2 exp(-|x|^2 / 2 gamma)``, where x is
    the difference between the locations, in cells, and i that between their colours.

    Args:
        colours: colours at the locations, shape (batch, locations, colour channels).
        cells: row and column of each location, the same for all images, shape (locations, 2).

    Returns:
        Tensor of shape (batch, locations, locations), from 0 to w1 + w2.

    Example:
        >>> pairwise_kernel(torch.zeros(1, 1, 3), torch.zeros(1, 2)).item()  # w1 + w2
        13.0
    """
    appearance, smoothness = _exponents(colours, cells)
    return APPEARANCE_WEIGHT * appearance.exp() + SMOOTHNESS_WEIGHT * smoothness.exp()


def log_pairwise_kernel(colours: torch.Tensor, cells: torch.Tensor) -> torch.Tensor:
    """Return the logarithm of :func:`pairwise_kernel`, which still ranks distant pairs.

    The kernel itself is 0 in single precision for locations a dozen cells apart.

    Example:
        >>> apart = torch.zeros(1, 2, 3), torch.tensor([[0, 0], [0, 20]])
        >>> pairwise_kernel(*apart)[0, 0, 1].item()
        0.0
        >>> round(log_pairwise_kernel(*apart)[0, 0, 1].item(), 2)  # log(10) - 20^2
        -397.7
    """
    appearance, smoothness = _exponents(colours, cells)
    return torch.logaddexp(
        appearance + math.log(APPEARANCE_WEIGHT), smoothness + math.log(SMOOTHNESS_WEIGHT)
    )


def _exponents(colours: torch.Tensor, cells: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the exponents of the appearance and smoothness kernels."""
    distance = _squared_differences(cells.to(colours)[None])
    difference = _squared_differences(colours)
    return -distance / (2 * ALPHA) - difference / (2 * BETA), -distance / (2 * GAMMA)


def _squared_differences(vectors: torch.Tensor) -> torch.Tensor:
    """Return the squared distances of all pairs, shape (batch, locations, locations).

    Vectors have shape (batch, locations, channels).
    """
    return (vectors[:, :, None] - vectors[:, None]).square().sum(dim=3)

"""Contrastive CRF: codes of locations that look alike and lie close attract each other.

An optional term of STEGO's code; the kernel is that of Krähenbühl and Koltun (NIPS 2011,
equation 3), taken at sampled locations.
"""

import math

import torch

ALPHA = 0.5
BETA = 0.15
GAMMA = 0.05
APPEARANCE_WEIGHT = 10.0
SMOOTHNESS_WEIGHT = 3.0

GUIDANCE_SIDE = 56
"""Cells per side of the grid to which images are brought for this kernel."""


def contrastive_crf_loss(
    colours: torch.Tensor,
    codes: torch.Tensor,
    cells: torch.Tensor,
    *,
    alpha: float = ALPHA,
    beta: float = BETA,
    gamma: float = GAMMA,
    appearance_weight: float = APPEARANCE_WEIGHT,
    smoothness_weight: float = SMOOTHNESS_WEIGHT,
    shift: float = 0.0,
) -> torch.Tensor:
    """Return the loss of every pair of locations.

    ``L[p, q] = - c[p] . c[q] (k[p, q] - b)``, where k is :func:`pairwise_kernel`.

    Args:
        colours: of the image at the locations, shape (batch, locations, colour channels).
        codes: unit vectors at the locations, shape (batch, locations, channels).
        cells: row and column of each location, the same for all images, shape (locations, 2).
        alpha: variance of distance in the appearance kernel, in cells squared.
        beta: variance of colour in the appearance kernel.
        gamma: variance of distance in the smoothness kernel, in cells squared.
        appearance_weight: w1.
        smoothness_weight: w2.
        shift: b; larger means that fewer pairs attract.

    Returns:
        Tensor of shape (batch, locations, locations).

    Example:
        >>> place = torch.zeros(1, 1, 3), torch.ones(1, 1, 1), torch.zeros(1, 2)
        >>> contrastive_crf_loss(*place).item()  # a place with itself: -(w1 + w2)
        -13.0
    """
    kernel = pairwise_kernel(
        colours,
        cells,
        alpha=alpha,
        beta=beta,
        gamma=gamma,
        appearance_weight=appearance_weight,
        smoothness_weight=smoothness_weight,
    )
    return -(codes @ codes.mT) * (kernel - shift)


def pairwise_kernel(
    colours: torch.Tensor,
    cells: torch.Tensor,
    *,
    alpha: float = ALPHA,
    beta: float = BETA,
    gamma: float = GAMMA,
    appearance_weight: float = APPEARANCE_WEIGHT,
    smoothness_weight: float = SMOOTHNESS_WEIGHT,
) -> torch.Tensor:
    """Return the CRF's affinity of every pair of locations (Krähenbühl and Koltun, equation 3).

    ``k[p, q] = w1 exp(-|x|^2 / 2 alpha - |i|^2 / 2 beta) + w2 exp(-|x|^2 / 2 gamma)``, where x is
    the difference of the locations, in cells, and i that of their colours.

    Args:
        colours: of the image at the locations, shape (batch, locations, colour channels).
        cells: row and column of each location, the same for all images, shape (locations, 2).
        alpha: variance of distance in the appearance kernel, in cells squared.
        beta: variance of colour in the appearance kernel.
        gamma: variance of distance in the smoothness kernel, in cells squared.
        appearance_weight: w1.
        smoothness_weight: w2.

    Returns:
        Tensor of shape (batch, locations, locations), from 0 to w1 + w2.

    Example:
        >>> pairwise_kernel(torch.zeros(1, 1, 3), torch.zeros(1, 2)).item()  # w1 + w2
        13.0
    """
    appearance, smoothness = _exponents(colours, cells, alpha, beta, gamma)
    return appearance_weight * appearance.exp() + smoothness_weight * smoothness.exp()


def log_pairwise_kernel(
    colours: torch.Tensor,
    cells: torch.Tensor,
    *,
    alpha: float = ALPHA,
    beta: float = BETA,
    gamma: float = GAMMA,
    appearance_weight: float = APPEARANCE_WEIGHT,
    smoothness_weight: float = SMOOTHNESS_WEIGHT,
) -> torch.Tensor:
    """Return the logarithm of :func:`pairwise_kernel`, which still ranks distant pairs.

    The kernel itself is 0 in single precision for locations a dozen cells apart.

    Args:
        colours: as for :func:`pairwise_kernel`, and so are the rest.
        cells: row and column of each location.
        alpha: variance of distance in the appearance kernel.
        beta: variance of colour in the appearance kernel.
        gamma: variance of distance in the smoothness kernel.
        appearance_weight: w1, above 0.
        smoothness_weight: w2, above 0.

    Returns:
        Tensor of shape (batch, locations, locations), at most log(w1 + w2).

    Example:
        >>> apart = torch.zeros(1, 2, 3), torch.tensor([[0, 0], [0, 20]])
        >>> pairwise_kernel(*apart)[0, 0, 1].item()
        0.0
        >>> round(log_pairwise_kernel(*apart)[0, 0, 1].item(), 2)  # log(10) - 20^2
        -397.7
    """
    appearance, smoothness = _exponents(colours, cells, alpha, beta, gamma)
    return torch.logaddexp(
        appearance + math.log(appearance_weight), smoothness + math.log(smoothness_weight)
    )


def _exponents(
    colours: torch.Tensor, cells: torch.Tensor, alpha: float, beta: float, gamma: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the exponents of the appearance and the smoothness kernel."""
    distance = squared_differences(cells.to(colours)[None])
    difference = squared_differences(colours)
    return -distance / (2 * alpha) - difference / (2 * beta), -distance / (2 * gamma)


def squared_differences(vectors: torch.Tensor) -> torch.Tensor:
    """Return squared distances of all pairs.

    Args:
        vectors: shape (batch, locations, channels).

    Returns:
        Tensor of shape (batch, locations, locations).
    """
    return (vectors[:, :, None] - vectors[:, None]).square().sum(dim=3)

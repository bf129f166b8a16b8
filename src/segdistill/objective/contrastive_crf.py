"""Contrastive CRF: codes of places that look alike and lie close attract each other.

An optional term of STEGO's code; the kernel is that of Krähenbühl and Koltun (NIPS 2011,
equation 3), taken at sampled places.
"""

import torch

ALPHA = 0.5
BETA = 0.15
GAMMA = 0.05
APPEARANCE_WEIGHT = 10.0
SMOOTHNESS_WEIGHT = 3.0


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
    """Return the loss of every pair of places.

    ``L[p, q] = - c[p] . c[q] (w1 exp(-|x|^2 / 2 alpha - |i|^2 / 2 beta)
    + w2 exp(-|x|^2 / 2 gamma) - b)``, where x is the difference of the places, in cells, and i
    that of their colours.

    Args:
        colours: of the image at the places, shape (batch, places, colour channels).
        codes: unit vectors at the places, shape (batch, places, channels).
        cells: row and column of each place, the same for all images, shape (places, 2).
        alpha: variance of distance in the appearance kernel, in cells squared.
        beta: variance of colour in the appearance kernel.
        gamma: variance of distance in the smoothness kernel, in cells squared.
        appearance_weight: w1.
        smoothness_weight: w2.
        shift: b; larger means that fewer pairs attract.

    Returns:
        Tensor of shape (batch, places, places).

    Example:
        >>> place = torch.zeros(1, 1, 3), torch.ones(1, 1, 1), torch.zeros(1, 2)
        >>> contrastive_crf_loss(*place).item()  # a place with itself: -(w1 + w2)
        -13.0
    """
    distance = squared_differences(cells.to(colours)[None])
    difference = squared_differences(colours)
    kernel = (
        appearance_weight * torch.exp(-distance / (2 * alpha) - difference / (2 * beta))
        + smoothness_weight * torch.exp(-distance / (2 * gamma))
        - shift
    )
    return -(codes @ codes.mT) * kernel


def squared_differences(vectors: torch.Tensor) -> torch.Tensor:
    """Return squared distances of all pairs.

    Args:
        vectors: shape (batch, places, channels).

    Returns:
        Tensor of shape (batch, places, places).
    """
    return (vectors[:, :, None] - vectors[:, None]).square().sum(dim=3)

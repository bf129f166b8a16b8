"""Reconstruction: codes keep what it takes to tell the features' directions."""

import torch


def reconstruction_loss(decoded: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
    """Return the loss of every location, ``- cos(decoder(c), f)``: an optional term of STEGO.

    Args:
        decoded: features as a decoder tells them from codes, shape (batch, locations, channels).
        features: the same shape.

    Returns:
        Tensor of shape (batch, locations), in -1..1.

    Example:
        >>> reconstruction_loss(torch.ones(1, 1, 4), 3 * torch.ones(1, 1, 4)).item()
        -1.0
    """
    return -torch.cosine_similarity(decoded, features, dim=2)

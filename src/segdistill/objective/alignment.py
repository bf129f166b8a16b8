"""Augmentation alignment: an image and its augmented copy should have the same codes."""

import torch


def alignment_loss(codes: torch.Tensor, copies: torch.Tensor) -> torch.Tensor:
    """Return the loss of every location, ``- cos(c, c')``: an optional term of STEGO's code.

    Args:
        codes: of an image, where each location of its copy comes from, shape (batch, locations,
            channels).
        copies: codes of the augmented copy at those locations, the same shape.

    Returns:
        Tensor of shape (batch, locations), in -1..1.

    Example:
        >>> alignment_loss(torch.ones(1, 1, 4), -torch.ones(1, 1, 4)).item()
        1.0
    """
    return -torch.cosine_similarity(codes, copies, dim=2, eps=1e-10)

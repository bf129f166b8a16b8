"""Feature maps averaged with their surroundings.

Neighbouring locations of a network's last stages mostly show the same thing, while their features
differ by noise. An average of 3 x 3 locations removes much of it, before anything is stored.
"""

import torch
import torch.nn.functional as F

from segdistill.backbones.protocol import Backbone, weights_fingerprint

SMOOTH = ":smooth"
"""Suffix of a backbone name that averages its feature maps."""


def smoothed_maps(maps: torch.Tensor) -> torch.Tensor:
    """Average each location with its eight neighbours, weighted 1, 2, 1 along each side.

    Beyond the border, the outermost locations are repeated.

    Args:
        maps: feature maps of shape (batch, channels, h, w).

    Returns:
        Tensor of the same shape, in single precision.

    Example:
        >>> row = torch.tensor([[[[0.0, 4.0, 0.0]]]])
        >>> smoothed_maps(row)[0, 0].tolist()
        [[1.0, 2.0, 1.0]]
    """
    # Two averages of 2 x 2 are one with the weights 1, 2, 1; each makes the map one shorter.
    padded = F.pad(maps.float(), (1, 1, 1, 1), mode="replicate")
    return F.avg_pool2d(F.avg_pool2d(padded, 2, stride=1), 2, stride=1)


def smooth(backbone: Backbone) -> Backbone:
    """Make a backbone return :func:`smoothed_maps`, and change its name and fingerprint."""
    backbone.register_forward_hook(_smooth_output)
    backbone.is_smooth = True
    backbone.name += SMOOTH
    backbone.fingerprint = weights_fingerprint(torch.nn.Identity(), backbone.fingerprint, SMOOTH)
    return backbone


def _smooth_output(_backbone: torch.nn.Module, _images: object, maps: torch.Tensor) -> torch.Tensor:
    return smoothed_maps(maps)

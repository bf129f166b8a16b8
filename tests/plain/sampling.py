"""Reading whole maps at locations, the plain form."""

import torch


def sample_map(maps: torch.Tensor, locations: torch.Tensor) -> torch.Tensor:
    """Read maps at locations, bilinearly (STEGO, section 3.2).

    Args:
        maps: shape (batch, channels, height, width).
        locations: shape (batch, rows, columns, 2), of (x, y) in -1..1; -1 and 1 are the centres of
            the outermost cells. Locations outside take the value at the border.

    Returns:
        Tensor of shape (batch, channels, rows, columns).
    """
    return torch.nn.functional.grid_sample(
        maps, locations, mode="bilinear", padding_mode="border", align_corners=True
    )

"""Labelled pixels, and what maps hold there: for measures that need labels."""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from segdistill.images.labels import VOID


def labelled_pixels(
    labels: NDArray[np.int64], count: int, random: np.random.Generator
) -> NDArray[np.int64]:
    """Draw labelled pixels without repetition.

    Args:
        labels: shape (height, width).
        count: pixels wanted; there may be fewer.
        random: source of randomness.

    Returns:
        Rows and columns, shape (pixels, 2).
    """
    labelled = np.flatnonzero((labels >= 0) & (labels != VOID))
    drawn = random.permutation(labelled)[:count]
    return np.stack(np.divmod(drawn, labels.shape[1]), axis=1)


def sample_at_pixels(
    maps: torch.Tensor, pixels: NDArray[np.int64], size: tuple[int, int]
) -> torch.Tensor:
    """Read maps at the centres of pixels, bilinearly.

    Equal to enlarging the maps to the image and taking the pixels, without the memory for that.

    Args:
        maps: features, codes or colours of an image, shape (1, channels, h, w).
        pixels: rows and columns, shape (pixels, 2).
        size: height and width of the image in pixels.

    Returns:
        Tensor of shape (pixels, channels).

    Example:
        >>> ramp = torch.tensor([0.0, 1.0]).view(1, 1, 1, 2)
        >>> sample_at_pixels(ramp, np.array([[0, 0], [0, 1], [0, 2], [0, 3]]), (1, 4)).mT.tolist()
        [[0.0, 0.25, 0.75, 1.0]]
    """
    places = (torch.from_numpy(pixels) + 0.5) / torch.tensor(size) * 2 - 1
    read = F.grid_sample(
        maps,
        places.flip(dims=(1,)).float()[None, None],  # (row, column) -> (x, y)
        mode="bilinear",
        padding_mode="border",
        align_corners=False,
    )
    return read[0, :, 0].mT  # (1, channels, 1, pixels) -> (pixels, channels)

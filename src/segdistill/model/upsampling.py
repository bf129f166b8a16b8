"""From class scores on the backbone's grid to pixels: along the image's edges, or bilinearly.

A cell of the grid is many pixels wide. Scores enlarged bilinearly change somewhere between two
cells, not where the image does; the guided filter puts the change there, and costs little beside
the backbone.
"""

from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from segdistill.model.bilinear_mask import bilinear_mask
from segdistill.model.dense import enlarged_bands
from segdistill.model.guided_filter import guided_bands, sharpened
from segdistill.model.guided_mask import guided_mask
from segdistill.model.region_cleanup import MIN_REGION, absorb_small_regions, min_pixels

Upsampling = Literal["guided", "bilinear"]


def upsampled_mask(
    scores: torch.Tensor, image: NDArray[np.uint8], *, upsampling: Upsampling = "guided"
) -> NDArray[np.uint8]:
    """Return the best class of each pixel.

    Args:
        scores: on a grid, shape (1, classes, h, w), at most 256 classes.
        image: that the grid covers, shape (height, width, 3).
        upsampling: ``guided`` follows the edges of the image, ``bilinear`` does not look at it.

    Returns:
        Class indices of shape (height, width).

    Raises:
        ValueError: a shape is not this.

    Example:
        >>> image = np.zeros((1, 8, 3), np.uint8)
        >>> image[:, 3:] = 200
        >>> scores = torch.tensor([[0.9, 0.2], [0.1, 0.8]]).view(1, 2, 1, 2)
        >>> upsampled_mask(scores, image).tolist()
        [[0, 0, 0, 1, 1, 1, 1, 1]]
        >>> upsampled_mask(scores, image, upsampling="bilinear").tolist()
        [[0, 0, 0, 0, 1, 1, 1, 1]]
    """
    _check_shapes(scores, image)
    if upsampling == "guided":
        return guided_mask(sharpened(scores), image)
    return bilinear_mask(scores, (image.shape[0], image.shape[1]))


def cleaned_mask(
    scores: torch.Tensor,
    image: NDArray[np.uint8],
    *,
    upsampling: Upsampling = "guided",
    min_region: float = MIN_REGION,
) -> NDArray[np.uint8]:
    """Return the best class of each pixel, with small regions absorbed by their neighbours.

    Args:
        scores: as for :func:`upsampled_mask`.
        image: the same.
        upsampling: the same.
        min_region: share of the image that a connected region needs; 0 keeps all.

    Returns:
        Class indices of shape (height, width).

    Raises:
        ValueError: a shape is not this.
    """
    mask = upsampled_mask(scores, image, upsampling=upsampling)
    return absorb_small_regions(mask, min_pixels(min_region, *mask.shape))


def upsampled_bands(
    scores: torch.Tensor, image: NDArray[np.uint8], *, upsampling: Upsampling = "guided"
) -> Iterator[tuple[slice, torch.Tensor]]:
    """Bring class scores to pixels, band by band.

    Args:
        scores: as for :func:`upsampled_mask`.
        image: the same.
        upsampling: the same.

    Yields:
        Rows, from top to bottom, and the scores there, of shape (classes, rows, width). The guided
        filter may go a little beyond the range of the scores. Masks are made of sharpened scores,
        so that here another class may be the best where two are nearly equal.

    Raises:
        ValueError: a shape is not this.
    """
    _check_shapes(scores, image)
    if upsampling == "guided":
        yield from guided_bands(scores.float(), image)
    else:
        yield from enlarged_bands(scores, (image.shape[0], image.shape[1]))


def _check_shapes(scores: torch.Tensor, image: NDArray[np.uint8]) -> None:
    if scores.ndim != 4 or len(scores) != 1 or 0 in scores.shape:
        raise ValueError(f"scores {tuple(scores.shape)}: give scores of shape (1, classes, h, w)")
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(f"image {image.shape}: give an image of shape (height, width, 3)")

"""Refining masks with the fully connected CRF."""

import numpy as np
import torch
from numpy.typing import NDArray

from segdistill.errors import UserError
from segdistill.images.resize import enlarge, resize_image
from segdistill.objective.clusters import cluster_log_probabilities
from segdistill.refinement.crf import dense_crf

MAX_VALUES = 2**28
"""Maximum of pixels times classes; beyond it, the CRF needs more than about 10 GB."""


def refined_mask(scores: torch.Tensor, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the most probable class of each pixel after the CRF.

    Args:
        scores: cosine similarities on a grid, shape (1, classes, h, w).
        image: shape (height, width, 3).

    Returns:
        Class indices of shape (height, width).

    Raises:
        UserError: the image is too large.
    """
    height, width = image.shape[:2]
    check_size(height, width, scores.shape[1])
    marginals = refine(cluster_log_probabilities(enlarge(scores, (height, width))), image)
    mask: NDArray[np.uint8] = marginals[0].argmax(dim=0).to(torch.uint8).numpy()
    return mask


def check_size(height: int, width: int, classes: int) -> None:
    """Check that an image is not too large for the CRF.

    Raises:
        UserError: the image is too large.
    """
    if height * width * classes > MAX_VALUES:
        raise UserError(
            f"--crf: an image of {width}x{height} pixels is too large for {classes} classes;"
            " omit --crf"
        )


def refine(log_probabilities: torch.Tensor, image: NDArray[np.uint8]) -> torch.Tensor:
    """Refine class log-probabilities of an image with the fully connected CRF.

    Args:
        log_probabilities: shape (1, classes, height, width).
        image: shape (height, width, 3); resized to the probabilities if the sizes differ.

    Returns:
        Marginal probabilities in the shape of ``log_probabilities``.

    Raises:
        ValueError: a shape is wrong.

    Example:
        >>> refine(torch.zeros(1, 2, 6, 8), np.zeros((3, 4, 3), np.uint8)).shape
        torch.Size([1, 2, 6, 8])
    """
    height, width = log_probabilities.shape[2:]
    pixels = torch.from_numpy(resize_image(image, (height, width)))
    # (height, width, 3) -> (1, 3, height, width)
    return dense_crf(log_probabilities, pixels.permute(2, 0, 1)[None])

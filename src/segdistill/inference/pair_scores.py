"""Pair scores that should predict whether two pixels have the same label.

The scores compared in the STEGO paper (Hamilton et al., ICLR 2022, section 3.1 and figure 3):
feature correspondences (equation 1), and the pairwise kernel of a fully connected CRF, which uses
only colours and positions. Code correspondences are added here.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from segdistill.backbones.protocol import IMAGENET_MEAN, IMAGENET_STD, normalise_images
from segdistill.decoding.decode import to_tensor
from segdistill.images.resize import resize_image
from segdistill.inference.correspondences import embed
from segdistill.model.linear_probe import sample_at_pixels
from segdistill.model.segmenter import Segmenter
from segdistill.objective.contrastive_crf import (
    APPEARANCE_WEIGHT,
    GUIDANCE_SIDE,
    SMOOTHNESS_WEIGHT,
    log_pairwise_kernel,
)
from segdistill.objective.correspondence import correspondence

SCORE_RANGES = {"features": (-1.0, 1.0), "codes": (-1.0, 1.0), "crf": (-81.0, 0.0)}
"""Minimum and maximum of each score."""


@dataclass(frozen=True)
class PixelSamples:
    """Labels, features, codes and colours at sampled pixels of an image.

    Attributes:
        labels: class indices, shape (pixels,).
        features: preprocessed features, shape (pixels, channels).
        codes: shape (pixels, code channels); ``None`` for a model that clusters features.
        colours: normalised with the ImageNet statistics, shape (pixels, 3).
        cells: row and column on the CRF's grid of 56 x 56 cells, shape (pixels, 2).
    """

    labels: torch.Tensor
    features: torch.Tensor
    codes: torch.Tensor | None
    colours: torch.Tensor
    cells: torch.Tensor


@dataclass(frozen=True)
class PairScores:
    """Scores of pairs of pixels.

    Attributes:
        same: whether the labels of a pair are equal, bool, shape (pairs,).
        scores: scores by name, each of shape (pairs,) and in its range in :data:`SCORE_RANGES`.
    """

    same: torch.Tensor
    scores: dict[str, torch.Tensor]


def sample_pixels(
    segmenter: Segmenter,
    image: NDArray[np.uint8],
    labels: NDArray[np.int64],
    pixels: NDArray[np.int64],
) -> PixelSamples:
    """Sample features, codes and colours at pixels, with bilinear interpolation.

    Args:
        segmenter: the model.
        image: shape (height, width, 3).
        labels: shape (rows, columns); may differ from the image in scale.
        pixels: row and column of each pixel in the labels, shape (pixels, 2).
    """
    size = (labels.shape[0], labels.shape[1])
    embedded = embed(segmenter, image)
    small = to_tensor(resize_image(image, (GUIDANCE_SIDE, GUIDANCE_SIDE)))
    guidance = normalise_images(small, IMAGENET_MEAN, IMAGENET_STD)
    return PixelSamples(
        labels=torch.from_numpy(labels[pixels[:, 0], pixels[:, 1]]),
        features=sample_at_pixels(embedded.features, pixels, size),
        codes=None if segmenter.head is None else sample_at_pixels(embedded.codes, pixels, size),
        colours=sample_at_pixels(guidance, pixels, size),
        cells=(torch.from_numpy(pixels) + 0.5) / torch.tensor(size) * GUIDANCE_SIDE,
    )


def scores_within(samples: PixelSamples) -> PairScores:
    """Score all pairs of distinct pixels of an image.

    Returns:
        ``features``, ``codes`` (if available) and ``crf``, each with n (n - 1) / 2 scores for n
        pixels.
    """
    count = len(samples.labels)
    first, second = torch.triu_indices(count, count, offset=1)
    both = scores_between(samples, samples)
    tables = {name: scores.view(count, count) for name, scores in both.scores.items()}
    tables["crf"] = crf_affinity(samples.colours, samples.cells)
    return PairScores(
        same=both.same.view(count, count)[first, second],
        scores={name: table[first, second] for name, table in tables.items()},
    )


def scores_between(first: PixelSamples, second: PixelSamples) -> PairScores:
    """Score all pairs of pixels between two images.

    Returns:
        ``features`` and ``codes`` (if available); the CRF is not defined across images.
    """
    scores = {"features": _cosines(first.features, second.features)}
    if first.codes is not None and second.codes is not None:
        scores["codes"] = _cosines(first.codes, second.codes)
    same = first.labels[:, None] == second.labels
    return PairScores(same.flatten(), {name: table.flatten() for name, table in scores.items()})


def crf_affinity(colours: torch.Tensor, cells: torch.Tensor) -> torch.Tensor:
    """Return a score with the same ranking as the CRF's pairwise kernel k.

    The score is ``- sqrt(log(k_max / k))``. The kernel vanishes within a few cells, whereas the
    score falls roughly linearly with distance, so distant pairs remain distinguishable.

    Args:
        colours: normalised with the ImageNet statistics, shape (locations, 3).
        cells: row and column on a grid of 56 x 56 cells, shape (locations, 2).

    Returns:
        Tensor of shape (locations, locations), from -81 (opposite corners, black and white) to 0 (a
        location with itself).

    Example:
        >>> crf_affinity(torch.zeros(2, 3), torch.tensor([[0.0, 0.0], [0.0, 9.0]])).round()
        tensor([[-0., -9.],
                [-9., -0.]])
    """
    logarithm = log_pairwise_kernel(colours[None], cells)[0]
    highest = math.log(APPEARANCE_WEIGHT + SMOOTHNESS_WEIGHT)
    return -(highest - logarithm).clamp_min(0).sqrt()


def _cosines(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    return correspondence(first[None], second[None])[0]

"""Class marginals refined by the image: the fully connected CRF of Krähenbühl and Koltun.

Written from "Efficient Inference in Fully Connected CRFs with Gaussian Edge Potentials" (NIPS
2011). Conventions follow the C++ program with which segmentation papers report results: Potts
compatibility, kernels that include the pixel itself, normalised symmetrically, filtered on the
permutohedral lattice.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from segdistill.inference.permutohedral import Lattice, build_lattice

NORM_FLOOR = 1e-20
SAFE_EXPONENT = 80.0
"""Larger exponents come near the end of float32's range."""


@dataclass(frozen=True)
class CrfSettings:
    """Settings of the CRF; the defaults are those with which STEGO's results are reported.

    Attributes:
        iterations: of mean field.
        gaussian_sxy: deviation of the smoothness kernel, in pixels.
        gaussian_weight: of the smoothness kernel.
        bilateral_sxy: deviation of the appearance kernel in place, in pixels.
        bilateral_srgb: deviation of the appearance kernel in colour, in levels of 0..255.
        bilateral_weight: of the appearance kernel.

    Raises:
        ValueError: a deviation is not above 0, or a weight or the iterations below 0.
    """

    iterations: int = 10
    gaussian_sxy: float = 1.0
    gaussian_weight: float = 3.0
    bilateral_sxy: float = 67.0
    bilateral_srgb: float = 3.0
    bilateral_weight: float = 4.0

    def __post_init__(self) -> None:
        if min(self.gaussian_sxy, self.bilateral_sxy, self.bilateral_srgb) <= 0:
            raise ValueError("deviations (gaussian_sxy, bilateral_sxy, bilateral_srgb) must be > 0")
        if min(self.iterations, self.gaussian_weight, self.bilateral_weight) < 0:
            raise ValueError("iterations and weights must be 0 or more")


STEGO_SETTINGS = CrfSettings()


def pixel_positions(height: int, width: int, device: torch.device) -> torch.Tensor:
    """Return column and row of each pixel, row by row: float32 of shape (2, height * width).

    Example:
        >>> pixel_positions(1, 3, torch.device("cpu")).tolist()
        [[0.0, 1.0, 2.0], [0.0, 0.0, 0.0]]
    """
    rows = torch.arange(height, dtype=torch.float32, device=device)
    columns = torch.arange(width, dtype=torch.float32, device=device)
    grid = torch.meshgrid(columns, rows, indexing="xy")
    return torch.stack(grid).flatten(1)  # (2, h, w) -> (2, h * w)


def bilateral_positions(image: torch.Tensor, sxy: float, srgb: float) -> torch.Tensor:
    """Return place and colour of each pixel in deviations: shape (5, height * width).

    Args:
        image: red, green and blue in 0..255, shape (3, height, width).
        sxy: deviation in place.
        srgb: deviation in colour.
    """
    places = pixel_positions(image.shape[1], image.shape[2], image.device) / sxy
    # Blue first, as where results are reported: the lattice depends on the order of its axes.
    colours = image.flip(0).flatten(1).float() / srgb
    return torch.cat([places, colours])


def weighted_kernel(lattice: Lattice, weight: float) -> Lattice:
    """Return the kernel normalised symmetrically, times a weight.

    With ``n = (K 1 + 1e-20)^(-1/2)`` the kernel becomes ``weight * diag(n) K diag(n)``; the
    factors go into the weights of splatting and slicing, so that they cost nothing afterwards.
    """
    points = len(lattice.slice.offsets) - 1
    ones = torch.ones(points, 1, device=lattice.slice.weights.device)
    norms = (lattice.filter(ones)[:, 0] + NORM_FLOOR).rsqrt()
    splat_norms = norms[lattice.splat.indices]
    slice_norms = norms.repeat_interleave(len(lattice.slice.weights) // points)
    return replace(
        lattice,
        splat=replace(lattice.splat, weights=lattice.splat.weights * splat_norms),
        slice=replace(lattice.slice, weights=lattice.slice.weights * slice_norms * weight),
    )


def softmax_(energies: torch.Tensor) -> torch.Tensor:
    """Overwrite energies by their softmax over the last axis.

    ``torch.softmax`` is slow where rows are short and their length is odd.

    Args:
        energies: shape (pixels, classes); some entry of each row is not far below 0.

    Example:
        >>> softmax_(torch.tensor([[0.0, 0.0], [200.0, 0.0]])).tolist()
        [[0.5, 0.5], [1.0, 0.0]]
    """
    if energies.max() > SAFE_EXPONENT:
        energies -= energies.amax(1, keepdim=True)
    energies.exp_()
    return energies.div_(energies.sum(1, keepdim=True))


def mean_field(
    log_probabilities: torch.Tensor, kernels: Sequence[Lattice], iterations: int
) -> torch.Tensor:
    """Approximate the CRF's marginals by mean field: the paper's algorithm 1.

    With Potts compatibility, ``Q <- softmax(log p + sum_k K_k Q)``, from ``Q = p``.

    Args:
        log_probabilities: normalised, shape (pixels, classes), float32.
        kernels: weighted, between the pixels.
        iterations: 0 gives the probabilities themselves.

    Returns:
        Tensor of shape (pixels, classes); each row sums to 1.
    """
    marginals = softmax_(log_probabilities.clone())
    for _ in range(iterations):
        energies = log_probabilities.clone()
        for kernel in kernels:
            energies += kernel.filter(marginals)
        marginals = softmax_(energies)
    return marginals


def check_shapes(log_probabilities: torch.Tensor, images: torch.Tensor) -> None:
    """Refuse class scores and images that do not belong together.

    Raises:
        ValueError: a shape is wrong; the message names both.
    """
    scores, pictures = tuple(log_probabilities.shape), tuple(images.shape)
    if len(scores) != 4 or len(pictures) != 4 or pictures[1] != 3 or 0 in (*scores, *pictures):
        raise ValueError(
            f"scores {scores} and images {pictures}: give scores of shape (batch, classes, "
            "height, width) and images of shape (batch, 3, height, width), none of it empty"
        )
    if scores[0] != pictures[0] or scores[2:] != pictures[2:]:
        raise ValueError(f"scores {scores} and images {pictures} differ in batch, height or width")


@torch.no_grad()
def dense_crf(
    log_probabilities: torch.Tensor, images: torch.Tensor, settings: CrfSettings = STEGO_SETTINGS
) -> torch.Tensor:
    """Return class marginals that follow the edges of the images.

    Args:
        log_probabilities: shape (batch, classes, height, width); scores that differ from them by
            a constant a pixel do as well.
        images: red, green and blue in 0..255, shape (batch, 3, height, width).
        settings: by default STEGO's.

    Returns:
        Marginals of shape (batch, classes, height, width), 0..1, sum 1 over classes; float32 on
        the device of ``log_probabilities``. No gradient runs through them.

    Raises:
        ValueError: shapes do not belong together, or deviations are too small for the image.

    Example:
        >>> scores = torch.zeros(1, 2, 4, 4)
        >>> dense_crf(scores, torch.zeros(1, 3, 4, 4))[0, :, 0, 0].tolist()
        [0.5, 0.5]
    """
    check_shapes(log_probabilities, images)
    _, classes, height, width = log_probabilities.shape
    device = log_probabilities.device
    unary = log_probabilities.float().log_softmax(1)
    shared = []
    if settings.gaussian_weight and settings.iterations:
        places = pixel_positions(height, width, device) / settings.gaussian_sxy
        shared = [weighted_kernel(build_lattice(places), settings.gaussian_weight)]
    marginals = torch.empty_like(unary, memory_format=torch.contiguous_format)
    # Image by image: memory then does not grow with the batch, and one image fills a device.
    for scores, image, result in zip(unary, images.to(device), marginals, strict=True):
        kernels = list(shared)
        if settings.bilateral_weight and settings.iterations:
            features = bilateral_positions(image, settings.bilateral_sxy, settings.bilateral_srgb)
            kernels.append(weighted_kernel(build_lattice(features), settings.bilateral_weight))
        pixels = scores.flatten(1).T.contiguous()  # (classes, h, w) -> (h * w, classes)
        refined = mean_field(pixels, kernels, settings.iterations)
        result.copy_(refined.T.reshape(classes, height, width))
    return marginals


def refine_scores(
    scores: torch.Tensor, image: NDArray[np.uint8], settings: CrfSettings = STEGO_SETTINGS
) -> torch.Tensor:
    """Enlarge class scores to their image and refine them by it.

    Args:
        scores: log-probabilities on a grid, shape (1, classes, h, w).
        image: shape (height, width, 3).
        settings: by default STEGO's.

    Returns:
        Marginals of shape (classes, height, width); see :func:`dense_crf`.

    Raises:
        ValueError: shapes are not these.

    Example:
        >>> refine_scores(torch.zeros(1, 2, 3, 3), np.zeros((6, 8, 3), np.uint8)).shape
        torch.Size([2, 6, 8])
    """
    if image.ndim != 3:
        raise ValueError(f"image {image.shape}: give an image of shape (height, width, 3)")
    if scores.ndim != 4 or len(scores) != 1:
        raise ValueError(f"scores {tuple(scores.shape)}: give scores of shape (1, classes, h, w)")
    height, width = image.shape[:2]
    enlarged = F.interpolate(
        scores.float(), size=(height, width), mode="bilinear", align_corners=False
    )
    picture = torch.tensor(image, device=scores.device).permute(2, 0, 1)[None]
    return dense_crf(enlarged, picture, settings)[0]

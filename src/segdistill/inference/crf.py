"""Class marginals refined by the image: the fully connected CRF of Krähenbühl and Koltun.

Written from "Efficient Inference in Fully Connected CRFs with Gaussian Edge Potentials" (NIPS
2011). Conventions follow the C++ program with which segmentation papers report results: Potts
compatibility, kernels that include the pixel itself, normalised symmetrically, filtered on the
permutohedral lattice.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.sparse import csr_array

from segdistill.inference.permutohedral import Lattice, SparseRows, build_lattice

NORM_FLOOR = 1e-20
NEGLIGIBLE = 1e-7
"""Weights below this are products of rounding errors."""

BITS = math.log2(math.e)
SAFE_BITS = 110.0
"""Powers of 2 above this come near the end of float32's range."""

STRIP = 21
"""Rows of the strip that stands for all: in its middle no kernel feels a border."""

Device = torch.device
Filter = Callable[[torch.Tensor], torch.Tensor]


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


def weighted_lattice(lattice: Lattice, weight: float) -> Lattice:
    """Return the kernel ``K`` normalised symmetrically, times a weight.

    With ``n = (K 1 + 1e-20)^(-1/2)`` the kernel becomes ``weight diag(n) K diag(n)``; the factors
    go into the weights of splatting and slicing, so that they cost nothing afterwards.
    """
    points = len(lattice.slice.offsets) - 1
    ones = lattice.slice.weights.new_ones(points, 1)
    norms = (lattice.filter(ones)[:, 0] + NORM_FLOOR).rsqrt()
    splat_norms = norms.index_select(0, lattice.splat.indices)
    slice_norms = norms.repeat_interleave(len(lattice.slice.weights) // points)
    return replace(
        lattice,
        splat=replace(lattice.splat, weights=lattice.splat.weights * splat_norms),
        slice=replace(lattice.slice, weights=lattice.slice.weights * slice_norms * weight),
    )


def collapse(lattice: Lattice) -> csr_array:
    """Return the lattice's steps as one matrix between points.

    It is the faster filter where each point has few others near.
    """
    vertices, points = len(lattice.splat.offsets) - 1, len(lattice.slice.offsets) - 1
    product = lattice.splat.matrix(points)
    for blur in lattice.blurs:
        product = blur.matrix(vertices) @ product
    product = lattice.slice.matrix(vertices) @ product
    product.data[product.data < NEGLIGIBLE] = 0
    product.eliminate_zeros()
    return product


def gaussian_filter(height: int, width: int, sxy: float, weight: float, device: Device) -> Filter:
    """Return the normalised, weighted smoothness kernel.

    At deviation 1 a step of one row maps the lattice onto itself, so that the filter between
    pixels is the same in every row but those near a border: it is computed for a low strip, as
    one sparse matrix, whose middle row then repeats.
    """
    repeats = sxy == 1
    strip = min(height, STRIP) if repeats else height
    places = pixel_positions(strip, width, device) / sxy
    lattice = weighted_lattice(build_lattice(places), weight)
    if not repeats:
        return lattice.filter
    rows = np.arange(height)
    alike = np.maximum(np.minimum(rows, strip // 2), rows - (height - strip))
    pixels = alike[:, None] * width + np.arange(width)  # (height, width), numbers in the strip
    matrix = collapse(lattice)[pixels.ravel()]
    shifts = np.repeat((rows - alike) * width, width)
    matrix.indices += np.repeat(shifts, np.diff(matrix.indptr)).astype(matrix.indices.dtype)
    return SparseRows.from_matrix(matrix, device).times


def softmax_of_bits_(energies: torch.Tensor) -> torch.Tensor:
    """Overwrite energies by ``2^energies``, each row divided by its sum.

    Powers of 2 take a third of the time of ``exp``, and no longer where they are denormal;
    ``torch.softmax`` is slower still on short rows of odd length.

    Args:
        energies: shape (pixels, classes); some entry of each row is not far below 0.

    Example:
        >>> softmax_of_bits_(torch.tensor([[0.0, 0.0], [200.0, 0.0]])).tolist()
        [[0.5, 0.5], [1.0, 0.0]]
    """
    if energies.max() > SAFE_BITS:
        energies -= energies.amax(1, keepdim=True)
    energies.exp2_()
    return energies.div_(energies.sum(1, keepdim=True))


def mean_field(scores: torch.Tensor, filters: Sequence[Filter], iterations: int) -> torch.Tensor:
    """Approximate the CRF's marginals by mean field: the paper's algorithm 1.

    With Potts compatibility, ``Q <- softmax(scores + sum_k K_k Q)``, from ``softmax(scores)``.

    Args:
        scores: log-probabilities in bits, or less a constant a pixel so that a pixel's largest is
            0; shape (pixels, classes), float32.
        filters: multiply by the weighted kernels ``K_k``, in bits.
        iterations: 0 gives ``softmax(scores)``.

    Returns:
        Tensor of shape (pixels, classes); each row sums to 1.
    """
    marginals = softmax_of_bits_(scores.clone())
    for _ in range(iterations if filters else 0):
        energies = filters[0](marginals)
        for each in filters[1:]:
            energies += each(marginals)
        marginals = softmax_of_bits_(energies.add_(scores))
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

    Working memory is about 35 bytes a pixel and class and 0.4 to 1.3 kB a pixel besides, for any
    number of images.

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
    marginals = torch.empty(log_probabilities.shape, dtype=torch.float32, device=device)
    shared = []
    if settings.gaussian_weight and settings.iterations:
        weight = settings.gaussian_weight * BITS
        shared = [gaussian_filter(height, width, settings.gaussian_sxy, weight, device)]
    # Image by image: working memory then does not grow with the batch.
    for scores, image, result in zip(log_probabilities, images.to(device), marginals, strict=True):
        filters = list(shared)
        if settings.bilateral_weight and settings.iterations:
            features = bilateral_positions(image, settings.bilateral_sxy, settings.bilateral_srgb)
            weight = settings.bilateral_weight * BITS
            filters.append(weighted_lattice(build_lattice(features), weight).filter)
        levels = scores.float().flatten(1)
        levels = levels - levels.amax(0)
        pixels = levels.T.contiguous().mul_(BITS)  # (classes, h * w) -> (h * w, classes)
        refined = mean_field(pixels, filters, settings.iterations)
        result.copy_(refined.T.view(classes, height, width))
    return marginals

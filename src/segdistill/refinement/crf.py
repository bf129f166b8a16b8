"""Fully connected CRF of Krähenbühl and Koltun, which refines class scores by the image.

Implements "Efficient Inference in Fully Connected CRFs with Gaussian Edge Potentials" (NIPS 2011).
Conventions follow the C++ implementation used by segmentation papers: Potts compatibility, kernels
that include the pixel itself, symmetric normalisation and filtering on the permutohedral lattice.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.sparse import csr_array

from segdistill.refinement.permutohedral import Lattice, SparseRows, build_lattice

NORM_FLOOR = 1e-20
NEGLIGIBLE = 1e-7
"""Weights below this are due to rounding errors."""

LOG2_E = math.log2(math.e)
MAX_EXPONENT = 110.0
"""Powers of 2 with larger exponents may overflow float32."""

STRIP_ROWS = 21
"""Height of the strip that represents all rows; its middle row is unaffected by the borders."""

Device = torch.device
Filter = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class CrfSettings:
    """Settings of the CRF; the defaults are those of STEGO.

    Attributes:
        iterations: number of mean-field iterations.
        gaussian_sxy: standard deviation of the smoothness kernel, in pixels.
        gaussian_weight: weight of the smoothness kernel.
        bilateral_sxy: spatial standard deviation of the appearance kernel, in pixels.
        bilateral_srgb: colour standard deviation of the appearance kernel, for colours in 0..255.
        bilateral_weight: weight of the appearance kernel.

    Raises:
        ValueError: a standard deviation is not positive, or another value is negative.
    """

    iterations: int = 10
    gaussian_sxy: float = 1.0
    gaussian_weight: float = 3.0
    bilateral_sxy: float = 67.0
    bilateral_srgb: float = 3.0
    bilateral_weight: float = 4.0

    def __post_init__(self) -> None:
        if min(self.gaussian_sxy, self.bilateral_sxy, self.bilateral_srgb) <= 0:
            raise ValueError("gaussian_sxy, bilateral_sxy and bilateral_srgb must be positive")
        if min(self.iterations, self.gaussian_weight, self.bilateral_weight) < 0:
            raise ValueError("iterations and weights must be 0 or more")


STEGO_SETTINGS = CrfSettings()


def pixel_positions(height: int, width: int, device: torch.device) -> torch.Tensor:
    """Return the column and row of each pixel in row-major order, float32, (2, height * width).

    Example:
        >>> pixel_positions(1, 3, torch.device("cpu")).tolist()
        [[0.0, 1.0, 2.0], [0.0, 0.0, 0.0]]
    """
    rows = torch.arange(height, dtype=torch.float32, device=device)
    columns = torch.arange(width, dtype=torch.float32, device=device)
    grid = torch.meshgrid(columns, rows, indexing="xy")
    return torch.stack(grid).flatten(1)  # (2, h, w) -> (2, h * w)


def bilateral_positions(image: torch.Tensor, sxy: float, srgb: float) -> torch.Tensor:
    """Return position and colour of each pixel in standard deviations, shape (5, height * width).

    Args:
        image: RGB in 0..255, shape (3, height, width).
        sxy: spatial standard deviation.
        srgb: colour standard deviation.
    """
    positions = pixel_positions(image.shape[1], image.shape[2], image.device) / sxy
    # BGR as in the reference implementation: the lattice depends on the order of its axes.
    colours = image.flip(0).flatten(1).float() / srgb
    return torch.cat([positions, colours])


def weighted_lattice(lattice: Lattice, weight: float) -> Lattice:
    """Normalise a kernel ``K`` symmetrically and scale it by a weight.

    With ``n = (K 1 + 1e-20)^(-1/2)``, the kernel becomes ``weight diag(n) K diag(n)``. The factors
    are folded into the splatting and slicing weights, so filtering costs no extra time.
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
    """Collapse the steps of a lattice into one sparse matrix between points.

    Faster than the lattice if each point has few neighbours.
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

    With a standard deviation of 1, a shift by one row maps the lattice onto itself, so the filter
    is the same in all rows away from the borders. It is computed as a sparse matrix for a narrow
    strip, and the middle row is repeated.
    """
    repeats = sxy == 1
    strip = min(height, STRIP_ROWS) if repeats else height
    positions = pixel_positions(strip, width, device) / sxy
    lattice = weighted_lattice(build_lattice(positions), weight)
    if not repeats:
        return lattice.filter
    rows = np.arange(height)
    strip_rows = np.maximum(np.minimum(rows, strip // 2), rows - (height - strip))
    pixels = strip_rows[:, None] * width + np.arange(width)  # (height, width), pixels of the strip
    matrix = collapse(lattice)[pixels.ravel()]
    shifts = np.repeat((rows - strip_rows) * width, width)
    matrix.indices += np.repeat(shifts, np.diff(matrix.indptr)).astype(matrix.indices.dtype)
    return SparseRows.from_matrix(matrix, device).times


def softmax_of_bits_(energies: torch.Tensor) -> torch.Tensor:
    """Softmax with base 2, in place.

    ``exp2`` takes a third of the time of ``exp`` and does not slow down for denormal results;
    ``torch.softmax`` is even slower on short rows of odd length.

    Args:
        energies: shape (pixels, classes); the maximum of each row is not far below 0.

    Example:
        >>> softmax_of_bits_(torch.tensor([[0.0, 0.0], [200.0, 0.0]])).tolist()
        [[0.5, 0.5], [1.0, 0.0]]
    """
    if energies.max() > MAX_EXPONENT:
        energies -= energies.amax(1, keepdim=True)
    energies.exp2_()
    return energies.div_(energies.sum(1, keepdim=True))


def mean_field(scores: torch.Tensor, filters: Sequence[Filter], iterations: int) -> torch.Tensor:
    """Approximate the marginals of the CRF by mean field (algorithm 1 of the paper).

    With Potts compatibility, iterate ``Q <- softmax(scores + sum_k K_k Q)``, starting from
    ``softmax(scores)``.

    Args:
        scores: log-probabilities to base 2, up to a constant per pixel that makes the maximum 0;
            shape (pixels, classes), float32.
        filters: multiplication by the weighted kernels ``K_k``, to base 2.
        iterations: number of iterations; 0 returns ``softmax(scores)``.

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
    """Check that the shapes of class scores and images match.

    Raises:
        ValueError: a shape is wrong; the message gives both.
    """
    scores, rgb = tuple(log_probabilities.shape), tuple(images.shape)
    if len(scores) != 4 or len(rgb) != 4 or rgb[1] != 3 or 0 in (*scores, *rgb):
        raise ValueError(
            f"scores {scores} and images {rgb}: must have shapes (batch, classes, height, width)"
            " and (batch, 3, height, width), and not be empty"
        )
    if scores[0] != rgb[0] or scores[2:] != rgb[2:]:
        raise ValueError(f"scores {scores} and images {rgb} differ in batch, height or width")


@torch.no_grad()
def dense_crf(
    log_probabilities: torch.Tensor, images: torch.Tensor, settings: CrfSettings = STEGO_SETTINGS
) -> torch.Tensor:
    """Refine class probabilities along the edges of images with the fully connected CRF.

    Working memory is about 35 bytes per pixel and class plus 0.4 to 1.3 kB per pixel, regardless
    of the batch size.

    Args:
        log_probabilities: shape (batch, classes, height, width); a constant offset per pixel has
            no effect.
        images: RGB in 0..255, shape (batch, 3, height, width).

    Returns:
        Marginals in 0..1 that sum to 1 over classes, shape (batch, classes, height, width);
        float32, on the device of ``log_probabilities``, without gradients.

    Raises:
        ValueError: shapes do not match, or standard deviations are too small for the image.

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
        weight = settings.gaussian_weight * LOG2_E
        shared = [gaussian_filter(height, width, settings.gaussian_sxy, weight, device)]
    # One image at a time, so that working memory does not grow with the batch.
    for scores, image, result in zip(log_probabilities, images.to(device), marginals, strict=True):
        filters = list(shared)
        if settings.bilateral_weight and settings.iterations:
            features = bilateral_positions(image, settings.bilateral_sxy, settings.bilateral_srgb)
            weight = settings.bilateral_weight * LOG2_E
            filters.append(weighted_lattice(build_lattice(features), weight).filter)
        logits = scores.float().flatten(1)
        logits = logits - logits.amax(0)
        pixels = logits.T.contiguous().mul_(LOG2_E)  # (classes, h * w) -> (h * w, classes)
        refined = mean_field(pixels, filters, settings.iterations)
        result.copy_(refined.T.view(classes, height, width))
    return marginals

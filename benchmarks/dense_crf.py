"""The fully connected CRF, compared with the C++ package pydensecrf2 as its plain implementation.

Both run on the CPU, in one thread, whatever the device. The rougher a synthetic image is, the more
vertices its lattice has; sixty web photos at 320x320 had 0.1 to 3.2 vertices per pixel, with a
median of 0.8.

    pip install pydensecrf2
"""

import importlib
from collections.abc import Iterator
from types import ModuleType

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from benchmarks.table import Agreement, Conditions, Row, best_of
from segdistill.refinement.crf import STEGO_SETTINGS, bilateral_positions, dense_crf
from segdistill.refinement.permutohedral import build_lattice

NAME = "crf"
RUNS = 5
GRID = 40
NOISE = {"smooth": 1.0, "usual": 4.0, "rough": 10.0}
"""Standard deviation of the noise."""

CASES = (
    *((320, 27, "smooth"), (320, 27, "usual"), (320, 27, "rough")),
    *((320, 11, "usual"), (224, 27, "usual"), (480, 27, "usual")),
)
SMALLEST = ((32, 3, "usual"),)
MARGINAL_BOUND = 1e-5
"""Bound on the mean: rounding may assign one pixel in ten thousand to another vertex."""


def rows(conditions: Conditions) -> Iterator[Row]:
    package = compiled()
    for side, classes, picture in SMALLEST if conditions.smallest else CASES:
        yield row(package, side, classes, picture, conditions)


def row(
    package: ModuleType | None, side: int, classes: int, picture: str, conditions: Conditions
) -> Row:
    image, scores = made_image(side, NOISE[picture]), made_scores(side, classes)
    images = torch.from_numpy(image).permute(2, 0, 1)[None]
    settings = STEGO_SETTINGS
    positions = bilateral_positions(images[0], settings.bilateral_sxy, settings.bilateral_srgb)
    vertices = (len(build_lattice(positions).splat.offsets) - 1) / side**2
    what = "fully connected CRF, compared with C++, on the CPU"
    shape = f"{side}x{side}, {classes} classes, {picture}"
    size = f"{shape}: {vertices:.2f} vertices per pixel; per image"
    runs = conditions.at_most(RUNS)

    def this() -> torch.Tensor:
        return dense_crf(scores, images)[0]

    if package is None:
        [time] = best_of(runs, this)
        return Row(NAME, what, size, "pydensecrf2 is not installed", this=time)

    def plain() -> torch.Tensor:
        return compiled_marginals(package, scores, image)

    difference = (this() - plain()).abs().mean().item()
    times = best_of(runs, plain, this)
    agreement = Agreement("mean difference of marginals", difference, MARGINAL_BOUND)
    return Row(NAME, what, size, agreement, plain=times[0], this=times[1])


def made_image(side: int, noise: float) -> NDArray[np.uint8]:
    """Patches of colour under uneven light, with noise; shape (side, side, 3)."""
    generator = torch.Generator().manual_seed(0)
    patches = F.interpolate(torch.rand(1, 3, 6, 6, generator=generator), size=(side, side))
    corners = torch.rand(1, 1, 5, 5, generator=generator)
    light = F.interpolate(corners, size=(side, side), mode="bilinear", align_corners=False)
    grain = torch.randn(patches.shape, generator=generator) * noise
    image = 40 + 120 * patches + 60 * light + grain
    pixels: NDArray[np.uint8] = image[0].permute(1, 2, 0).clamp(0, 255).byte().numpy()
    return np.ascontiguousarray(pixels)


def made_scores(side: int, classes: int) -> torch.Tensor:
    logits = torch.randn(1, classes, GRID, GRID, generator=torch.Generator().manual_seed(1)) * 2
    enlarged = F.interpolate(logits, size=(side, side), mode="bilinear", align_corners=False)
    return enlarged.log_softmax(1)


def compiled() -> ModuleType | None:
    try:
        return importlib.import_module("pydensecrf.densecrf")
    except ImportError:
        return None


def compiled_marginals(
    package: ModuleType, scores: torch.Tensor, image: NDArray[np.uint8]
) -> torch.Tensor:
    _, classes, height, width = scores.shape
    settings = STEGO_SETTINGS
    field = package.DenseCRF2D(width, height, classes)
    field.setUnaryEnergy(-scores[0].reshape(classes, -1).numpy())
    field.addPairwiseGaussian(sxy=settings.gaussian_sxy, compat=settings.gaussian_weight)
    field.addPairwiseBilateral(
        sxy=settings.bilateral_sxy,
        srgb=settings.bilateral_srgb,
        rgbim=np.ascontiguousarray(image[..., ::-1]),
        compat=settings.bilateral_weight,
    )
    marginals = np.array(field.inference(settings.iterations))
    return torch.from_numpy(marginals).reshape(classes, height, width)

"""The fully connected CRF beside the C++ package pydensecrf2, on one thread.

Prints a Markdown table: seconds an image (the best of several runs, the two programs in turn),
their ratio, and how far their marginals differ. Without pydensecrf2 its columns stay empty.

    pip install pydensecrf2
    python benchmarks/dense_crf.py
"""

import importlib
import platform
import time
from collections.abc import Callable
from types import ModuleType

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from segdistill.inference.crf import STEGO_SETTINGS, bilateral_positions, dense_crf
from segdistill.inference.permutohedral import build_lattice

RUNS = 5
GRID = 40
PICTURES = {"smooth": 1.0, "usual": 4.0, "rough": 10.0}
"""Deviation of the noise: the rougher a picture, the more vertices its lattice has.

Sixty web photos at 320x320 had 0.1 to 3.2 vertices a pixel, 0.8 in the middle.
"""
SIZES = [(320, 27), (320, 11), (224, 27), (480, 27)]


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


def seconds(work: Callable[[], torch.Tensor]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def row(package: ModuleType | None, side: int, classes: int, name: str) -> str:
    image, scores = made_image(side, PICTURES[name]), made_scores(side, classes)
    images = torch.from_numpy(image).permute(2, 0, 1)[None]
    settings = STEGO_SETTINGS
    positions = bilateral_positions(images[0], settings.bilateral_sxy, settings.bilateral_srgb)
    vertices = len(build_lattice(positions).splat.offsets) - 1

    def ours() -> torch.Tensor:
        return dense_crf(scores, images)[0]

    cells = [f"{side}x{side}", str(classes), name, f"{vertices / side**2:.2f}"]
    if package is None:
        return f"| {' | '.join(cells)} | {min(seconds(ours) for _ in range(RUNS)):.2f} | | | |"

    def theirs() -> torch.Tensor:
        return compiled_marginals(package, scores, image)

    difference = (ours() - theirs()).abs().max().item()
    pairs = [(seconds(ours), seconds(theirs)) for _ in range(RUNS)]
    mine, other = min(pair[0] for pair in pairs), min(pair[1] for pair in pairs)
    cells += [f"{mine:.2f}", f"{other:.2f}", f"{mine / other:.2f}", f"{difference:.0e}"]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    torch.set_num_threads(1)
    package = compiled()
    print(f"torch {torch.__version__}, 1 thread, {platform.machine()}, best of {RUNS}\n")
    print("| size | classes | image | vertices a pixel | segdistill s | C++ s | ratio | differ |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for side, classes in SIZES:
        for name in PICTURES:
            print(row(package, side, classes, name), flush=True)


if __name__ == "__main__":
    main()

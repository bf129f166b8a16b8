"""Shared by several tests: golden values, a tiny backbone, small images."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image

from segdistill.backbones.protocol import Backbone

GOLDEN = Path(__file__).parent / "golden"


def golden(name: str) -> dict[str, Any]:
    """Return golden arrays as tensors, and golden numbers as numbers."""
    with np.load(GOLDEN / f"{name}.npz") as file:
        return {
            key: file[key].item() if file[key].ndim == 0 else torch.from_numpy(file[key])
            for key in file
        }


class TinyBackbone(Backbone):
    """Mean colour and its standard deviation in cells of 8 pixels: enough to separate colours."""

    name = "tiny"
    fingerprint = "0123456789abcdef"
    stride = 8
    size_multiple = 16
    channel_groups: tuple[int, ...] = (3, 3)
    standardise = True
    resolution = 64
    licence = "none"

    def __init__(self) -> None:
        super().__init__()
        self.passes = 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if not torch.compiler.is_compiling():  # where the number of images is symbolic
            self.passes += len(images)
        mean = F.avg_pool2d(images, self.stride)
        spread = F.avg_pool2d(images**2, self.stride) - mean**2
        return torch.cat([mean, spread.clamp_min(0).sqrt()], dim=1)


def striped_image(seed: int, height: int = 64, width: int = 96) -> NDArray[np.uint8]:
    """Return a noisy image with a blue upper, a grey middle and a green lower part."""
    random = np.random.default_rng(seed)
    image = np.empty((height, width, 3), np.float64)
    first = height // 4 + int(random.integers(height // 4))
    second = first + height // 4
    image[:first] = (70, 120, 220)
    image[first:second] = (130, 130, 130)
    image[second:] = (60, 150, 50)
    return (image + random.normal(0, 12, image.shape)).clip(0, 255).astype(np.uint8)


def striped_labels(seed: int, height: int = 64, width: int = 96) -> NDArray[np.uint8]:
    """Return the labels of :func:`striped_image`: 0, 1 and 2 from top to bottom."""
    random = np.random.default_rng(seed)
    first = height // 4 + int(random.integers(height // 4))
    labels = np.full((height, width), 2, np.uint8)
    labels[: first + height // 4] = 1
    labels[:first] = 0
    return labels


def write_striped_folder(root: Path, count: int = 6) -> Path:
    """Write striped images, one of them in a sub-folder; return the folder."""
    (root / "more").mkdir(parents=True, exist_ok=True)
    for seed in range(count):
        folder = root / "more" if seed == count - 1 else root
        Image.fromarray(striped_image(seed)).save(folder / f"picture_{seed}.png")
    return root


def edited(text: str) -> dict[str, Any]:
    """Return the content of a JSON file for a change by hand: without its checksum."""
    content: dict[str, Any] = json.loads(text)
    content.pop("sha256", None)
    return content


def write_run_stub(folder: Path) -> Path:
    """Write a folder that the commands' check of RUN accepts; it holds no model."""
    folder.mkdir(parents=True)
    (folder / "segmenter.json").write_text("{}")
    return folder

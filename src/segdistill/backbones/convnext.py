"""DINOv3's ConvNeXt backbones from the transformers library.

Siméoni et al., DINOv3 (2025); Liu et al., A ConvNet for the 2020s (CVPR 2022).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from segdistill.backbones.protocol import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Backbone,
    network_fingerprint,
    normalise_images,
)

if TYPE_CHECKING:
    from transformers import PreTrainedModel

MODEL_TYPE = "dinov3_convnext"
STRIDE = 32
RESOLUTION = 640


class ConvNeXtBackbone(Backbone):
    """ConvNeXt with the last stage, after the final norm, as features.

    Shapes: (batch, 3, height, width) in 0..1 to (batch, channels, height / 32, width / 32).

    Args:
        model: transformers' ``DINOv3ConvNextModel``; it is frozen.
        name: value of ``--backbone`` that loads this network.
        licence: licence of the weights.
        mean: mean of each channel, for images in 0..1.
        std: standard deviation of each channel.
    """

    stride = size_multiple = STRIDE
    standardise = False
    resolution = RESOLUTION

    def __init__(
        self,
        model: "PreTrainedModel",
        *,
        name: str,
        licence: str,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ) -> None:
        super().__init__()
        config: Any = model.config
        self.name = name
        self.licence = licence
        self.channel_groups = (int(config.hidden_sizes[-1]),)
        facts = (config.model_type, *config.depths, config.layer_norm_eps)
        self.fingerprint = network_fingerprint(model, facts, tuple(mean), tuple(std))
        self._mean, self._std = tuple(mean), tuple(std)
        self.model = model
        self.freeze()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the features as a map; see the class."""
        grid = (images.shape[2] // self.stride, images.shape[3] // self.stride)
        inputs = normalise_images(images, self._mean, self._std)
        tokens = self.model(pixel_values=inputs).last_hidden_state
        # The average comes first. (batch, 1 + cells, channels) -> (batch, channels, rows, columns)
        cells: torch.Tensor = tokens[:, 1:].transpose(1, 2)
        return cells.reshape(images.shape[0], *self.channel_groups, *grid)

"""Conversion of DINOv3's ConvNeXt weights, by the names of Meta's own files.

Siméoni et al., DINOv3 (2025); Liu et al., A ConvNet for the 2020s (CVPR 2022).
"""

import re
from typing import TYPE_CHECKING

from segdistill.backbones.finite import check_finite
from segdistill.backbones.weight_files import SUPPORTED, State
from segdistill.errors import UserError

if TYPE_CHECKING:
    from transformers import DINOv3ConvNextConfig

STAGES = 4
NORM_EPS = 1e-6
BLOCK_LAYERS = {
    "dwconv": "depthwise_conv",
    "norm": "layer_norm",
    "pwconv1": "pointwise_conv1",
    "pwconv2": "pointwise_conv2",
}
# Heads, and copies of the last norm under the index of its stage.
UNUSED = re.compile(r"(head|norms)\.")


def convert_convnext(state: State) -> tuple["DINOv3ConvNextConfig", State]:
    """Convert the weights of a ConvNeXt to transformers' network.

    Args:
        state: tensors by Meta's names, without prefixes.

    Returns:
        The configuration, and the tensors by hub name.

    Raises:
        UserError: the names or shapes are not those of such a network, or a weight is not finite.
    """
    from transformers import DINOv3ConvNextConfig  # noqa: PLC0415 - takes seconds

    used = {name: tensor for name, tensor in state.items() if not UNUSED.match(name)}
    check_finite(used)
    depths, widths = [], []
    for stage in range(STAGES):
        starts = {
            found[1] for name in used if (found := re.match(rf"stages\.{stage}\.(\d+)\.", name))
        }
        norm = used.get(f"stages.{stage}.0.norm.weight")
        if norm is None or norm.ndim != 1:
            raise UserError(
                f"not a ConvNeXt that segdistill supports: stages.{stage}.0.norm.weight is missing"
                f" or not a vector; {SUPPORTED}"
            )
        depths.append(len(starts))
        widths.append(len(norm))
    config = DINOv3ConvNextConfig(hidden_sizes=widths, depths=depths, layer_norm_eps=NORM_EPS)
    return config, {_hub_name(name): tensor for name, tensor in used.items()}


def _hub_name(name: str) -> str:
    if found := re.fullmatch(r"downsample_layers\.(\d)\.(\d)\.(weight|bias)", name):
        return f"stages.{found[1]}.downsample_layers.{found[2]}.{found[3]}"
    if found := re.fullmatch(r"stages\.(\d)\.(\d+)\.gamma", name):
        return f"stages.{found[1]}.layers.{found[2]}.gamma"
    if found := re.fullmatch(r"stages\.(\d)\.(\d+)\.(\w+)\.(weight|bias)", name):
        layer = BLOCK_LAYERS.get(found[3])
        if layer:
            return f"stages.{found[1]}.layers.{found[2]}.{layer}.{found[4]}"
    if name in {"norm.weight", "norm.bias"}:
        return f"layer_{name}"
    raise UserError(
        f"not a ConvNeXt that segdistill supports: unexpected weight {name}; {SUPPORTED}"
    )

"""Vision transformer backbones (DINO, DINOv2, DINOv3) with tokens or keys as features.

Caron et al., Emerging Properties in Self-Supervised Vision Transformers (ICCV 2021); Oquab et
al., DINOv2 (TMLR 2024); Darcet et al., Vision Transformers Need Registers (ICLR 2024); Siméoni
et al., DINOv3 (2025).
"""

import math
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch
from torch import nn

from segdistill.backbones.attention import RotaryEmbedding, patch_attention
from segdistill.backbones.protocol import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    AttentionBackbone,
    normalise_images,
    weights_fingerprint,
)
from segdistill.backbones.traced_positions import PositionInterpolation, TraceablePositions
from segdistill.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Features = Literal["tokens", "keys"]


# Names of the attention projections in transformers 4 and 5.
KEY_PROJECTIONS = {"k_proj", "key"}
QUERY_PROJECTIONS = {"q_proj", "query"}

DINO_MARGIN = 0.1
"""DINO's offset of the grid size, which keeps rounding from dropping a row or column."""


class Architecture(NamedTuple):
    """How to load and call an architecture with transformers.

    Attributes:
        model_class: name of the transformers class.
        load_options: more arguments to ``from_pretrained``.
        call_options: more arguments to the forward pass.
        rotary_module: name of the module that returns the cosines and sines of the rotary position
            embedding; ``None`` without one.
        positions: interpolation of learned position embeddings; ``None`` without them.
    """

    model_class: str
    load_options: dict[str, bool]
    call_options: dict[str, bool]
    rotary_module: str | None = None
    positions: PositionInterpolation | None = None


# By model_type in config.json.
ARCHITECTURES = {
    "vit": Architecture(
        "ViTModel",
        {"add_pooling_layer": False},
        {"interpolate_pos_encoding": True},
        positions=PositionInterpolation(DINO_MARGIN),
    ),
    "dinov2": Architecture("Dinov2Model", {}, {}, positions=PositionInterpolation()),
    "dinov2_with_registers": Architecture(
        "Dinov2WithRegistersModel", {}, {}, positions=PositionInterpolation(antialias=True)
    ),
    "dinov3_vit": Architecture("DINOv3ViTModel", {}, {}, rotary_module="rope_embeddings"),
}


class TransformersBackbone(AttentionBackbone):
    """Vision transformer with the last tokens, or the keys of the last block, as features.

    Class and register tokens are dropped. Tokens are taken after the final norm. Keys are the
    outputs of the key projection with concatenated heads ('KK' in STEGO), before any rotary
    position embedding.

    Shapes: (batch, 3, height, width) in 0..1 to
    (batch, hidden size, height / patch size, width / patch size).

    Args:
        model: a model of one of ``ARCHITECTURES``. It is modified in place: frozen, and with the
            interpolation of position embeddings replaced (for ViT, by DINO's).
        name: value of ``--backbone`` that loads this network.
        licence: licence of the weights.
        mean: mean of each channel, for images in 0..1.
        std: standard deviation of each channel.
        features: ``tokens`` or ``keys``.

    Raises:
        UserError: the patches are not square.
    """

    stride: int
    size_multiple: int
    channel_groups: tuple[int, ...]
    standardise = False

    def __init__(
        self,
        model: "PreTrainedModel",
        *,
        name: str,
        licence: str,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        features: Features = "tokens",
    ) -> None:
        super().__init__()
        config: Any = model.config
        self.name = name
        self.licence = licence
        self.features = features
        self.stride = self.size_multiple = _patch_side(config.patch_size, name)
        self.resolution = _resolution(self.stride)
        self.channel_groups = (int(config.hidden_size),)
        self.fingerprint = _fingerprint(model, mean, std, features)
        self._mean, self._std = tuple(mean), tuple(std)
        self._first_patch = 1 + getattr(config, "num_register_tokens", 0)
        self._heads = int(config.num_attention_heads)
        self._architecture = ARCHITECTURES[config.model_type]
        _patch_position_interpolation(model, self.stride, self._architecture.positions)
        self.model = model
        self.freeze()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return tokens or keys as a feature map; see the class."""
        grid = (images.shape[2] // self.stride, images.shape[3] // self.stride)
        inputs = normalise_images(images, self._mean, self._std)
        tokens = self._keys(inputs) if self.features == "keys" else self._tokens(inputs)
        # Class and register tokens come first. (batch, first + patches, channels) ->
        # (batch, channels, patches) -> (batch, channels, rows, columns)
        patches = tokens[:, self._first_patch :].transpose(1, 2)
        return patches.reshape(images.shape[0], *self.channel_groups, *grid)

    def attention(self, images: torch.Tensor) -> torch.Tensor:
        """Return the attention between locations; see :class:`AttentionBackbone`.

        This is the attention of the last block, with any rotary position embedding. The softmax is
        over all tokens; class and register tokens are dropped after it. ``features`` has no effect.
        """
        projections = [
            _last_module(self.model, QUERY_PROJECTIONS),
            _last_module(self.model, KEY_PROJECTIONS),
        ]
        rotary_module = self._architecture.rotary_module
        rotary_modules = [self.model.get_submodule(rotary_module)] if rotary_module else []
        with torch.no_grad():
            inputs = normalise_images(images, self._mean, self._std)
            queries, keys, *angles = self._outputs(projections + rotary_modules, inputs)
            return patch_attention(
                queries,
                keys,
                heads=self._heads,
                patches=queries.shape[1] - self._first_patch,
                rotary=RotaryEmbedding(*angles[0]) if angles else None,
            )

    def _tokens(self, inputs: torch.Tensor) -> torch.Tensor:
        output = self.model(pixel_values=inputs, **self._architecture.call_options)
        tokens: torch.Tensor = output.last_hidden_state
        return tokens

    def _keys(self, inputs: torch.Tensor) -> torch.Tensor:
        keys: torch.Tensor = self._outputs([_last_module(self.model, KEY_PROJECTIONS)], inputs)[0]
        return keys

    def _outputs(self, modules: Sequence[nn.Module], inputs: torch.Tensor) -> list[Any]:
        """Run the network once and return the outputs of some of its modules."""
        caught: dict[nn.Module, Any] = {}
        with ExitStack() as hooks:  # removed, or they would keep outputs alive
            for module in modules:
                hooks.enter_context(
                    module.register_forward_hook(
                        lambda module, _inputs, output: caught.update({module: output})
                    )
                )
            self._tokens(inputs)
        return [caught[module] for module in modules]


def dino_position_embedding(
    position_embeddings: torch.Tensor, rows: int, columns: int
) -> torch.Tensor:
    """Interpolate position embeddings to another patch grid, as in DINO's original code.

    DINO interpolates by the scale factor (patches + 0.1) / sqrt(positions), while transformers
    interpolates to a size, which gives slightly different values. Source:
    ``interpolate_pos_encoding`` in DINO's ``vision_transformer.py``.

    Args:
        position_embeddings: embeddings of shape (1, 1 + positions, channels): the class token, then
            a square grid.
        rows: rows of patches.
        columns: columns of patches.

    Returns:
        Tensor of shape (1, 1 + rows * columns, channels).

    Example:
        >>> dino_position_embedding(torch.zeros(1, 1 + 16, 8), 4, 6).shape
        torch.Size([1, 25, 8])
    """
    positions = position_embeddings.shape[1] - 1
    if rows == columns and rows * columns == positions:
        return position_embeddings
    side = math.isqrt(positions)
    # (1, positions, channels) to (1, channels, side, side)
    grid = position_embeddings[:, 1:].transpose(1, 2).reshape(1, -1, side, side)
    grid = nn.functional.interpolate(
        grid,
        scale_factor=((rows + DINO_MARGIN) / side, (columns + DINO_MARGIN) / side),
        mode="bicubic",
        align_corners=False,
    )
    # (1, channels, rows, columns) to (1, rows * columns, channels)
    patches = grid.flatten(2).transpose(1, 2)
    return torch.cat((position_embeddings[:, :1], patches), dim=1)


def _patch_side(patch_size: int | Sequence[int], name: str) -> int:
    sides = {patch_size} if isinstance(patch_size, int) else set(patch_size)
    if len(sides) != 1:
        raise UserError(f"--backbone {name}: patches must be square, not {patch_size}")
    return sides.pop()


def _resolution(patch_side: int) -> int:
    """Return the side of 44 patches, but at most 448 pixels: 352 for 8-pixel patches."""
    return min(44, 448 // patch_side) * patch_side


def _fingerprint(
    model: "PreTrainedModel", mean: Sequence[float], std: Sequence[float], features: Features
) -> str:
    """Return a fingerprint of the weights that does not depend on the transformers version.

    Versions name tensors differently, so names and order are ignored.
    """
    config: Any = model.config
    tensors = sorted(
        weights_fingerprint(nn.ParameterList([nn.Parameter(tensor, requires_grad=False)]))
        for key, tensor in model.state_dict().items()
        if not key.endswith("mask_token")  # unused, and missing from some checkpoints
    )
    shape = (config.model_type, config.num_attention_heads, config.layer_norm_eps)
    return weights_fingerprint(nn.Identity(), tensors, shape, tuple(mean), tuple(std), features)


def _last_module(model: nn.Module, names: set[str]) -> nn.Module:
    """Return the last module with one of these names."""
    modules: list[nn.Module] = [
        module for name, module in model.named_modules() if name.rpartition(".")[2] in names
    ]
    return modules[-1]


def _patch_position_interpolation(
    model: "PreTrainedModel", patch_side: int, interpolation: PositionInterpolation | None
) -> None:
    """Make position interpolation traceable, and equal to DINO's for ViT."""
    if interpolation is None:
        return
    embeddings: Any = model.embeddings
    plain = embeddings.interpolate_pos_encoding
    if model.config.model_type == "vit":
        plain = _DinoPositions(embeddings, patch_side)
    embeddings.interpolate_pos_encoding = TraceablePositions(
        embeddings, patch_side, interpolation, fallback=plain
    )


class _DinoPositions:
    """Replacement for ``interpolate_pos_encoding`` of transformers' ViT embeddings.

    Caches the last result: most images of a run have the same size, and bicubic interpolation takes
    a few hundredths of a second on a CPU.
    """

    def __init__(self, embeddings: Any, patch_side: int) -> None:
        self._embeddings = embeddings
        self._patch_side = patch_side
        self._last: tuple[tuple[object, ...], torch.Tensor] | None = None

    def __call__(self, _tokens: torch.Tensor, height: int, width: int) -> torch.Tensor:
        """Return the position embeddings for an image size in pixels."""
        learnt: torch.Tensor = self._embeddings.position_embeddings
        rows, columns = height // self._patch_side, width // self._patch_side
        wanted = (rows, columns, learnt.device, learnt.dtype)
        # Read and written as one object, so that threads cannot mix two sizes.
        last = self._last
        if last is None or last[0] != wanted:
            last = (wanted, dino_position_embedding(learnt, rows, columns))
            self._last = last
        return last[1]

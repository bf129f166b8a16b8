"""A vision transformer's tokens or keys as a feature map: DINO, DINOv2, DINOv3.

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
from segdistill.backbones.traced_positions import Enlargement, TracedPositions
from segdistill.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Features = Literal["tokens", "keys"]


# What the projections of an attention block are called, in transformers 4 and 5.
KEY_PROJECTIONS = {"k_proj", "key"}
QUERY_PROJECTIONS = {"q_proj", "query"}

DINO_MARGIN = 0.1
"""What DINO adds to the size of a grid, so that rounding cannot lose a row or a column."""


class Architecture(NamedTuple):
    """How transformers loads and calls one kind of network.

    Attributes:
        model_class: its name in transformers.
        load_options: more arguments to ``from_pretrained``.
        call_options: more arguments to the model's forward pass.
        rotary_module: what the model calls the part that gives cosines and sines of its rotary
            position embedding; ``None`` where it has none.
        positions: how it brings learnt position embeddings to other sizes; ``None`` where it has
            none.
    """

    model_class: str
    load_options: dict[str, bool]
    call_options: dict[str, bool]
    rotary_module: str | None = None
    positions: Enlargement | None = None


# By the model_type that config.json states.
ARCHITECTURES = {
    "vit": Architecture(
        "ViTModel",
        {"add_pooling_layer": False},
        {"interpolate_pos_encoding": True},
        positions=Enlargement(DINO_MARGIN),
    ),
    "dinov2": Architecture("Dinov2Model", {}, {}, positions=Enlargement()),
    "dinov2_with_registers": Architecture(
        "Dinov2WithRegistersModel", {}, {}, positions=Enlargement(antialias=True)
    ),
    "dinov3_vit": Architecture("DINOv3ViTModel", {}, {}, rotary_module="rope_embeddings"),
}


class TransformersBackbone(AttentionBackbone):
    """A vision transformer's last tokens, or the keys of its last block, as a feature map.

    Class and register tokens are dropped. Tokens are those after the final norm. Keys are the
    outputs of the key projection, heads side by side ('KK' in STEGO), before any rotary position
    embedding.

    Shapes: (batch, 3, height, width) in 0..1 to
    (batch, hidden size, height / patch size, width / patch size).

    Args:
        model: a model of one of ``ARCHITECTURES``; it is frozen and, for ViT, changed in place to
            place its position embeddings as DINO's own code does.
        name: what to give to ``--backbone`` to get this network again.
        licence: of the weights.
        mean: of each colour channel, subtracted from images in 0..1.
        std: of each colour channel, that images are divided by.
        features: ``tokens`` or ``keys``.

    Raises:
        UserError: the model's patches are not square.
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
        _place_positions(model, self.stride, self._architecture.positions)
        self.model = model
        self.freeze()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return tokens or keys as a feature map; see the class."""
        grid = (images.shape[2] // self.stride, images.shape[3] // self.stride)
        inputs = normalise_images(images, self._mean, self._std)
        places = self._keys(inputs) if self.features == "keys" else self._tokens(inputs)
        # Class and registers come first: (batch, first + patches, channels) to
        # (batch, channels, patches), and that to (batch, channels, rows, columns).
        patches = places[:, self._first_patch :].transpose(1, 2)
        return patches.reshape(images.shape[0], *self.channel_groups, *grid)

    def attention(self, images: torch.Tensor) -> torch.Tensor:
        """Return the attention between places; see :class:`AttentionBackbone`.

        It is that of the last block, with any rotary position embedding. The softmax is over all
        tokens; class and register tokens are dropped after it. ``features`` makes no difference.
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
        """Run the network once and return what these parts of it gave."""
        caught: dict[nn.Module, Any] = {}
        with ExitStack() as hooks:  # a hook that stayed would hold on to outputs of later images
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
    """Bring learnt position embeddings to another grid of patches, as DINO's own code does.

    DINO enlarges by the factor (patches + 0.1) / sqrt(positions) and samples at places that
    follow this factor, where transformers asks for a size: the values differ slightly. Source:
    ``interpolate_pos_encoding`` in DINO's ``vision_transformer.py``.

    Args:
        position_embeddings: shape (1, 1 + positions, channels), the class token's first, the
            others on a square grid.
        rows: patches from top to bottom.
        columns: patches from left to right.

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
    """Return the side that gives 44 patches, but at most 448 pixels: 352 for patches of 8."""
    return min(44, 448 // patch_side) * patch_side


def _fingerprint(
    model: "PreTrainedModel", mean: Sequence[float], std: Sequence[float], features: Features
) -> str:
    """Return a fingerprint that the same weights keep under every version of transformers.

    Versions name the same tensors differently, so names and order do not count.
    """
    config: Any = model.config
    tensors = sorted(
        weights_fingerprint(nn.ParameterList([nn.Parameter(tensor, requires_grad=False)]))
        for key, tensor in model.state_dict().items()
        if not key.endswith("mask_token")  # never used here, and some copies lack it
    )
    shape = (config.model_type, config.num_attention_heads, config.layer_norm_eps)
    return weights_fingerprint(nn.Identity(), tensors, shape, tuple(mean), tuple(std), features)


def _last_module(model: nn.Module, names: set[str]) -> nn.Module:
    """Return the last of the modules that go by one of these names."""
    modules: list[nn.Module] = [
        module for name, module in model.named_modules() if name.rpartition(".")[2] in names
    ]
    return modules[-1]


def _place_positions(model: "PreTrainedModel", patch_side: int, way: Enlargement | None) -> None:
    """Let a ViT place position embeddings as DINO does, and every network also while traced."""
    if way is None:
        return
    embeddings: Any = model.embeddings
    plain = embeddings.interpolate_pos_encoding
    if model.config.model_type == "vit":
        plain = _DinoPositions(embeddings, patch_side)
    embeddings.interpolate_pos_encoding = TracedPositions(
        embeddings, patch_side, way, otherwise=plain
    )


class _DinoPositions:
    """Stands in for ``interpolate_pos_encoding`` of transformers' ViT embeddings.

    Keeps the last result: the images of a run mostly share one size, and on a CPU bicubic
    enlargement takes a few hundredths of a second.
    """

    def __init__(self, embeddings: Any, patch_side: int) -> None:
        self._embeddings = embeddings
        self._patch_side = patch_side
        self._last: tuple[tuple[object, ...], torch.Tensor] | None = None

    def __call__(self, _tokens: torch.Tensor, height: int, width: int) -> torch.Tensor:
        """Return position embeddings for an image whose sides are given in pixels."""
        learnt: torch.Tensor = self._embeddings.position_embeddings
        rows, columns = height // self._patch_side, width // self._patch_side
        wanted = (rows, columns, learnt.device, learnt.dtype)
        # Read once and written whole, so that threads cannot mix two sizes.
        last = self._last
        if last is None or last[0] != wanted:
            last = (wanted, dino_position_embedding(learnt, rows, columns))
            self._last = last
        return last[1]

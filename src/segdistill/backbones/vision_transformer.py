"""Vision transformer backbones (DINO, DINOv2, DINOv3) from the transformers library.

Caron et al., Emerging Properties in Self-Supervised Vision Transformers (ICCV 2021); Oquab et
al., DINOv2 (TMLR 2024); Darcet et al., Vision Transformers Need Registers (ICLR 2024); Siméoni
et al., DINOv3 (2025).
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch
from torch import nn

from segdistill.backbones.attention import patch_attention
from segdistill.backbones.positions import interpolate_positions
from segdistill.backbones.protocol import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    AttentionBackbone,
    network_fingerprint,
    normalise_images,
)
from segdistill.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Features = Literal["tokens", "keys"]

# Names of the attention projections in transformers 4 and 5.
KEY_PROJECTIONS = {"k_proj", "key"}
QUERY_PROJECTIONS = {"q_proj", "query"}

DINO_MARGIN = 0.1
"""DINO's offset to the grid size, which prevents rounding from dropping a row or column."""

# DINO was trained with this value; the DINO configs on the hub have transformers' ViT default.
DINO_NORM_EPS = 1e-6


class Architecture(NamedTuple):
    """How to load and call an architecture with transformers.

    Attributes:
        model_class: name of the transformers class.
        load_options: additional arguments to ``from_pretrained``.
        call_options: additional arguments to the forward pass.
        rotary_module: name of the module that returns the cosines and sines of the rotary position
            embedding; ``None`` if there is none.
        positions: function that interpolates learned position embeddings to rows and columns of
            patches; ``None`` if there are none.
    """

    model_class: str
    load_options: Mapping[str, bool] = {}
    call_options: Mapping[str, bool] = {}
    rotary_module: str | None = None
    positions: Callable[[torch.Tensor, int, int], torch.Tensor] | None = None


# By model_type in config.json.
ARCHITECTURES = {
    # DINO interpolates by a scale factor and transformers to a size, with slight differences.
    "vit": Architecture(
        "ViTModel",
        {"add_pooling_layer": False},
        {"interpolate_pos_encoding": True},
        positions=partial(interpolate_positions, margin=DINO_MARGIN),
    ),
    "dinov2": Architecture("Dinov2Model", positions=interpolate_positions),
    "dinov2_with_registers": Architecture(
        "Dinov2WithRegistersModel", positions=partial(interpolate_positions, antialias=True)
    ),
    "dinov3_vit": Architecture("DINOv3ViTModel", rotary_module="rope_embeddings"),
}


class TransformersBackbone(AttentionBackbone):
    """Vision transformer with the last tokens, or the keys of the last block, as features.

    Class and register tokens are dropped. Tokens are taken after the final norm. Keys are the
    outputs of the key projection with concatenated heads ('KK' in STEGO), before any rotary
    position embedding.

    Shapes: (batch, 3, height, width) in 0..1 to
    (batch, hidden size, height / patch size, width / patch size).

    Args:
        model: model of one of ``ARCHITECTURES``. It is modified in place: frozen, and its
            interpolation of position embeddings replaced.
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
        sides = {config.patch_size} if isinstance(config.patch_size, int) else {*config.patch_size}
        if len(sides) != 1:
            raise UserError(f"--backbone {name}: patches must be square, not {config.patch_size}")
        self.stride = self.size_multiple = sides.pop()
        # 44 patches, but at most 448 pixels: 352 pixels for patches of 8.
        self.resolution = min(44, 448 // self.stride) * self.stride
        self.channel_groups = (int(config.hidden_size),)
        facts = (config.model_type, config.num_attention_heads, config.layer_norm_eps)
        self.fingerprint = network_fingerprint(model, facts, tuple(mean), tuple(std), features)
        self._mean, self._std = tuple(mean), tuple(std)
        self._first_patch = 1 + getattr(config, "num_register_tokens", 0)
        self._heads = int(config.num_attention_heads)
        self._architecture = ARCHITECTURES[config.model_type]
        if self._architecture.positions is not None:
            embeddings: Any = model.embeddings
            # Unlike a closure, a partial refers to the copied module after a deep copy.
            embeddings.interpolate_pos_encoding = partial(
                _positions, embeddings, self.stride, self._architecture.positions
            )
        self.model = model
        self.freeze()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the tokens or keys as a feature map; see the class."""
        grid = (images.shape[2] // self.stride, images.shape[3] // self.stride)
        inputs = normalise_images(images, self._mean, self._std)
        if self.features == "keys":
            (tokens,) = self._outputs([_last_module(self.model, KEY_PROJECTIONS)], inputs)
        else:
            tokens = self._tokens(inputs)
        # Class and register tokens come first. (batch, first + patches, channels) ->
        # (batch, channels, patches) -> (batch, channels, rows, columns)
        patches: torch.Tensor = tokens[:, self._first_patch :].transpose(1, 2)
        return patches.reshape(images.shape[0], *self.channel_groups, *grid)

    def attention(self, images: torch.Tensor) -> torch.Tensor:
        """Return the attention between locations; see :class:`AttentionBackbone`.

        This is the attention of the last block, including any rotary position embedding. The
        softmax is over all tokens; class and register tokens are dropped after it. ``features`` has
        no effect.
        """
        modules = [_last_module(self.model, each) for each in (QUERY_PROJECTIONS, KEY_PROJECTIONS)]
        if self._architecture.rotary_module:
            modules.append(self.model.get_submodule(self._architecture.rotary_module))
        with torch.no_grad():
            inputs = normalise_images(images, self._mean, self._std)
            queries, keys, *angles = self._outputs(modules, inputs)
            return patch_attention(
                queries,
                keys,
                heads=self._heads,
                patches=queries.shape[1] - self._first_patch,
                rotary=angles[0] if angles else None,
            )

    def _tokens(self, inputs: torch.Tensor) -> torch.Tensor:
        output = self.model(pixel_values=inputs, **self._architecture.call_options)
        tokens: torch.Tensor = output.last_hidden_state
        return tokens

    def _outputs(self, modules: Sequence[nn.Module], inputs: torch.Tensor) -> list[Any]:
        """Run the network once and return the outputs of some of its modules."""
        caught: dict[nn.Module, Any] = {}
        with ExitStack() as hooks:  # remove the hooks, which would keep outputs alive
            for module in modules:
                hooks.enter_context(
                    module.register_forward_hook(
                        lambda module, _inputs, output: caught.update({module: output})
                    )
                )
            self._tokens(inputs)
        return [caught[module] for module in modules]


def _positions(
    embeddings: Any,
    patch_side: int,
    interpolate: Callable[[torch.Tensor, int, int], torch.Tensor],
    _tokens: torch.Tensor,
    height: int,
    width: int,
) -> torch.Tensor:
    """Replacement for transformers' ``interpolate_pos_encoding``; sizes are in pixels."""
    return interpolate(embeddings.position_embeddings, height // patch_side, width // patch_side)


def _last_module(model: nn.Module, names: set[str]) -> nn.Module:
    """Return the last module with one of these names."""
    modules: list[nn.Module] = [
        module for name, module in model.named_modules() if name.rpartition(".")[2] in names
    ]
    return modules[-1]

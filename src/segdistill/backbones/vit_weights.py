"""Conversion of the weights of vision transformers to transformers' networks.

Caron et al., Emerging Properties in Self-Supervised Vision Transformers (ICCV 2021); Oquab et al.,
DINOv2 (TMLR 2024); Darcet et al., Vision Transformers Need Registers (ICLR 2024); Siméoni et al.,
DINOv3 (2025). The architecture is read from the names and shapes of the weights.
"""

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch

from segdistill.backbones.vit_names import PROJECTIONS, one_set_of_names, require
from segdistill.backbones.weight_files import SUPPORTED, State
from segdistill.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

ModelType = Literal["vit", "dinov2", "dinov2_with_registers", "dinov3_vit"]
Shape = tuple[int, ...]

HEAD_SIZE = 64
"""Channels of an attention head in all published DINO, DINOv2 and DINOv3 networks but one."""

WIDE_HEADS = {4096: 128}
"""Channels of an attention head by channels of the network: those of DINOv3's ViT-7B."""

MAX_MLP_RATIO = 16
NORM_EPS = 1e-6
DINOV3_NORM_EPS = 1e-5
PERIODS = "rope_embed.periods"
ROTARY_BASE = 100.0
PERIOD_TOLERANCE = 1e-2
"""Relative; files may hold periods in bfloat16."""

# Names on the hub, which all versions of transformers read, without the name of the block.
DINOV2_BLOCK = {
    "norm1": "norm1",
    "norm2": "norm2",
    "attn.q": "attention.attention.query",
    "attn.k": "attention.attention.key",
    "attn.v": "attention.attention.value",
    "attn.proj": "attention.output.dense",
    "ls1": "layer_scale1",
    "ls2": "layer_scale2",
    "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
    "mlp.w12": "mlp.weights_in",
    "mlp.w3": "mlp.weights_out",
}
VIT_BLOCK = DINOV2_BLOCK | {
    "norm1": "layernorm_before",
    "norm2": "layernorm_after",
    "mlp.fc1": "intermediate.dense",
    "mlp.fc2": "output.dense",
}
DINOV3_BLOCK = {
    "norm1": "norm1",
    "norm2": "norm2",
    "attn.q": "attention.q_proj",
    "attn.k": "attention.k_proj",
    "attn.v": "attention.v_proj",
    "attn.proj": "attention.o_proj",
    "ls1": "layer_scale1",
    "ls2": "layer_scale2",
    "mlp.fc1": "mlp.up_proj",
    "mlp.fc2": "mlp.down_proj",
    "mlp.w1": "mlp.gate_proj",
    "mlp.w2": "mlp.up_proj",
    "mlp.w3": "mlp.down_proj",
}
BLOCKS = {
    "vit": VIT_BLOCK,
    "dinov2": DINOV2_BLOCK,
    "dinov2_with_registers": DINOV2_BLOCK,
    "dinov3_vit": DINOV3_BLOCK,
}


@dataclass(frozen=True)
class Layout:
    """Sizes and parts of a network, read from its weights.

    Attributes:
        model_type: architecture, as in config.json on the hub.
        width: number of channels.
        depth: number of blocks.
        patch: side of a patch, in pixels.
        hidden: channels of the hidden layer of the MLPs.
        gated: whether the MLPs are SwiGLU.
        biased: which of the attention's projections have a bias.
        registers: number of register tokens.
        positions: number of learned position embeddings; 0 for none.
    """

    model_type: ModelType
    width: int
    depth: int
    patch: int
    hidden: int
    gated: bool
    biased: frozenset[str]
    registers: int
    positions: int


def convert_vit(state: State, num_heads: int | None = None) -> tuple["PreTrainedConfig", State]:
    """Convert the weights of a vision transformer to transformers' network of its architecture.

    Args:
        state: tensors by the names of Meta or timm, without prefixes.
        num_heads: number of attention heads; by default, as many as DINOv3's rotary periods tell,
            or else one per 64 channels.

    Returns:
        The configuration, and the tensors by hub name.

    Raises:
        UserError: the names or shapes are not those of such a network, or a weight is not finite.
    """
    weights = one_set_of_names(state)
    layout = _layout(weights)
    if layout.model_type != "vit":
        _complete(weights, layout)
    _check_shapes(weights, _shapes(layout))
    if layout.model_type in {"dinov2", "dinov2_with_registers"}:
        _join_gates(weights)
    config = _config(layout, num_heads, state.get(PERIODS))
    return config, {_hub_name(name, layout.model_type): each for name, each in weights.items()}


def _layout(weights: State) -> Layout:
    patches = weights["patch_embed.proj.weight"]
    if patches.ndim != 4 or patches.shape[1] != 3 or patches.shape[2] != patches.shape[3]:
        raise UserError(
            f"patch_embed.proj.weight has unexpected shape {tuple(patches.shape)}: not"
            " (channels, 3, side, side)"
        )
    gated = "blocks.0.mlp.w1.weight" in weights
    last = "blocks.0.mlp.w3.weight" if gated else "blocks.0.mlp.fc2.weight"
    require(weights, last)
    model_type: ModelType = "vit"
    if "pos_embed" not in weights:
        model_type = "dinov3_vit"
    elif "register_tokens" in weights:
        model_type = "dinov2_with_registers"
    elif gated or "blocks.0.ls1.gamma" in weights:
        model_type = "dinov2"
    blocks = {int(found[1]) for name in weights if (found := re.match(r"blocks\.(\d+)\.", name))}
    return Layout(
        model_type,
        width=patches.shape[0],
        depth=len(blocks),
        patch=patches.shape[2],
        hidden=_length(weights.get(last), -1),
        gated=gated,
        biased=frozenset(each for each in PROJECTIONS if f"blocks.0.attn.{each}.bias" in weights),
        registers=_length(weights.get("register_tokens"), 1),
        positions=_length(weights.get("pos_embed"), 1),
    )


def _length(tensor: torch.Tensor | None, axis: int) -> int:
    return 0 if tensor is None or tensor.ndim < 2 else tensor.shape[axis]


def _complete(weights: State, layout: Layout) -> None:
    """Add what transformers' network has and this one lacks, so that it does nothing."""
    if "blocks.0.ls1.gamma" not in weights:
        for block in range(layout.depth):
            for scale in ("ls1", "ls2"):
                weights[f"blocks.{block}.{scale}.gamma"] = torch.ones(layout.width)
    if layout.model_type == "dinov3_vit":
        weights.setdefault("register_tokens", torch.zeros(1, 0, layout.width))


def _shapes(layout: Layout) -> dict[str, Shape]:
    """Return the names and shapes of all weights of a network."""
    width, hidden = layout.width, layout.hidden
    shapes: dict[str, Shape] = {
        "cls_token": (1, 1, width),
        "patch_embed.proj.weight": (width, 3, layout.patch, layout.patch),
        "patch_embed.proj.bias": (width,),
        "norm.weight": (width,),
        "norm.bias": (width,),
    }
    if layout.positions:
        shapes["pos_embed"] = (1, layout.positions, width)
    if layout.model_type in {"dinov2_with_registers", "dinov3_vit"}:
        shapes["register_tokens"] = (1, layout.registers, width)
    inner = ("w1", "w2") if layout.gated else ("fc1",)
    matrices = {f"attn.{each}": (width, width) for each in (*PROJECTIONS, "proj")}
    matrices |= {f"mlp.{each}": (hidden, width) for each in inner}
    matrices["mlp.w3" if layout.gated else "mlp.fc2"] = (width, hidden)
    for index in range(layout.depth):
        block = f"blocks.{index}"
        for norm in ("norm1", "norm2"):
            shapes |= {f"{block}.{norm}.weight": (width,), f"{block}.{norm}.bias": (width,)}
        if layout.model_type != "vit":
            shapes |= {f"{block}.{scale}.gamma": (width,) for scale in ("ls1", "ls2")}
        for name, (rows, columns) in matrices.items():
            shapes[f"{block}.{name}.weight"] = (rows, columns)
            projection = name.removeprefix("attn.")
            if projection not in PROJECTIONS or projection in layout.biased:
                shapes[f"{block}.{name}.bias"] = (rows,)
    return shapes


def _check_shapes(weights: State, shapes: dict[str, Shape]) -> None:
    require(weights, *shapes)
    for name, tensor in weights.items():
        if name not in shapes:
            raise UserError(
                f"not a ViT that segdistill supports: unexpected weight {name}; {SUPPORTED}"
            )
        if tuple(tensor.shape) != shapes[name] or 0 in shapes[name][-1:]:
            raise UserError(
                f"{name} has unexpected shape {tuple(tensor.shape)}, where the other weights need"
                f" {shapes[name]}"
            )


def _join_gates(weights: State) -> None:
    for name in [name for name in weights if ".mlp.w1." in name]:
        value = weights.pop(name.replace(".w1.", ".w2."))
        weights[name.replace(".w1.", ".w12.")] = torch.cat((weights.pop(name), value))


def _hub_name(name: str, model_type: ModelType) -> str:
    dinov3 = model_type == "dinov3_vit"
    if found := re.fullmatch(r"blocks\.(\d+)\.(.+)\.(\w+)", name):
        kind = "lambda1" if found[3] == "gamma" else found[3]
        prefix = "layer" if dinov3 else "encoder.layer"
        return f"{prefix}.{found[1]}.{BLOCKS[model_type][found[2]]}.{kind}"
    if name.startswith("norm."):
        return name if dinov3 else f"layer{name}"
    if name == "pos_embed":
        return "embeddings.position_embeddings"
    patches = "patch_embeddings" if dinov3 else "patch_embeddings.projection"
    return "embeddings." + name.replace("patch_embed.proj", patches)


def _config(
    layout: Layout, num_heads: int | None, periods: torch.Tensor | None
) -> "PreTrainedConfig":
    import transformers  # noqa: PLC0415 - takes seconds

    if layout.model_type == "dinov3_vit" and periods is not None and periods.numel():
        num_heads = num_heads or max(layout.width // (4 * periods.numel()), 1)
    common: dict[str, Any] = {
        "hidden_size": layout.width,
        "num_hidden_layers": layout.depth,
        "num_attention_heads": _heads(layout.width, num_heads),
        "patch_size": layout.patch,
        "layer_norm_eps": DINOV3_NORM_EPS if layout.model_type == "dinov3_vit" else NORM_EPS,
    }
    if layout.model_type == "dinov3_vit":
        return transformers.DINOv3ViTConfig(
            **common,
            intermediate_size=layout.hidden,
            hidden_act="silu" if layout.gated else "gelu",
            use_gated_mlp=layout.gated,
            num_register_tokens=layout.registers,
            rope_theta=_rotary_base(periods),
            query_bias="q" in layout.biased,
            key_bias="k" in layout.biased,
            value_bias="v" in layout.biased,
        )
    common["qkv_bias"] = "q" in layout.biased
    common["image_size"] = math.isqrt(layout.positions - 1) * layout.patch
    if layout.model_type == "vit":
        return transformers.ViTConfig(
            **common,
            intermediate_size=layout.hidden,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
    common |= {"mlp_ratio": _mlp_ratio(layout), "use_swiglu_ffn": layout.gated}
    if layout.model_type == "dinov2":
        return transformers.Dinov2Config(**common)
    return transformers.Dinov2WithRegistersConfig(**common, num_register_tokens=layout.registers)


def _heads(width: int, num_heads: int | None) -> int:
    size = WIDE_HEADS.get(width, HEAD_SIZE)
    heads = num_heads or width // size
    if heads == 0 or width % heads or (num_heads is None and width % size):
        raise UserError(
            f"{width} channels cannot be divided into"
            f" {f'{num_heads} heads' if num_heads else f'heads of {size} channels'}"
        )
    return heads


def _mlp_ratio(layout: Layout) -> int:
    """Return the whole ratio from which transformers' DINOv2 computes the hidden channels."""

    def hidden(ratio: int) -> int:
        channels = layout.width * ratio
        # SwiGLU has two thirds of the channels, in steps of 8.
        return (int(channels * 2 / 3) + 7) // 8 * 8 if layout.gated else channels

    for ratio in range(1, MAX_MLP_RATIO + 1):
        if hidden(ratio) == layout.hidden:
            return ratio
    raise UserError(
        f"MLPs of {layout.hidden} channels in a network of {layout.width} are not those of a"
        f" DINOv2; {SUPPORTED}"
    )


def _rotary_base(periods: torch.Tensor | None) -> float:
    """Return the base of DINOv3's rotary periods, base ** (4 i / head size) for i = 0, 1, ...

    Raises:
        UserError: the periods are other ones, which transformers' network cannot have.
    """
    if periods is None or periods.numel() < 2:
        return ROTARY_BASE
    exponents = torch.arange(periods.numel()) / periods.numel()
    base = float(periods.flatten()[-1].double() ** (1 / float(exponents[-1])))
    # All published networks have this one, which rounding in the file should not change.
    base = ROTARY_BASE if math.isclose(base, ROTARY_BASE, rel_tol=0.05) else base
    if not torch.allclose(base**exponents, periods.flatten().float(), rtol=PERIOD_TOLERANCE):
        raise UserError(
            f"{PERIODS} are not powers of one base, and no network here can use them; {SUPPORTED}"
        )
    return base

"""Conversion of DINO's original ``.pth`` checkpoints to transformers' ViT.

Caron et al., Emerging Properties in Self-Supervised Vision Transformers (ICCV 2021); files from
https://github.com/facebookresearch/dino.
"""

import argparse
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from segdistill.backbones.huggingface import quiet_from_pretrained
from segdistill.backbones.protocol import Backbone
from segdistill.backbones.vision_transformer import DINO_NORM_EPS, Features, TransformersBackbone
from segdistill.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, ViTConfig

State = dict[str, torch.Tensor]

HEAD_SIZE = 64  # channels per attention head in all published DINO ViTs
PUBLISHED_FILES = ("dino_deitsmall", "dino_vitbase")
EXPECTED = (
    "expected the state dict of a DINO ViT (cls_token, pos_embed, patch_embed.*, blocks.*,"
    " norm.*), at the top level or under 'teacher' or 'student'"
)

# DINO's names to hub names, which all versions of transformers can read.
OUTER_NAMES = {
    "cls_token": "embeddings.cls_token",
    "pos_embed": "embeddings.position_embeddings",
    "patch_embed.proj.weight": "embeddings.patch_embeddings.projection.weight",
    "patch_embed.proj.bias": "embeddings.patch_embeddings.projection.bias",
    "norm.weight": "layernorm.weight",
    "norm.bias": "layernorm.bias",
}
BLOCK_NAMES = {
    "norm1": "layernorm_before",
    "attn.proj": "attention.output.dense",
    "norm2": "layernorm_after",
    "mlp.fc1": "intermediate.dense",
    "mlp.fc2": "output.dense",
}
ATTENTION_NAMES = ("query", "key", "value")


def load_dino_checkpoint(
    path: Path, *, num_heads: int | None = None, features: Features = "tokens"
) -> Backbone:
    """Load an original DINO ``.pth`` checkpoint.

    The file is read without running any code in it.

    Args:
        path: backbone-only or full checkpoint; the teacher of a full checkpoint is used.
        num_heads: number of attention heads; ``None`` for 64 channels per head, as in DINO.
        features: ``tokens`` of the last block after the final norm, or its ``keys``.

    Raises:
        UserError: the file cannot be read, or is not a DINO ViT.
    """
    try:
        config, state = to_transformers(backbone_state(_read(path)), num_heads)
        model = _build(config, state)
    except UserError as error:
        raise UserError(f"--backbone {path}: {error}") from error
    published = path.name.startswith(PUBLISHED_FILES)
    return TransformersBackbone(
        model,
        name=str(path.resolve()),
        licence="apache-2.0" if published else "unknown",
        features=features,
    )


def backbone_state(checkpoint: object) -> State:
    """Extract the backbone weights, by DINO name, from the content of a ``.pth`` file.

    Uses the teacher of a full checkpoint, or else the student, strips the prefixes ``module.`` and
    ``backbone.``, and drops the projection head.

    Raises:
        UserError: the checkpoint contains no weights.

    Example:
        >>> list(backbone_state({"teacher": {"module.backbone.cls_token": torch.zeros(1)}}))
        ['cls_token']
    """
    if isinstance(checkpoint, Mapping):
        checkpoint = checkpoint.get("teacher", checkpoint.get("student", checkpoint))
    if not isinstance(checkpoint, Mapping) or not checkpoint:
        raise UserError(f"contains no weights; {EXPECTED}")
    state = {}
    for key, value in checkpoint.items():
        name = re.sub(r"^((module|backbone)\.)+", "", str(key))
        if name.startswith("head."):
            continue
        if not isinstance(value, torch.Tensor):
            raise UserError(f"{key} is not a tensor; {EXPECTED}")
        state[name] = value.float()
    return state


def to_transformers(state: State, num_heads: int | None = None) -> tuple["ViTConfig", State]:
    """Convert DINO ViT weights to transformers' ViT.

    Args:
        state: tensors by DINO name, without prefixes.
        num_heads: number of attention heads; ``None`` for 64 channels per head.

    Returns:
        The configuration, and the tensors by hub name with separate queries, keys and values.

    Raises:
        UserError: the names or shapes are not those of a DINO ViT.
    """
    depth = len({key.split(".")[1] for key in state if key.startswith("blocks.")})
    _check_names(state, depth)
    config = _config(state, depth, num_heads)
    renamed = dict(pair for key, tensor in state.items() for pair in _rename(key, tensor))
    return config, renamed


def _read(path: Path) -> object:
    try:
        # Full checkpoints contain command-line arguments as a Namespace of plain values.
        with torch.serialization.safe_globals([argparse.Namespace]):
            content: object = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # torch.load raises many error types for invalid files.
        raise UserError(
            f"cannot be read as weights ({type(error).__name__}); only tensors are read, because"
            f" other content can run code; {EXPECTED}"
        ) from error
    return content


def _check_names(state: State, depth: int) -> None:
    expected = set(OUTER_NAMES)
    for block in range(depth):
        for layer in (*BLOCK_NAMES, "attn.qkv"):
            expected |= {f"blocks.{block}.{layer}.{kind}" for kind in ("weight", "bias")}
    missing = sorted(expected - state.keys())
    unexpected = sorted(state.keys() - expected)
    if depth == 0 or missing:
        first = missing[0] if missing else "blocks"
        raise UserError(f"not a DINO ViT: {first} is missing; {EXPECTED}")
    if unexpected:
        raise UserError(f"not a DINO ViT: unexpected weight {unexpected[0]}; {EXPECTED}")


def _config(state: State, depth: int, num_heads: int | None) -> "ViTConfig":
    from transformers import ViTConfig  # noqa: PLC0415 - takes seconds

    # DINO's shapes: (width, 3, patch, patch) and (1, 1 + positions, width).
    patches, positions = state["patch_embed.proj.weight"], state["pos_embed"]
    if patches.ndim != 4 or positions.ndim != 3:
        raise UserError(f"not a DINO ViT: weights have unexpected shapes; {EXPECTED}")
    width, patch_side = patches.shape[0], patches.shape[2]
    heads = num_heads or width // HEAD_SIZE
    if heads == 0 or width % heads or (num_heads is None and width % HEAD_SIZE):
        raise UserError(
            f"{width} channels cannot be divided into"
            f" {f'{num_heads} heads' if num_heads else f'heads of {HEAD_SIZE} channels'}"
        )
    side = math.isqrt(positions.shape[1] - 1)
    return ViTConfig(
        hidden_size=width,
        num_hidden_layers=depth,
        num_attention_heads=heads,
        intermediate_size=state["blocks.0.mlp.fc1.weight"].shape[0],
        image_size=side * patch_side,
        patch_size=patch_side,
        layer_norm_eps=DINO_NORM_EPS,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )


def _rename(key: str, tensor: torch.Tensor) -> Iterator[tuple[str, torch.Tensor]]:
    if key in OUTER_NAMES:
        yield OUTER_NAMES[key], tensor
        return
    _, block, rest = key.split(".", 2)
    layer, _, kind = rest.rpartition(".")
    prefix = f"encoder.layer.{block}"
    if layer == "attn.qkv":
        # (3 * width, ...): queries, keys and values, concatenated
        for name, part in zip(ATTENTION_NAMES, tensor.chunk(3), strict=True):
            yield f"{prefix}.attention.attention.{name}.{kind}", part.clone()
        return
    yield f"{prefix}.{BLOCK_NAMES[layer]}.{kind}", tensor


def _build(config: "ViTConfig", state: State) -> "PreTrainedModel":
    from transformers import ViTModel  # noqa: PLC0415 - takes seconds

    options: dict[str, Any] = {"config": config, "state_dict": state, "add_pooling_layer": False}
    try:
        model, loading_info = quiet_from_pretrained(ViTModel, None, **options)
    except (RuntimeError, ValueError) as error:
        raise UserError(f"not a DINO ViT: weights have unexpected shapes; {EXPECTED}") from error
    # Weights that are not loaded would be random, giving silently wrong results.
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if loading_info[kind]:
            raise RuntimeError(f"{kind} in transformers' ViT: {sorted(loading_info[kind])}")
    return model

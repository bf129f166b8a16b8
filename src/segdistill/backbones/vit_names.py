"""One set of names for the weights of vision transformers from Meta's own files and from timm.

DINO, DINOv2 and DINOv3 of https://github.com/facebookresearch, and timm's forms of them, differ in
names and in what they join in one tensor. Here, each block has norm1, attn.q, attn.k, attn.v,
attn.proj, norm2, either mlp.fc1 and mlp.fc2 or (SwiGLU) the gate mlp.w1, the value mlp.w2 and the
output mlp.w3, and perhaps ls1.gamma and ls2.gamma.
"""

import math
import re

import torch

from segdistill.backbones.finite import check_finite
from segdistill.backbones.weight_files import SUPPORTED, State
from segdistill.errors import UserError

# Heads, decoders and what only training needs.
UNUSED = re.compile(
    r"(head|head_dist|pre_logits|dino_head|ibot_head|decoder\w*|local_cls_norm|cls_norm)\."
    r"|(mask_token|masked_embed|decoder_pos_embed|rope_embed\.periods)$"
)
SYNONYMS = (
    (r"^(storage_tokens|reg_token)$", "register_tokens"),
    (r"^blocks\.\d+\.(\d+)\.", r"blocks.\1."),  # DINOv2 trains in chunks of blocks
    (r"\.gamma_([12])$", r".ls\1.gamma"),
    (r"\.attn\.([qv])_bias$", r".attn.\1.bias"),
    (r"\.mlp\.fc1_g\.", ".mlp.w1."),
    (r"\.mlp\.fc1_x\.", ".mlp.w2."),
)
PROJECTIONS = ("q", "k", "v")


def one_set_of_names(state: State) -> State:
    """Return the weights by one set of names, without what the features do not depend on.

    Args:
        state: tensors by the names of Meta or timm, without prefixes.

    Raises:
        UserError: a weight that everything needs is missing, is not finite, or has a shape that
            cannot be right; or the network is of another kind.
    """
    weights = _renamed(state)
    _mask_biases(weights)
    check_finite(weights)
    require(weights, "cls_token", "patch_embed.proj.weight")
    if "norm_pre.weight" in weights:
        raise UserError(f"a ViT with a norm before its blocks (norm_pre), as CLIP's; {SUPPORTED}")
    _use_norm_of_average(weights)
    _split_attention(weights)
    _split_gates(weights)
    if "pos_embed" in weights:
        _place_positions(weights)
    return weights


def require(weights: State, *names: str) -> None:
    """Raise :class:`UserError` if a weight is missing."""
    for name in names:
        if name not in weights:
            raise UserError(f"not a ViT that segdistill supports: {name} is missing; {SUPPORTED}")


def _renamed(state: State) -> State:
    weights = {}
    for stored, tensor in state.items():
        name = stored
        for pattern, replacement in SYNONYMS:
            name = re.sub(pattern, replacement, name)
        if not UNUSED.match(name):
            weights[name] = tensor
    return weights


def _mask_biases(weights: State) -> None:
    """Apply DINOv3's masks, which switch the biases of keys off, whatever those are."""
    for name in [name for name in weights if name.endswith(".bias_mask")]:
        mask, bias = weights.pop(name), name.removesuffix("_mask")
        if bias in weights and mask.shape == weights[bias].shape:
            weights[bias] = torch.where(mask == 0, 0, weights[bias])


def _use_norm_of_average(weights: State) -> None:
    """Rename timm's fc_norm: networks that average tokens normalise the average instead."""
    for kind in ("weight", "bias"):
        pooled = weights.pop(f"fc_norm.{kind}", None)
        if pooled is not None:
            weights.setdefault(f"norm.{kind}", pooled)


def _split_attention(weights: State) -> None:
    for name in [name for name in weights if re.search(r"\.attn\.qkv\.(weight|bias)$", name)]:
        for projection, rows in zip(PROJECTIONS, _pop_parts(weights, name, 3), strict=True):
            weights[name.replace(".qkv.", f".{projection}.")] = rows
    learned = "pos_embed" in weights
    keys = [name for name in weights if name.endswith(".attn.k.bias")]
    if not learned and not any(weights[name].any() for name in keys):
        # DINOv3 has no biases of keys; its files hold them, masked.
        for name in keys:
            del weights[name]
    elif learned:
        for name in [name for name in weights if name.endswith(".attn.q.bias")]:
            weights.setdefault(name.replace(".q.", ".k."), torch.zeros_like(weights[name]))


def _split_gates(weights: State) -> None:
    """Split SwiGLU's gate and value, which DINOv2 joins as w12 and timm as fc1."""
    for name in [name for name in weights if re.search(r"\.mlp\.fc2\.weight$", name)]:
        stem = name.removesuffix("fc2.weight")
        first, last = weights.get(f"{stem}fc1.weight"), weights[name]
        wide = first is not None and first.ndim == last.ndim == 2
        if f"{stem}w1.weight" in weights or (
            wide and first is not None and len(first) == 2 * last.shape[1]
        ):
            for kind in ("weight", "bias"):
                for timm, meta in (("fc1", "w12"), ("fc2", "w3")):
                    if f"{stem}{timm}.{kind}" in weights:
                        weights[f"{stem}{meta}.{kind}"] = weights.pop(f"{stem}{timm}.{kind}")
    for name in [name for name in weights if re.search(r"\.mlp\.w12\.(weight|bias)$", name)]:
        for gate, rows in zip(("w1", "w2"), _pop_parts(weights, name, 2), strict=True):
            weights[name.replace(".w12.", f".{gate}.")] = rows


def _pop_parts(weights: State, name: str, count: int) -> list[torch.Tensor]:
    tensor = weights.pop(name)
    if tensor.ndim == 0 or len(tensor) % count:
        raise UserError(
            f"{name} has unexpected shape {tuple(tensor.shape)}: not {count} parts of one size"
        )
    return [part.clone() for part in tensor.chunk(count)]


def _place_positions(weights: State) -> None:
    """Give position embeddings to the class token and a square grid, and to nothing else.

    timm has networks without an embedding for the class token, and ones with embeddings for the
    registers as well. What is added to a token is then part of the token.
    """
    positions, class_token = weights["pos_embed"], weights["cls_token"]
    registers = weights.get("register_tokens", class_token[:, :0])
    if positions.ndim != 3 or registers.ndim != 3 or positions.shape[-1] != class_token.shape[-1]:
        raise UserError(f"pos_embed has unexpected shape {tuple(positions.shape)}; {SUPPORTED}")
    count, extra = positions.shape[1], registers.shape[1]
    for before in (1, 0, 1 + extra):
        if count > before and math.isqrt(count - before) ** 2 == count - before:
            break
    else:
        raise UserError(
            f"pos_embed has unexpected shape {tuple(positions.shape)}: not a square grid of patches"
        )
    if before == 1:
        return
    nothing = torch.zeros_like(class_token)
    weights["pos_embed"] = torch.cat((nothing, positions[:, before:]), dim=1)
    if before > 1:
        weights["cls_token"] = class_token + positions[:, :1]
        weights["register_tokens"] = registers + positions[:, 1:before]

"""The forward pass of DINO, DINOv2 and DINOv3 in its plain form, on Meta's names."""

import math
import re

import torch
import torch.nn.functional as F

State = dict[str, torch.Tensor]


def plain_tokens(weights: State, images: torch.Tensor, *, heads: int, eps: float) -> torch.Tensor:
    """Return the tokens of the patches after the final norm.

    Shapes: normalised images of the side that the position embeddings are for, (batch, 3, side,
    side), to (batch, patches, channels).
    """
    w = weights
    patches = F.conv2d(
        images,
        w["patch_embed.proj.weight"],
        w["patch_embed.proj.bias"],
        stride=w["patch_embed.proj.weight"].shape[2],
    )
    grid = patches.shape[2:]
    tokens = patches.flatten(2).transpose(1, 2)
    batch = len(images)
    tokens = torch.cat((w["cls_token"].expand(batch, -1, -1), tokens), dim=1)
    if "pos_embed" in w:
        tokens = tokens + w["pos_embed"]
    registers = w.get("register_tokens", w.get("storage_tokens", w["cls_token"][:, :0]))
    tokens = torch.cat((tokens[:, :1], registers.expand(batch, -1, -1), tokens[:, 1:]), dim=1)
    first = 1 + registers.shape[1]
    angles = None if "pos_embed" in w else _angles(w["rope_embed.periods"], grid[0], grid[1])
    depth = 1 + max(int(n[1]) for name in w if (n := re.match(r"blocks\.(\d+)\.", name)))
    for index in range(depth):
        prefix = f"blocks.{index}."
        b = {n.removeprefix(prefix): each for n, each in w.items() if n.startswith(prefix)}
        change = _attention(b, _norm(b, "norm1", tokens, eps), heads, angles, first)
        tokens = tokens + change * b.get("ls1.gamma", 1.0)
        change = _mlp(b, _norm(b, "norm2", tokens, eps))
        tokens = tokens + change * b.get("ls2.gamma", 1.0)
    return _norm(w, "norm", tokens, eps)[:, first:]


def _norm(w: State, name: str, tokens: torch.Tensor, eps: float) -> torch.Tensor:
    return F.layer_norm(tokens, tokens.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"], eps)


def _linear(w: State, name: str, tokens: torch.Tensor) -> torch.Tensor:
    bias = w.get(f"{name}.bias")
    if f"{name}.bias_mask" in w and bias is not None:
        bias = bias * w[f"{name}.bias_mask"]
    return F.linear(tokens, w[f"{name}.weight"], bias)


def _attention(
    w: State, tokens: torch.Tensor, heads: int, angles: torch.Tensor | None, first: int
) -> torch.Tensor:
    batch, count, width = tokens.shape
    size = width // heads
    joint = _linear(w, "attn.qkv", tokens).reshape(batch, count, 3, heads, size)
    queries, keys, values = joint.permute(2, 0, 3, 1, 4)
    if angles is not None:
        queries, keys = (
            torch.cat((each[:, :, :first], _turned(each[:, :, first:], angles)), dim=2)
            for each in (queries, keys)
        )
    weights = (queries @ keys.transpose(2, 3) / math.sqrt(size)).softmax(dim=3)
    return _linear(w, "attn.proj", (weights @ values).transpose(1, 2).reshape(tokens.shape))


def _mlp(w: State, tokens: torch.Tensor) -> torch.Tensor:
    if "mlp.w12.weight" in w:
        gate, value = _linear(w, "mlp.w12", tokens).chunk(2, dim=-1)
        return _linear(w, "mlp.w3", F.silu(gate) * value)
    if "mlp.w1.weight" in w:
        gate, value = _linear(w, "mlp.w1", tokens), _linear(w, "mlp.w2", tokens)
        return _linear(w, "mlp.w3", F.silu(gate) * value)
    return _linear(w, "mlp.fc2", F.gelu(_linear(w, "mlp.fc1", tokens)))


def _angles(periods: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """Return the angles of the patches, (patches, head size)."""
    ys, xs = torch.meshgrid(
        2 * (torch.arange(rows) + 0.5) / rows - 1,
        2 * (torch.arange(columns) + 0.5) / columns - 1,
        indexing="ij",
    )
    both = torch.stack((ys.flatten(), xs.flatten()), dim=1)  # (patches, 2)
    half = (2 * math.pi * both[:, :, None] / periods).flatten(1)
    return torch.cat((half, half), dim=1)


def _turned(vectors: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
    early, late = vectors.chunk(2, dim=3)
    return vectors * angles.cos() + torch.cat((-late, early), dim=3) * angles.sin()

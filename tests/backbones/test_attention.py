import itertools
import math
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from tests.backbones.test_huggingface import REGISTERS, images_for, tiny_model
from tests.helpers import golden

from segdistill.backbones import load_backbone
from segdistill.backbones.attention import patch_attention, rotate
from segdistill.backbones.loading import load_weight_file
from segdistill.backbones.protocol import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    AttentionBackbone,
    Backbone,
    normalise_images,
    require_attention,
)
from segdistill.backbones.vision_transformer import (
    ARCHITECTURES,
    Features,
    TransformersBackbone,
)
from segdistill.errors import UserError

HEADS = 4
GRIDS = [(4, 4), (3, 5)]


def tiny_backbone(model_type: str, features: Features = "tokens") -> TransformersBackbone:
    model = tiny_model(model_type)
    for name, parameter in model.named_parameters():
        if "q_proj" in name or "query" in name:
            parameter.data *= 20  # attention that is nearly even would hide mistakes
    return TransformersBackbone(model, name=model_type, licence="none", features=features)


def attention_of_transformers(backbone: TransformersBackbone, images: torch.Tensor) -> torch.Tensor:
    """Let transformers return the last block's attention itself, between all tokens."""
    model: Any = backbone.model
    before = model.config._attn_implementation
    model.set_attn_implementation("eager")
    inputs = normalise_images(images, IMAGENET_MEAN, IMAGENET_STD)
    options = {"interpolate_pos_encoding": True} if model.config.model_type == "vit" else {}
    with torch.no_grad():
        output = model(pixel_values=inputs, output_attentions=True, **options)
    model.set_attn_implementation(before)
    attention: torch.Tensor = output.attentions[-1]
    return attention


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_attention_is_that_of_transformers(model_type: str, grid: tuple[int, int]) -> None:
    backbone = tiny_backbone(model_type)
    images = images_for(model_type, *grid)
    everywhere = attention_of_transformers(backbone, images)
    first, places = 1 + REGISTERS.get(model_type, 0), grid[0] * grid[1]
    assert everywhere.shape == (2, HEADS, first + places, first + places)
    expected = everywhere[:, :, first:, first:]
    assert expected.std(dim=3).mean() > 0.3 / places  # far from even
    torch.testing.assert_close(
        backbone.attention(images), expected, atol=1e-5, rtol=0, check_stride=False
    )


class Block(NamedTuple):
    """What a block of the plain network below makes of its tokens."""

    tokens: torch.Tensor
    keys: torch.Tensor
    attention: torch.Tensor


def plain_block(weights: dict[str, torch.Tensor], tokens: torch.Tensor, heads: int) -> Block:
    """Compute one block of DINO's vision transformer, written out."""

    def norm(name: str, values: torch.Tensor) -> torch.Tensor:
        weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
        return F.layer_norm(values, weight.shape, weight, bias, eps=1e-6)

    def linear(name: str, values: torch.Tensor) -> torch.Tensor:
        return values @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    projected = linear("attn.qkv", norm("norm1", tokens)).chunk(3, dim=2)
    queries, keys, values = (torch.stack(part.chunk(heads, dim=2), dim=1) for part in projected)
    scores = torch.einsum("bhqc,bhkc->bhqk", queries, keys) / math.sqrt(keys.shape[3])
    attention = scores.exp() / scores.exp().sum(dim=3, keepdim=True)
    mixed = torch.cat((attention @ values).unbind(dim=1), dim=2)
    tokens = tokens + linear("attn.proj", mixed)
    hidden = F.gelu(linear("mlp.fc1", norm("norm2", tokens)))
    return Block(tokens + linear("mlp.fc2", hidden), keys, attention)


def test_attention_is_dinos(tmp_path: Path) -> None:
    """Against DINO written out, which is held to the golden keys and tokens of DINO itself."""
    arrays = golden("dino_vit")
    heads, image = arrays["num_heads"], arrays["image_native"]
    weights = {key[2:]: value for key, value in arrays.items() if key.startswith("w/")}
    stem = (weights["patch_embed.proj.weight"], weights["patch_embed.proj.bias"])
    patches = F.conv2d(image, *stem, stride=8).flatten(2).transpose(1, 2)
    tokens = torch.cat((weights["cls_token"].expand(len(image), -1, -1), patches), dim=1)
    block = Block(tokens + weights["pos_embed"], tokens, tokens)
    for index in range(3):
        prefix = f"blocks.{index}."
        inside = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
        block = plain_block(inside, block.tokens, heads)
    torch.testing.assert_close(
        block.keys, arrays["keys_native"], atol=1e-5, rtol=0, check_stride=False
    )
    normed = F.layer_norm(block.tokens, (48,), weights["norm.weight"], weights["norm.bias"], 1e-6)
    torch.testing.assert_close(normed, arrays["tokens_native"], atol=1e-4, rtol=0)

    torch.save(weights, tmp_path / "weights.pth")
    backbone = require_attention(load_weight_file(tmp_path / "weights.pth", num_heads=heads))
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    attention = backbone.attention(image * std + mean)
    torch.testing.assert_close(
        attention, block.attention[:, :, 1:, 1:], atol=1e-5, rtol=0, check_stride=False
    )


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_some_attention_goes_to_tokens_that_are_no_places(model_type: str) -> None:
    attention = tiny_backbone(model_type).attention(images_for(model_type, 3, 5))
    rows = attention.sum(dim=3)
    assert attention.min() >= 0
    assert rows.max() < 1
    assert rows.min() > 0


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_attention_is_the_same_beside_keys(model_type: str) -> None:
    images = images_for(model_type, 3, 5)
    tokens, keys = tiny_backbone(model_type), tiny_backbone(model_type, "keys")
    torch.testing.assert_close(tokens.attention(images), keys.attention(images))


def test_attention_follows_the_places_of_the_feature_map() -> None:
    """A patch unlike all others is attended to otherwise, and lies where the map has it."""
    backbone = tiny_backbone("dinov2")
    images = torch.full((1, 3, 3 * 14, 5 * 14), 0.5)
    plain = backbone.attention(images)
    images[:, :, 14:28, 42:56] = 1.0  # row 1, column 3
    changed = backbone.attention(images) - plain
    assert changed.abs().sum(dim=(0, 1, 2)).argmax() == 1 * 5 + 3


def test_each_image_is_on_its_own() -> None:
    backbone = tiny_backbone("dinov3_vit")
    images = images_for("dinov3_vit", 3, 5)
    apart = torch.cat([backbone.attention(image[None]) for image in images])
    torch.testing.assert_close(backbone.attention(images), apart, atol=1e-6, rtol=0)


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_attention_leaves_the_network_as_it_was(model_type: str) -> None:
    backbone = tiny_backbone(model_type)
    images = images_for(model_type, 4, 4)
    before = backbone(images)
    backbone.attention(images)
    with pytest.raises(RuntimeError):  # in the midst of the network
        backbone.attention(images[:, :, :4])
    assert not any(module._forward_hooks for module in backbone.modules())
    assert backbone.model.config._attn_implementation == "sdpa"
    assert backbone(images).equal(before)


def test_attention_has_no_gradient() -> None:
    images = images_for("vit", 4, 4).requires_grad_()
    assert not tiny_backbone("vit").attention(images).requires_grad


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_attention_in_half_precision(model_type: str) -> None:
    images = images_for(model_type, 3, 5)
    backbone = tiny_backbone(model_type)
    expected = backbone.attention(images)
    with torch.autocast("cpu", torch.bfloat16):
        attention = backbone.attention(images)
    torch.testing.assert_close(attention.float(), expected, atol=0.05, rtol=0)


def test_only_vision_transformers_have_attention() -> None:
    vision_transformer = tiny_backbone("vit")
    assert isinstance(vision_transformer, AttentionBackbone)
    assert require_attention(vision_transformer) is vision_transformer
    other = load_backbone("efficientnet-lite0")
    assert isinstance(other, Backbone)
    assert not isinstance(other, AttentionBackbone)
    with pytest.raises(UserError, match="--backbone efficientnet-lite0: has no attention") as error:
        require_attention(other)
    assert "\n" not in str(error.value)


tensor_sizes = st.tuples(*(st.integers(1, 4) for _ in range(3)))


@given(
    shape=tensor_sizes, others=st.integers(0, 3), half_size=st.integers(1, 3), turned=st.booleans()
)
def test_patch_attention_is_the_softmax_of_its_definition(
    shape: tuple[int, int, int], others: int, half_size: int, *, turned: bool
) -> None:
    batch, heads, patches = shape
    size = 2 * half_size
    generator = torch.Generator().manual_seed(0)

    def random(*sides: int) -> torch.Tensor:
        return torch.randn(*sides, dtype=torch.float64, generator=generator)

    queries, keys = (random(batch, others + patches, heads * size) for _ in range(2))
    angles = random(patches, half_size) if turned else torch.zeros(patches, half_size).double()
    doubled = torch.cat((angles, angles), dim=1)
    rotary = (doubled.cos(), doubled.sin()) if turned else None
    attention = patch_attention(queries, keys, heads=heads, patches=patches, rotary=rotary)
    assert attention.shape == (batch, heads, patches, patches)

    def vector(tokens: torch.Tensor, image: int, head: int, token: int) -> torch.Tensor:
        """Return a token's channels of one head as complex numbers, turned if it is a patch."""
        channels = tokens[image, token, head * size : (head + 1) * size]
        pairs = torch.complex(channels[:half_size], channels[half_size:])
        if token < others:
            return pairs
        return pairs * torch.polar(torch.ones_like(angles[0]), angles[token - others])

    for image, head, row in itertools.product(range(batch), range(heads), range(patches)):
        query = vector(queries, image, head, others + row)
        scores = [
            (query * vector(keys, image, head, token).conj()).real.sum() / math.sqrt(size)
            for token in range(others + patches)
        ]
        expected = torch.stack(scores).exp() / torch.stack(scores).exp().sum()
        torch.testing.assert_close(attention[image, head, row], expected[others:])


@given(seed=st.integers(0, 99), shift=st.floats(-3, 3))
def test_turned_vectors_keep_their_length_and_know_only_relative_places(
    seed: int, shift: float
) -> None:
    generator = torch.Generator().manual_seed(seed)
    queries, keys = torch.randn(2, 1, 2, 5, 8, dtype=torch.float64, generator=generator)
    angles = torch.randn(5, 4, dtype=torch.float64, generator=generator).tile(2)
    here = (angles.cos(), angles.sin())
    there = ((angles + shift).cos(), (angles + shift).sin())
    turned = rotate(queries, here)
    torch.testing.assert_close(turned.norm(dim=3), queries.norm(dim=3))
    torch.testing.assert_close(
        turned @ rotate(keys, here).transpose(2, 3),
        rotate(queries, there) @ rotate(keys, there).transpose(2, 3),
    )

import argparse
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from segdistill.backbones import load_backbone
from segdistill.backbones.loading import convert_weights, load_weight_file
from segdistill.backbones.protocol import IMAGENET_MEAN, IMAGENET_STD, Backbone
from segdistill.backbones.vision_transformer import Features, TransformersBackbone
from segdistill.errors import UserError

State = dict[str, torch.Tensor]

GOLDEN = Path(__file__).parents[1] / "golden" / "dino_vit.npz"
HEADS = 6


@pytest.fixture(scope="module")
def golden() -> dict[str, torch.Tensor]:
    with np.load(GOLDEN) as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


@pytest.fixture(scope="module")
def state(golden: State) -> State:
    return {key[2:]: value for key, value in golden.items() if key.startswith("w/")}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Callable[[object], Path]:
    def write(content: object) -> Path:
        path = tmp_path / "weights.pth"
        torch.save(content, path)
        return path

    return write


def as_images(normalised: torch.Tensor) -> torch.Tensor:
    """Undo ImageNet's normalisation, since backbones take images before it."""
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    return normalised * std + mean


def as_map(places: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """Drop the class token and lay the patches out, row by row."""
    rows, columns = grid
    patches = [places[:, 1 + row * columns : 1 + (row + 1) * columns] for row in range(rows)]
    return torch.stack(patches, dim=1).permute(0, 3, 1, 2)


def expected_map(golden: State, kind: Features, shape: str) -> torch.Tensor:
    places = golden[f"{kind}_{shape}"]
    if kind == "keys":  # (batch, heads, places, head size) to (batch, places, heads * head size)
        places = places.transpose(1, 2).flatten(2)
    image = golden[f"image_{shape}"]
    return as_map(places, (image.shape[2] // 8, image.shape[3] // 8))


def renamed(state: State, prefix: str) -> State:
    return {prefix + key: value for key, value in state.items()}


@pytest.mark.parametrize("shape", ["native", "wide"])
@pytest.mark.parametrize("kind", ["tokens", "keys"])
def test_features_are_those_of_dino_itself(
    golden: State, state: State, checkpoint: Callable[[object], Path], kind: Features, shape: str
) -> None:
    backbone = load_weight_file(checkpoint(state), num_heads=HEADS, features=kind)
    features = backbone(as_images(golden[f"image_{shape}"]))
    expected = expected_map(golden, kind, shape)
    torch.testing.assert_close(features, expected, atol=1e-4, rtol=0, check_stride=False)


def test_a_tall_image_is_not_taken_for_a_wide_one(
    state: State, checkpoint: Callable[[object], Path]
) -> None:
    backbone = load_weight_file(checkpoint(state), num_heads=HEADS)
    assert backbone(torch.rand(1, 3, 48, 32)).shape == (1, 48, 6, 4)


def full_checkpoint(state: State) -> dict[str, object]:
    """Return what DINO's training writes, with a student that is not the teacher."""
    student = {key: value + 1 for key, value in state.items()}
    head = {"head.mlp.0.weight": torch.ones(2, 2)}
    return {
        "student": renamed(renamed(student, "backbone.") | head, "module."),
        "teacher": renamed(state, "backbone.") | head,
        "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]},
        "epoch": 100,
        "args": argparse.Namespace(arch="vit_small", patch_size=8),
    }


@pytest.mark.parametrize(
    "arrange",
    [
        pytest.param(lambda state: state, id="plain"),
        pytest.param(full_checkpoint, id="full"),
        pytest.param(lambda state: {"teacher": state, "student": {}}, id="teacher"),
        pytest.param(lambda state: {"student": renamed(state, "module.")}, id="student"),
        pytest.param(lambda state: renamed(state, "module.backbone."), id="prefixed"),
        pytest.param(
            lambda state: state | {"head.last_layer.weight_g": torch.ones(1)}, id="with head"
        ),
    ],
)
def test_every_arrangement_gives_the_same_backbone(
    arrange: Callable[[State], object], state: State, checkpoint: Callable[[object], Path]
) -> None:
    plain = load_weight_file(checkpoint(state), num_heads=HEADS)
    backbone = load_weight_file(checkpoint(arrange(state)), num_heads=HEADS)
    assert backbone.fingerprint == plain.fingerprint


def test_attributes(state: State, checkpoint: Callable[[object], Path]) -> None:
    path = checkpoint(state)
    backbone = load_weight_file(path, num_heads=HEADS)
    assert isinstance(backbone, Backbone)
    assert isinstance(backbone, TransformersBackbone)
    assert backbone.name == str(path)
    assert (backbone.stride, backbone.size_multiple, backbone.resolution) == (8, 8, 352)
    assert backbone.channel_groups == (48,)
    assert not backbone.standardise
    assert backbone.licence == "unknown"


def test_a_published_file_has_dinos_licence(state: State, tmp_path: Path) -> None:
    path = tmp_path / "dino_deitsmall8_pretrain.pth"
    torch.save(state, path)
    assert load_weight_file(path, num_heads=HEADS).licence == "apache-2.0"


def test_fingerprint_tells_weights_features_and_heads_apart(
    state: State, checkpoint: Callable[[object], Path]
) -> None:
    path = checkpoint(state)
    fingerprints = {
        load_weight_file(path, num_heads=HEADS).fingerprint,
        load_weight_file(path, num_heads=HEADS, features="keys").fingerprint,
        load_weight_file(path, num_heads=HEADS // 2).fingerprint,
        load_weight_file(
            checkpoint(state | {"norm.bias": state["norm.bias"] + 1}), num_heads=HEADS
        ).fingerprint,
    }
    assert len(fingerprints) == 4


def test_half_precision_is_widened(state: State, checkpoint: Callable[[object], Path]) -> None:
    half = {key: value.half() for key, value in state.items()}
    backbone = load_weight_file(checkpoint(half), num_heads=HEADS)
    assert backbone(torch.rand(1, 3, 32, 32)).dtype == torch.float32


def test_configuration_comes_from_the_shapes(state: State) -> None:
    config: Any
    config, renamed_state = convert_weights(state, HEADS)
    assert (config.hidden_size, config.num_hidden_layers, config.intermediate_size) == (48, 3, 192)
    assert (config.patch_size, config.image_size) == (8, 32)
    assert config.num_attention_heads == HEADS
    keys = renamed_state["encoder.layer.2.attention.attention.key.weight"]
    torch.testing.assert_close(keys, state["blocks.2.attn.qkv.weight"][48:96])


def test_heads_have_64_channels_unless_told(state: State) -> None:
    wide = {}
    for key, value in state.items():
        tensor = value if key in {"cls_token", "pos_embed"} else value.repeat_interleave(4, dim=0)
        columns = tensor.ndim > 1 and not key.startswith("patch_embed")
        wide[key] = tensor.repeat_interleave(4, dim=-1) if columns else tensor
    config: Any = convert_weights(wide)[0]
    assert (config.hidden_size, config.num_attention_heads) == (192, 3)


class Malicious:
    """Runs a command when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.mark}",)


@pytest.mark.parametrize("wrap", [lambda harm: harm, lambda harm: {"teacher": harm}])
def test_a_malicious_file_is_refused_and_not_run(
    wrap: Callable[[object], object], tmp_path: Path, checkpoint: Callable[[object], Path]
) -> None:
    mark = tmp_path / "ran"
    path = checkpoint(wrap(Malicious(mark)))
    with pytest.raises(UserError, match="refused, because its pickle"):
        load_backbone(str(path))
    assert not mark.exists()


@pytest.mark.parametrize("content", [b"not weights", bytes(range(256))])
def test_a_file_that_is_no_checkpoint_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"weights\.pth: cannot be read as a checkpoint"):
        load_backbone(str(path))


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
MISTAKEN = [
    pytest.param(POINTER, "a Git LFS pointer.*`git lfs pull`", id="pointer"),
    pytest.param(b"\n<!DOCTYPE html><html><body>Sign in", r"a web page \(HTML\)", id="page"),
    pytest.param(b"", "the file is empty; download or copy it again", id="empty"),
]


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
@pytest.mark.parametrize(("content", "message"), MISTAKEN)
def test_a_file_in_place_of_weights_is_told(
    content: bytes, message: str, name: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"^--backbone \S+{name}: {message}"):
        load_backbone(str(path))


@pytest.mark.parametrize(("content", "message"), MISTAKEN)
def test_a_file_in_place_of_a_part_of_weights_is_told(
    content: bytes, message: str, tmp_path: Path
) -> None:
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "model-1.safetensors"}}))
    (tmp_path / "model-1.safetensors").write_bytes(content)
    with pytest.raises(UserError, match=rf"index\.json: \S+model-1\.safetensors: {message}"):
        load_backbone(str(index))


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
@pytest.mark.parametrize(("content", "message"), MISTAKEN)
def test_a_file_in_place_of_one_of_a_hub_folder_is_told(
    content: bytes, message: str, name: str, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "dinov2"}))
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=rf"{name}: {message}"):
        load_backbone(str(tmp_path))


def test_a_folder_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "folder.pth"
    path.mkdir()
    with pytest.raises(UserError, match=r"folder\.pth: config\.json not found"):
        load_backbone(str(path))


@pytest.mark.parametrize("content", [{}, [1, 2], 3, {"teacher": None}])
def test_a_checkpoint_without_weights_is_refused(
    content: object, checkpoint: Callable[[object], Path]
) -> None:
    with pytest.raises(UserError, match="contains no weights; supported are DINO"):
        load_weight_file(checkpoint(content))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(
            lambda _state: {"conv1.weight": torch.ones(1)}, "its weights are conv1", id="resnet"
        ),
        pytest.param(
            lambda state: {k: v for k, v in state.items() if k != "blocks.1.mlp.fc2.bias"},
            r"blocks\.1\.mlp\.fc2\.bias is missing",
            id="missing",
        ),
        pytest.param(
            lambda state: state | {"blocks.0.ls1.gamma": torch.ones(48)},
            r"blocks\.0\.ls2\.gamma is missing",
            id="half a DINOv2",
        ),
        pytest.param(
            lambda state: state | {"blocks.1.attn.q_norm.weight": torch.ones(8)},
            r"unexpected weight blocks\.1\.attn\.q_norm\.weight",
            id="other attention",
        ),
        pytest.param(
            lambda state: state | {"norm_pre.weight": torch.ones(48)}, "as CLIP's", id="clip"
        ),
        pytest.param(
            lambda state: {k: v for k, v in state.items() if k != "cls_token"},
            "cls_token is missing",
            id="no class token",
        ),
        pytest.param(
            lambda state: state | {"blocks.0.attn.qkv.bias": torch.ones(5)},
            "not 3 parts of one size",
            id="attention",
        ),
        pytest.param(
            lambda state: state | {"patch_embed.proj.weight": torch.ones(48, 4, 8, 8)},
            r"unexpected shape \(48, 4, 8, 8\)",
            id="channels",
        ),
        pytest.param(
            lambda state: state | {"norm.bias": torch.ones(47)}, "unexpected shape", id="shape"
        ),
        pytest.param(
            lambda state: state | {"pos_embed": torch.ones(1, 15, 48)},
            "unexpected shape",
            id="grid",
        ),
        pytest.param(
            lambda state: state | {"pos_embed": torch.ones(17)}, "unexpected shape", id="axes"
        ),
    ],
)
def test_other_networks_are_refused(
    change: Callable[[State], object],
    message: str,
    state: State,
    checkpoint: Callable[[object], Path],
) -> None:
    with pytest.raises(UserError, match=message):
        load_weight_file(checkpoint(change(state)), num_heads=HEADS)


@pytest.mark.parametrize(
    ("heads", "message"), [(None, "into heads of 64"), (7, "into 7 heads"), (96, "into 96 heads")]
)
def test_heads_that_do_not_fit_are_refused(
    heads: int | None, message: str, state: State, checkpoint: Callable[[object], Path]
) -> None:
    with pytest.raises(UserError, match=f"48 channels cannot be divided {message}"):
        load_weight_file(checkpoint(state), num_heads=heads)

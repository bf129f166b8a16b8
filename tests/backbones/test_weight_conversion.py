"""Files of Meta's and timm's names, against the hub's form of the same weights."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tests.backbones.foreign_names import (
    State,
    meta_convnext,
    meta_vit,
    rotary_periods,
    timm_dinov2,
    timm_dinov3,
)
from tests.plain.vision_transformer import plain_tokens
from torch import nn

from segdistill.backbones import load_backbone
from segdistill.backbones.huggingface import quiet_transformers
from segdistill.backbones.loading import load_weight_file
from segdistill.backbones.protocol import IMAGENET_MEAN, IMAGENET_STD, normalise_images
from segdistill.errors import UserError

WIDTH, HEADS, GRID = 128, 2, 4
COMMON = {"hidden_size": WIDTH, "num_hidden_layers": 2, "num_attention_heads": HEADS}
PATCH = {"vit": 8, "dinov2": 14, "dinov2_with_registers": 14, "dinov3_vit": 16}


class Case(NamedTuple):
    model_class: str
    options: dict[str, object]
    eps: float


CASES = {
    "dino": Case("ViTModel", {"intermediate_size": 256, "layer_norm_eps": 1e-6}, 1e-6),
    "dinov2": Case("Dinov2Model", {"mlp_ratio": 2}, 1e-6),
    "dinov2-giant": Case("Dinov2Model", {"use_swiglu_ffn": True}, 1e-6),
    "dinov2-reg": Case("Dinov2WithRegistersModel", {"num_register_tokens": 3}, 1e-6),
    "dinov2-reg-giant": Case(
        "Dinov2WithRegistersModel", {"num_register_tokens": 3, "use_swiglu_ffn": True}, 1e-6
    ),
    "dinov3": Case("DINOv3ViTModel", {"num_register_tokens": 2, "intermediate_size": 256}, 1e-5),
    "dinov3-plus": Case(
        "DINOv3ViTModel",
        {
            "num_register_tokens": 2,
            "intermediate_size": 192,
            "use_gated_mlp": True,
            "hidden_act": "silu",
        },
        1e-5,
    ),
}


class Saved(NamedTuple):
    folder: Path
    hub: State
    patch: int


def save_random(model_class: str, options: dict[str, object], folder: Path) -> State:
    """Write a random network, all of whose weights matter, in the hub's layout."""
    kind = getattr(transformers, model_class)
    more: dict[str, Any] = {"add_pooling_layer": False} if model_class == "ViTModel" else {}
    model = kind(kind.config_class(**options), **more).eval()
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.2, generator=generator)
    with quiet_transformers():
        model.save_pretrained(folder)
    state: State = load_file(folder / "model.safetensors")
    return state


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Saved]:
    root = tmp_path_factory.mktemp("hub")
    found = {}
    for name, case in CASES.items():
        patch = {"ViTModel": 8, "DINOv3ViTModel": 16}.get(case.model_class, 14)
        options = COMMON | {"patch_size": patch, "image_size": GRID * patch} | case.options
        hub = save_random(case.model_class, options, root / name)
        found[name] = Saved(root / name, hub, patch)
    return found


def images_for(patch: int, rows: int, columns: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(2, 3, rows * patch, columns * patch, generator=generator)


def meta_file(case: str, hub: State) -> State:
    meta = meta_vit(hub)
    if case.startswith("dinov3"):
        meta["rope_embed.periods"] = rotary_periods(WIDTH // HEADS)
        meta["local_cls_norm.weight"] = torch.ones(WIDTH)  # of ViT-7B, unused
    return meta


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("suffix", [".pth", ".pt", ".safetensors"])
def test_metas_files_give_the_features_of_the_hub(
    case: str, suffix: str, saved: dict[str, Saved], tmp_path: Path
) -> None:
    folder, hub, patch = saved[case]
    path = tmp_path / f"weights{suffix}"
    meta = meta_file(case, hub)
    if suffix == ".safetensors":
        save_file(meta, path)
    else:
        torch.save(meta, path)
    expected, backbone = load_backbone(str(folder)), load_backbone(str(path))
    assert backbone.fingerprint == expected.fingerprint
    for grid in ((GRID, GRID), (3, 6)):
        images = images_for(patch, *grid)
        torch.testing.assert_close(backbone(images), expected(images), atol=1e-5, rtol=0)


@pytest.mark.parametrize("case", CASES)
def test_features_are_those_of_a_plain_forward_pass(
    case: str, saved: dict[str, Saved], tmp_path: Path
) -> None:
    _, hub, patch = saved[case]
    meta = meta_file(case, hub)
    torch.save(meta, tmp_path / "weights.pth")
    images = images_for(patch, GRID, GRID)
    inputs = normalise_images(images, IMAGENET_MEAN, IMAGENET_STD)
    tokens = plain_tokens(meta, inputs, heads=HEADS, eps=CASES[case].eps)
    expected = tokens.transpose(1, 2).reshape(2, WIDTH, GRID, GRID)
    features = load_backbone(str(tmp_path / "weights.pth"))(images)
    torch.testing.assert_close(features, expected, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_timms_names_give_the_features_of_the_hub(
    case: str, saved: dict[str, Saved], tmp_path: Path
) -> None:
    folder, hub, patch = saved[case]
    rename = timm_dinov3 if case.startswith("dinov3") else timm_dinov2
    timm = rename(meta_file(case, hub)) | {"head.weight": torch.ones(10, WIDTH)}
    save_file(timm, tmp_path / "model.safetensors")
    images = images_for(patch, GRID, GRID)
    features = load_backbone(str(tmp_path / "model.safetensors"))(images)
    expected = load_backbone(str(folder))(images)
    torch.testing.assert_close(features, expected, atol=1e-5, rtol=1e-5)


def test_positions_of_all_tokens_belong_to_them(saved: dict[str, Saved], tmp_path: Path) -> None:
    folder, hub, patch = saved["dinov2-reg"]
    meta = meta_vit(hub)
    position, extra = meta["pos_embed"], torch.rand(1, 3, WIDTH)
    meta["reg_token"] = meta.pop("register_tokens") - extra
    meta["pos_embed"] = torch.cat((position[:, :1], extra, position[:, 1:]), dim=1)
    torch.save(meta, tmp_path / "weights.pth")
    images = images_for(patch, 3, 5)
    torch.testing.assert_close(
        load_backbone(str(tmp_path / "weights.pth"))(images),
        load_backbone(str(folder))(images),
        atol=1e-5,
        rtol=1e-5,
    )


def test_the_norm_of_an_average_is_the_final_one(saved: dict[str, Saved], tmp_path: Path) -> None:
    folder, hub, _ = saved["dino"]
    meta = {
        name.replace("norm.", "fc_norm.") if name.startswith("norm.") else name: each
        for name, each in meta_vit(hub).items()
    }
    torch.save(meta, tmp_path / "weights.pth")
    expected = load_backbone(str(folder)).fingerprint
    assert load_backbone(str(tmp_path / "weights.pth")).fingerprint == expected


def test_a_network_without_biases_or_scales(saved: dict[str, Saved], tmp_path: Path) -> None:
    _, hub, patch = saved["dinov3"]
    meta = meta_file("dinov3", hub)
    meta = {n: t for n, t in meta.items() if not n.endswith(("qkv.bias", "bias_mask", "gamma"))}
    torch.save(meta, tmp_path / "weights.pth")
    images = images_for(patch, GRID, GRID)
    inputs = normalise_images(images, IMAGENET_MEAN, IMAGENET_STD)
    tokens = plain_tokens(meta, inputs, heads=HEADS, eps=1e-5)
    features = load_backbone(str(tmp_path / "weights.pth"))(images)
    torch.testing.assert_close(
        features.flatten(2).transpose(1, 2), tokens, atol=2e-5, rtol=1e-5, check_stride=False
    )


def test_biases_of_keys_that_no_mask_switches_off_stay(
    saved: dict[str, Saved], tmp_path: Path
) -> None:
    _, hub, patch = saved["dinov3"]
    meta = meta_file("dinov3", hub)
    meta = {name: each for name, each in meta.items() if not name.endswith("bias_mask")}
    torch.save(meta, tmp_path / "weights.pth")
    images = images_for(patch, GRID, GRID)
    inputs = normalise_images(images, IMAGENET_MEAN, IMAGENET_STD)
    tokens = plain_tokens(meta, inputs, heads=HEADS, eps=1e-5)
    features = load_backbone(str(tmp_path / "weights.pth"))(images)
    torch.testing.assert_close(
        features.flatten(2).transpose(1, 2), tokens, atol=2e-5, rtol=1e-5, check_stride=False
    )


@pytest.mark.parametrize("base", [100.0, 1000.0])
@pytest.mark.parametrize("head_size", [16, 32])
def test_rotary_periods_tell_heads_and_base(
    base: float, head_size: int, saved: dict[str, Saved], tmp_path: Path
) -> None:
    meta = meta_vit(saved["dinov3"].hub)
    meta["rope_embed.periods"] = rotary_periods(head_size, base).bfloat16()
    torch.save(meta, tmp_path / "weights.pth")
    backbone: Any = load_backbone(str(tmp_path / "weights.pth"))
    assert backbone.model.config.num_attention_heads == WIDTH // head_size
    assert backbone.model.config.rope_theta == pytest.approx(base, rel=0.03)


def test_other_rotary_periods_are_refused(saved: dict[str, Saved], tmp_path: Path) -> None:
    meta = meta_vit(saved["dinov3"].hub)
    meta["rope_embed.periods"] = torch.linspace(1, 60, 16)
    torch.save(meta, tmp_path / "weights.pth")
    with pytest.raises(UserError, match="not powers of one base"):
        load_backbone(str(tmp_path / "weights.pth"))


def test_satellite_networks_have_their_own_normalisation(
    saved: dict[str, Saved], tmp_path: Path
) -> None:
    meta = meta_file("dinov3", saved["dinov3"].hub)
    for name in ("dinov3_vitl16_pretrain_lvd1689m.pth", "dinov3_vitl16_pretrain_sat493m.pth"):
        torch.save(meta, tmp_path / name)
    land, satellite = (load_backbone(str(each)) for each in sorted(tmp_path.glob("*.pth")))
    images = images_for(16, GRID, GRID)
    shown = normalise_images(images, (0.430, 0.411, 0.296), (0.213, 0.156, 0.143))
    std, mean = (torch.tensor(each).view(1, 3, 1, 1) for each in (IMAGENET_STD, IMAGENET_MEAN))
    torch.testing.assert_close(satellite(images), land(shown * std + mean), atol=1e-4, rtol=1e-4)
    assert satellite.licence == land.licence == "dinov3-license"


WRAPPERS: dict[str, Callable[[State], object]] = {
    "state_dict": lambda state: {"state_dict": state, "epoch": 3},
    "model": lambda state: {"model": state, "optimizer": {"state": {0: {"step": 1}}}},
    "teacher and student": lambda state: {"student": _changed(state), "teacher": state},
    "ema and model": lambda state: {"model": _changed(state), "model_ema": state},
    "timm's ema": lambda state: {"state_dict": _changed(state), "state_dict_ema": state},
    "module": lambda state: _prefixed(state, "module."),
    "compiled": lambda state: _prefixed(state, "_orig_mod."),
    "all": lambda state: {"model": _prefixed(state, "module._orig_mod.teacher.backbone.")},
    "encoder": lambda state: {"state_dict": _prefixed(state, "encoder.")},
    "Lightning": lambda state: {
        "state_dict": _prefixed(state, "model.backbone.") | {"model.head.weight": torch.ones(2)}
    },
    "DINOv2's training": lambda state: {
        "model": _prefixed(_changed(state), "student.backbone.")
        | _prefixed(_chunked(state), "teacher.backbone.")
        | {"teacher.dino_head.last_layer.weight": torch.ones(2)}
    },
    "DINOv3's training": lambda state: {
        "model": _prefixed(_changed(state), "gram_teacher.backbone.")
        | _prefixed(state, "teacher.backbone.")
    },
}


def _prefixed(state: State, prefix: str) -> State:
    return {prefix + name: tensor for name, tensor in state.items()}


def _changed(state: State) -> State:
    return {name: tensor + 1 for name, tensor in state.items()}


def _chunked(state: State) -> State:
    return {name.replace("blocks.", "blocks.0."): tensor for name, tensor in state.items()}


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_wrappers_and_prefixes_do_not_matter(
    wrapper: str, saved: dict[str, Saved], tmp_path: Path
) -> None:
    folder, hub, _ = saved["dinov2-reg"]
    torch.save(WRAPPERS[wrapper](meta_vit(hub)), tmp_path / "weights.pth")
    expected = load_backbone(str(folder)).fingerprint
    assert load_backbone(str(tmp_path / "weights.pth")).fingerprint == expected


def test_several_networks_of_one_rank_are_named(saved: dict[str, Saved], tmp_path: Path) -> None:
    state = meta_vit(saved["dino"].hub)
    torch.save({"left": state, "right": state | {}}, tmp_path / "weights.pth")
    with pytest.raises(UserError, match=r"several networks, under 'left\.' and 'right\.'"):
        load_backbone(str(tmp_path / "weights.pth"))


def test_sharded_safetensors(saved: dict[str, Saved], tmp_path: Path) -> None:
    folder, hub, _ = saved["dinov2"]
    state = meta_vit(hub)
    names = sorted(state)
    parts = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, own in parts.items():
        save_file({name: state[name] for name in own}, tmp_path / file)
    index = tmp_path / "weights.safetensors.index.json"
    index.write_text(
        json.dumps({"weight_map": {name: file for file in parts for name in parts[file]}})
    )
    assert load_backbone(str(index)).fingerprint == load_backbone(str(folder)).fingerprint
    (tmp_path / "b.safetensors").unlink()
    with pytest.raises(UserError, match=r"weights\.safetensors\.index\.json: cannot be read"):
        load_backbone(str(index))
    index.write_text("[]")
    with pytest.raises(UserError, match="not an index"):
        load_backbone(str(index))


@pytest.fixture(scope="module")
def convnext(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    folder = tmp_path_factory.mktemp("hub") / "convnext"
    options: dict[str, object] = {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 2, 3, 1]}
    return Saved(folder, save_random("DINOv3ConvNextModel", options, folder), 32)


def test_metas_convnext_gives_the_features_of_the_hub(convnext: Saved, tmp_path: Path) -> None:
    meta = meta_convnext(convnext.hub)
    torch.save({"model": _prefixed(meta, "module.")}, tmp_path / "convnext.pth")
    expected = load_backbone(str(convnext.folder))
    backbone = load_backbone(str(tmp_path / "convnext.pth"))
    assert backbone.fingerprint == expected.fingerprint
    images = images_for(32, 2, 3)
    features = backbone(images)
    assert features.shape == (2, 32, 2, 3)
    torch.testing.assert_close(features, expected(images), atol=1e-5, rtol=0)
    with quiet_transformers():
        network: Any = transformers.DINOv3ConvNextModel.from_pretrained(convnext.folder)
    inputs = normalise_images(images, IMAGENET_MEAN, IMAGENET_STD)
    tokens = network.eval()(pixel_values=inputs).last_hidden_state
    torch.testing.assert_close(features[:, :, 1, 2], tokens[:, -1], atol=1e-5, rtol=0)


def test_a_convnext_has_no_keys(convnext: Saved, tmp_path: Path) -> None:
    torch.save(meta_convnext(convnext.hub), tmp_path / "convnext.pth")
    for source in (convnext.folder, tmp_path / "convnext.pth"):
        with pytest.raises(UserError, match="a ConvNeXt has no keys"):
            load_backbone(f"{source}:keys")


@pytest.mark.parametrize(
    ("name", "message"),
    [("stages.2.1.dwconv.weight", "missing"), ("norm.bias", "missing"), ("new.weight", "unexpect")],
)
def test_other_convnexts_are_refused(
    name: str, message: str, convnext: Saved, tmp_path: Path
) -> None:
    state = meta_convnext(convnext.hub)
    if message == "missing":
        del state[name]
    else:
        state[name] = torch.ones(1)
    torch.save(state, tmp_path / "convnext.pth")
    with pytest.raises(UserError, match=message):
        load_backbone(str(tmp_path / "convnext.pth"))


def test_what_is_not_known_is_said_with_what_is(tmp_path: Path) -> None:
    names = ("conv1.weight", "bn1.weight", "layer1.0.conv1.weight", "fc.weight")
    torch.save({name: torch.ones(1) for name in names}, tmp_path / "resnet.pth")
    with pytest.raises(UserError) as caught:
        load_backbone(str(tmp_path / "resnet.pth"))
    message = str(caught.value)
    assert message.startswith(f"--backbone {tmp_path / 'resnet.pth'}: contains no network")
    assert "conv1.weight, bn1.weight, layer1.0.conv1.weight and 1 more; supported are" in message


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("form", ["file", "folder"])
def test_weights_that_are_not_finite_are_refused(
    form: str, value: float, saved: dict[str, Saved], tmp_path: Path
) -> None:
    folder, hub, _ = saved["dinov2"]
    broken = {name: tensor.clone() for name, tensor in hub.items()}
    broken["encoder.layer.1.mlp.fc1.bias"][3] = value
    if form == "file":
        torch.save(meta_vit(broken), tmp_path / "weights.pth")
        source, name = tmp_path / "weights.pth", r"blocks\.1\.mlp\.fc1\.bias"
    else:
        (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
        save_file(broken, tmp_path / "model.safetensors", metadata={"format": "pt"})
        source, name = tmp_path, r"layer\.1\.mlp\.fc1\.bias"
    with pytest.raises(UserError, match=rf"{source}: .*{name} holds 1 value that is not finite"):
        load_backbone(str(source))


def test_masked_values_need_not_be_finite(saved: dict[str, Saved], tmp_path: Path) -> None:
    folder, hub, _ = saved["dinov3"]
    meta = meta_file("dinov3", hub)
    for name in [name for name in meta if name.endswith("qkv.bias")]:
        meta[name][WIDTH : 2 * WIDTH] = float("nan")
    torch.save(meta, tmp_path / "weights.pth")
    expected = load_backbone(str(folder)).fingerprint
    assert load_weight_file(tmp_path / "weights.pth").fingerprint == expected


def test_a_folder_of_timm_has_its_own_normalisation(
    saved: dict[str, Saved], tmp_path: Path
) -> None:
    folder, hub, patch = saved["dinov2-reg"]
    save_file(timm_dinov2(meta_vit(hub)), tmp_path / "model.safetensors")
    stated: dict[str, object] = {"mean": [0.5, 0.4, 0.3], "std": [0.1, 0.2, 0.3]}
    config = {"architecture": "vit_small_patch14_reg4_dinov2", "pretrained_cfg": stated}
    (tmp_path / "config.json").write_text(json.dumps(config))
    images = images_for(patch, GRID, GRID)
    shown = normalise_images(images, (0.5, 0.4, 0.3), (0.1, 0.2, 0.3))
    std, mean = (torch.tensor(each).view(1, 3, 1, 1) for each in (IMAGENET_STD, IMAGENET_MEAN))
    expected = load_backbone(str(folder))(shown * std + mean)
    features = load_backbone(str(tmp_path))(images)
    torch.testing.assert_close(features, expected, atol=1e-4, rtol=1e-4)
    for wrong, message in (({"mean": 3}, "invalid"), (3, "invalid")):
        (tmp_path / "config.json").write_text(json.dumps(config | {"pretrained_cfg": wrong}))
        with pytest.raises(UserError, match=f"pretrained_cfg in config.json is {message}"):
            load_backbone(str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"model\.safetensors not found"):
        load_backbone(str(tmp_path))


def test_a_whole_module_is_refused_with_what_to_save(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "weights.pth")
    with pytest.raises(UserError, match=r"refused, .*torch\.nn.*; save the network's state_dict"):
        load_backbone(str(tmp_path / "weights.pth"))

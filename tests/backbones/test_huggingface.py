import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
import transformers
from tests.hub_server import go_offline
from torch import nn

from segdistill.backbones import load_backbone
from segdistill.backbones.huggingface import hub_reason, quiet_from_pretrained
from segdistill.backbones.loading import SHORT_NAMES, load_from_hub
from segdistill.backbones.protocol import IMAGENET_MEAN, IMAGENET_STD, Backbone, normalise_images
from segdistill.backbones.vision_transformer import (
    ARCHITECTURES,
    TransformersBackbone,
)
from segdistill.errors import UserError

# Neither library states types here.
hub_utils: Any = huggingface_hub.utils
logging: Any = transformers.utils.logging

WIDTH = 32
PATCHES = {"vit": 8, "dinov2": 14, "dinov2_with_registers": 14, "dinov3_vit": 16}
REGISTERS = {"dinov2_with_registers": 3, "dinov3_vit": 2}
WAYS_ON = ("--backbone FOLDER", "--backbone FILE.pth", "--backbone efficientnet-lite0")


def tiny_model(model_type: str, **more: object) -> Any:
    """Build a random network of two blocks whose weights all matter."""
    model_class = getattr(transformers, ARCHITECTURES[model_type].model_class)
    options: dict[str, object] = {
        "hidden_size": WIDTH,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 2 * WIDTH,
        "mlp_ratio": 2,
        "patch_size": PATCHES[model_type],
        "image_size": 4 * PATCHES[model_type],
        "num_register_tokens": REGISTERS.get(model_type, 0),
    }
    if not model_type.startswith("dinov2"):
        del options["mlp_ratio"]
    if model_type not in REGISTERS:
        del options["num_register_tokens"]
    if model_type.startswith("dinov2"):
        del options["intermediate_size"]
    model = model_class(model_class.config_class(**options | more)).eval()
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.2, generator=generator)
    return model


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Write a network of each architecture in the hub's layout."""
    root = tmp_path_factory.mktemp("hub")
    for model_type in ARCHITECTURES:
        tiny_model(model_type).save_pretrained(root / model_type)
    return {model_type: root / model_type for model_type in ARCHITECTURES}


@pytest.fixture
def folder(folders: dict[str, Path], tmp_path: Path) -> Path:
    """Copy the ViT, for a test to spoil."""
    return Path(shutil.copytree(folders["vit"], tmp_path / "vit"))


@pytest.fixture
def _offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Turn on the hub's offline mode, with nothing in its cache."""
    go_offline(monkeypatch)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))


def images_for(model_type: str, rows: int, columns: int) -> torch.Tensor:
    side = PATCHES[model_type]
    generator = torch.Generator().manual_seed(1)
    return torch.rand(2, 3, rows * side, columns * side, generator=generator)


def raw_tokens(folder: Path, model_type: str, images: torch.Tensor) -> torch.Tensor:
    """Run the network as transformers alone loads it."""
    model_class = getattr(transformers, ARCHITECTURES[model_type].model_class)
    model: Any = quiet_from_pretrained(model_class, str(folder))[0]
    options = {"interpolate_pos_encoding": True} if model_type == "vit" else {}
    inputs = normalise_images(images, IMAGENET_MEAN, IMAGENET_STD)
    with torch.no_grad():
        tokens: torch.Tensor = model.eval()(pixel_values=inputs, **options).last_hidden_state
    return tokens


def write_json(path: Path, **values: object) -> None:
    content = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(content | values))


@pytest.mark.parametrize("model_type", ARCHITECTURES)
@pytest.mark.parametrize("grid", [(4, 4), (3, 5), (6, 2)])
def test_shape(folders: dict[str, Path], model_type: str, grid: tuple[int, int]) -> None:
    backbone = load_backbone(str(folders[model_type]))
    features = backbone(images_for(model_type, *grid))
    assert features.shape == (2, WIDTH, *grid)
    assert features.isfinite().all()


@pytest.mark.parametrize(
    ("model_type", "grid"),
    # transformers places a ViT's position embeddings otherwise at other sizes, see below.
    [("vit", (4, 4))] + [(name, (3, 5)) for name in ARCHITECTURES if name != "vit"],
)
def test_patches_keep_their_places_and_other_tokens_go(
    folders: dict[str, Path], model_type: str, grid: tuple[int, int]
) -> None:
    images = images_for(model_type, *grid)
    tokens = raw_tokens(folders[model_type], model_type, images)
    features = load_backbone(str(folders[model_type]))(images)
    first = 1 + REGISTERS.get(model_type, 0)
    assert tokens.shape[1] == first + grid[0] * grid[1]
    for row in range(grid[0]):
        for column in range(grid[1]):
            expected = tokens[:, first + row * grid[1] + column]
            torch.testing.assert_close(features[:, :, row, column], expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_keys_are_the_last_blocks(folders: dict[str, Path], model_type: str) -> None:
    backbone = load_from_hub(str(folders[model_type]), features="keys")
    assert isinstance(backbone, TransformersBackbone)
    images = images_for(model_type, 3, 5)
    before = backbone(images)
    assert before.shape == (2, WIDTH, 3, 5)
    last_block = [
        parameter
        for name, parameter in backbone.model.named_parameters()
        if "layers.1." in name or "layer.1." in name
    ]
    assert last_block
    for name, parameter in backbone.model.named_parameters():
        if ("layers.1." in name or "layer.1." in name) and ("key" in name or "k_proj" in name):
            parameter.mul_(2)
    torch.testing.assert_close(backbone(images), 2 * before, atol=1e-4, rtol=0)


def test_keys_leave_no_hook_behind(folders: dict[str, Path]) -> None:
    backbone = load_from_hub(str(folders["dinov2"]), features="keys")
    assert isinstance(backbone, TransformersBackbone)
    backbone(images_for("dinov2", 2, 2))
    assert not any(module._forward_hooks for module in backbone.model.modules())


@pytest.mark.parametrize(
    ("model_type", "resolution", "licence"),
    [
        ("vit", 352, "unknown"),
        ("dinov2", 448, "unknown"),
        ("dinov2_with_registers", 448, "unknown"),
        ("dinov3_vit", 448, "dinov3-license"),
    ],
)
def test_attributes(
    folders: dict[str, Path], model_type: str, resolution: int, licence: str
) -> None:
    backbone = load_backbone(str(folders[model_type]))
    assert isinstance(backbone, Backbone)
    assert backbone.name == str(folders[model_type])
    assert backbone.stride == backbone.size_multiple == PATCHES[model_type]
    assert backbone.channel_groups == (WIDTH,)
    assert not backbone.standardise
    assert backbone.resolution == resolution
    assert backbone.resolution % backbone.size_multiple == 0
    assert backbone.licence == licence


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_is_frozen_and_uses_fused_attention(folders: dict[str, Path], model_type: str) -> None:
    backbone = load_backbone(str(folders[model_type]))
    assert isinstance(backbone, TransformersBackbone)
    backbone.train()
    assert not any(module.training for module in backbone.modules())
    assert not any(parameter.requires_grad for parameter in backbone.parameters())
    assert backbone.model.config._attn_implementation == "sdpa"


def test_fingerprint_is_stable_and_knows_what_matters(folder: Path) -> None:
    first = load_backbone(str(folder)).fingerprint
    assert load_backbone(str(folder)).fingerprint == first
    keys = load_from_hub(str(folder), features="keys").fingerprint
    write_json(folder / "preprocessor_config.json", image_mean=[0.5, 0.5, 0.5])
    other_mean = load_backbone(str(folder)).fingerprint
    assert len({first, keys, other_mean}) == 3


def test_imagenets_normalisation_stated_or_not_is_the_same(folder: Path) -> None:
    first = load_backbone(str(folder)).fingerprint
    stated = {"image_mean": list(IMAGENET_MEAN), "image_std": list(IMAGENET_STD)}
    write_json(folder / "preprocessor_config.json", do_normalize=True, **stated)
    assert load_backbone(str(folder)).fingerprint == first


@pytest.mark.parametrize(
    ("stated", "mean", "std"),
    [
        ({"image_mean": [0.5, 0.4, 0.3], "image_std": [0.1, 0.2, 0.3]}, (0.5, 0.4, 0.3), None),
        ({"do_normalize": False}, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
        ({"image_mean": None}, IMAGENET_MEAN, IMAGENET_STD),
    ],
)
def test_normalisation_is_the_folders(
    folder: Path,
    stated: dict[str, object],
    mean: tuple[float, ...],
    std: tuple[float, ...] | None,
) -> None:
    images = images_for("vit", 4, 4)
    plain = load_backbone(str(folder))
    write_json(folder / "preprocessor_config.json", **stated)
    prepared = normalise_images(images, mean, std or (0.1, 0.2, 0.3))
    undone = prepared * torch.tensor(IMAGENET_STD).view(1, 3, 1, 1)
    undone += torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1)
    torch.testing.assert_close(load_backbone(str(folder))(images), plain(undone))


@pytest.mark.parametrize(
    "stated",
    [{"image_mean": [0.5]}, {"image_std": [0.1, 0.0, 0.1]}, {"image_mean": "half"}],
)
def test_a_normalisation_that_makes_no_sense_is_refused(
    folder: Path, stated: dict[str, object]
) -> None:
    write_json(folder / "preprocessor_config.json", **stated)
    with pytest.raises(
        UserError, match=r"preprocessor_config\.json: .*image_mean and image_std must have three"
    ):
        load_backbone(str(folder))


def test_position_embeddings_are_those_of_each_size_in_turn(folders: dict[str, Path]) -> None:
    backbone = load_backbone(str(folders["vit"]))
    sizes = [(3, 5), (3, 5), (5, 3), (4, 4), (3, 5)]
    for rows, columns in sizes:
        images = images_for("vit", rows, columns)
        fresh = load_backbone(str(folders["vit"]))
        assert torch.equal(backbone(images), fresh(images))


def test_a_wide_image_gets_dinos_positions_and_not_transformers(
    folders: dict[str, Path],
) -> None:
    images = images_for("vit", 3, 5)
    raw = raw_tokens(folders["vit"], "vit", images)[:, 1:].transpose(1, 2).reshape(2, -1, 3, 5)
    features = load_backbone(str(folders["vit"]))(images)
    assert (features - raw).abs().max() > 1e-3


def test_a_dino_from_the_hub_has_dinos_norm(folders: dict[str, Path]) -> None:
    assert json.loads((folders["vit"] / "config.json").read_text())["layer_norm_eps"] == 1e-12
    backbone = load_backbone(str(folders["vit"]))
    assert isinstance(backbone, TransformersBackbone)
    epsilons = {module.eps for module in backbone.modules() if isinstance(module, nn.LayerNorm)}
    assert epsilons == {1e-6}


def test_a_folder_without_config_is_refused(folder: Path) -> None:
    (folder / "config.json").unlink()
    with pytest.raises(UserError, match=r"config\.json not found"):
        load_backbone(str(folder))


def test_a_folder_without_weights_is_refused(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"model\.safetensors not found"):
        load_backbone(str(folder))


def test_a_folder_with_pickled_weights_alone_is_told_how_to_convert(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"pytorch_model\.bin.*convert it") as caught:
        load_backbone(str(folder))
    assert str(folder) in str(caught.value).splitlines()[1]


def test_broken_weights_are_refused(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(UserError, match="the weights cannot be read: SafetensorError"):
        load_backbone(str(folder))


def test_weights_of_another_shape_are_refused(folder: Path) -> None:
    write_json(folder / "config.json", hidden_size=2 * WIDTH)
    with pytest.raises(UserError, match="the weights cannot be read"):
        load_backbone(str(folder))


def test_missing_weights_are_refused(folder: Path) -> None:
    write_json(folder / "config.json", num_hidden_layers=3)
    with pytest.raises(UserError, match=r"weights of .* are missing"):
        load_backbone(str(folder))


def test_other_architectures_are_refused(folder: Path) -> None:
    write_json(folder / "config.json", model_type="resnet")
    with pytest.raises(
        UserError, match=r"'resnet' in config.json; supported types are vit, dinov2, .*dinov3_vit"
    ):
        load_backbone(str(folder))


@pytest.mark.parametrize("text", ["{", "[]"])
def test_a_config_that_is_no_json_object_is_refused(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text)
    with pytest.raises(UserError, match=r"config\.json"):
        load_backbone(str(folder))


def test_oblong_patches_are_refused() -> None:
    model = tiny_model("dinov2", patch_size=[7, 14])
    with pytest.raises(UserError, match="patches must be square"):
        TransformersBackbone(model, name="oblong", licence="none")


@pytest.mark.parametrize("name", [*SHORT_NAMES, "someone/something"])
@pytest.mark.usefixtures("_offline")
def test_offline_mode_names_what_was_asked_and_the_ways_on(name: str) -> None:
    with pytest.raises(UserError, match="offline mode is on") as caught:
        load_backbone(name)
    message = str(caught.value)
    assert name in message
    assert all(way in message for way in WAYS_ON)
    assert "set HF_HUB_OFFLINE=0 to download" in message
    assert "hf auth login" not in message


def test_gated_weights_need_a_login_only_online(monkeypatch: pytest.MonkeyPatch) -> None:
    gated, error = "facebook/dinov3-vits16-pretrain-lvd1689m", RuntimeError("the line went dead")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    assert "`hf auth login`" in hub_reason(gated, error)
    go_offline(monkeypatch)
    assert hub_reason(gated, error) == "RuntimeError: the line went dead"


def hub_error(kind: str) -> Exception:
    """Make the error that the hub's client raises."""
    errors = huggingface_hub.errors
    if kind == "unreachable":
        return errors.LocalEntryNotFoundError("no connection")
    if kind == "other":
        return RuntimeError("the line went dead.\nmore")
    # The constructor wants a response, of a class that differs by version.
    error_class = errors.GatedRepoError if kind == "gated" else errors.RepositoryNotFoundError
    return error_class.__new__(error_class)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("unreachable", "the hub cannot be reached"),
        ("gated", "access denied; .* request access .* `hf auth login`"),
        ("not found", "the repository does not exist or is private"),
        ("other", "RuntimeError: the line went dead"),
    ],
)
def test_every_failure_to_download_becomes_one_message(
    monkeypatch: pytest.MonkeyPatch, kind: str, message: str
) -> None:
    def fail(*_names: object, **_options: object) -> None:
        raise hub_error(kind)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    with pytest.raises(UserError, match=message) as caught:
        load_backbone("someone/something")
    assert "someone/something" in str(caught.value)
    assert all(way in str(caught.value) for way in WAYS_ON)


@pytest.fixture
def downloaded(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Path:
    """Let the hub hold the ViT, whatever is asked for."""
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_names, **_options: folder)
    return folder


def test_a_short_name_loads_from_the_hub(downloaded: Path) -> None:
    backbone = load_backbone("dino-vits8")
    assert backbone.name == "dino-vits8"
    assert backbone.licence == "apache-2.0"
    assert backbone.fingerprint == load_backbone(str(downloaded)).fingerprint


def test_a_hub_id_is_kept_as_the_name(downloaded: Path) -> None:
    backbone = load_backbone("someone/something")
    assert backbone.name == "someone/something"
    assert backbone.licence == "unknown"


def test_a_hub_model_without_config_is_refused(downloaded: Path) -> None:
    (downloaded / "config.json").unlink()
    with pytest.raises(UserError, match=r"--backbone someone/something: config\.json not found"):
        load_backbone("someone/something")


@pytest.mark.usefixtures("_offline")
def test_a_hub_model_without_safetensors_is_asked_of_transformers(downloaded: Path) -> None:
    (downloaded / "model.safetensors").unlink()
    with pytest.raises(
        UserError, match="weights cannot be downloaded from the Hugging Face hub"
    ) as caught:
        load_backbone("dinov3-vits16")
    message = str(caught.value)
    assert all(way in message for way in WAYS_ON)
    assert "offline mode is on" in message
    assert "`hf auth login`" not in message


@pytest.fixture
def _own_output_settings() -> Iterator[None]:
    """Put transformers' own settings back, whatever a test does to them."""
    verbosity = logging.get_verbosity()
    yield
    logging.set_verbosity(verbosity)
    logging.enable_progress_bar()


@pytest.mark.parametrize("bars", [True, False])
@pytest.mark.usefixtures("_own_output_settings")
def test_loading_is_quiet_and_leaves_the_users_settings(
    folders: dict[str, Path], bars: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    logging.set_verbosity_info()
    (logging.enable_progress_bar if bars else logging.disable_progress_bar)()
    load_backbone(str(folders["vit"]))
    assert capfd.readouterr() == ("", "")
    assert logging.get_verbosity() == logging.INFO
    assert logging.is_progress_bar_enabled() == bars
    assert hub_utils.are_progress_bars_disabled() != bars

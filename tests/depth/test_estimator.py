import json
import shutil
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import torch
import transformers
from tests.depth.networks import NETWORKS, estimated, picture
from tests.hub_server import go_offline

from segdistill.depth.estimator import NETWORKS as LOADABLE
from segdistill.depth.estimator import DepthEstimator, load_depth_estimator
from segdistill.depth.networks import DEPTH_MODELS, depth_model_source
from segdistill.devices import choose_compute
from segdistill.errors import UserError


@pytest.fixture
def folder(networks: dict[str, Path], tmp_path: Path) -> Path:
    """Copy a network, for a test to spoil."""
    return Path(shutil.copytree(networks["depth-anything"], tmp_path / "model"))


def load(source: Path | str, **more: Any) -> DepthEstimator:
    return load_depth_estimator(str(source), compute=choose_compute("cpu", "32-true"), **more)


def raw_depth(folder: Path, model_type: str, pixels: torch.Tensor) -> torch.Tensor:
    """Run the network as transformers alone loads it."""
    model: Any = getattr(transformers, LOADABLE.classes[model_type]).from_pretrained(folder)
    with torch.no_grad():
        depth: torch.Tensor = model.eval()(pixel_values=pixels).predicted_depth
    return depth


def write_json(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize("kind", NETWORKS)
def test_depth_is_the_networks(networks: dict[str, Path], kind: str) -> None:
    estimator = load(networks[kind])
    image = picture(48, 72)
    prepared = estimator.preprocessing.preprocess(image)[None]
    raw = raw_depth(networks[kind], NETWORKS[kind], prepared)
    torch.testing.assert_close(estimator.predict(prepared), raw)
    depth = estimated(estimator, image)
    assert depth.shape == (48, 72)
    # Or the comparison would show nothing.
    assert depth.std() > 0.05


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_batch_changes_nothing(networks: dict[str, Path], kind: str) -> None:
    estimator = load(networks[kind])
    prepared = torch.stack(
        [estimator.preprocessing.preprocess(picture(48, 72, i)) for i in range(3)]
    )
    alone = torch.cat([estimator.predict(each[None]) for each in prepared])
    if estimator.single_image_batches:
        assert kind == "zoedepth-two-heads"
    else:
        torch.testing.assert_close(estimator.predict(prepared), alone, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("kind", NETWORKS)
def test_what_the_numbers_mean(networks: dict[str, Path], kind: str) -> None:
    expected = "depth" if "metric" in kind or "zoedepth" in kind else "inverse"
    assert load(networks[kind]).kind == expected
    assert load(networks[kind], kind="depth").kind == "depth"


def test_it_is_frozen_and_known_by_its_folder(networks: dict[str, Path]) -> None:
    estimator = load(networks["dpt"])
    assert estimator.source == str(networks["dpt"].resolve())
    assert estimator.licence == "unknown"
    assert not estimator.network.training
    assert not any(parameter.requires_grad for parameter in estimator.network.parameters())


def test_weights_that_nothing_passes_may_be_missing(folder: Path) -> None:
    import safetensors.torch  # noqa: PLC0415 - states no types

    # Copies, since the file that is read lazily is written below.
    read = safetensors.torch.load_file(folder / "model.safetensors")
    weights = {key: value.clone() for key, value in read.items()}
    before = estimated(load(folder), picture(32, 32))
    unused = [key for key in weights if "mask_token" in key or "layers.0.residual_layer1" in key]
    assert len(unused) == 5
    for key in unused:
        del weights[key]
    safetensors.torch.save_file(weights, folder / "model.safetensors", {"format": "pt"})
    np.testing.assert_array_equal(estimated(load(folder), picture(32, 32)), before)
    del weights["head.conv1.weight"]
    safetensors.torch.save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(
        UserError, match=r"1 weights of .* are missing, such as head\.conv1\.weight"
    ):
        load(folder)


def test_other_architectures_are_refused(folder: Path) -> None:
    write_json(folder / "config.json", model_type="vit")
    with pytest.raises(
        UserError, match=r"'vit' in config.json; supported types are depth_anything, dpt, zoedepth"
    ):
        load(folder)


def test_short_of_memory_is_told(
    networks: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    estimator = load(networks["dpt"])

    def fail(**_inputs: object) -> None:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(estimator.network, "forward", fail)
    with pytest.raises(UserError, match="out of memory with a batch of 2 images; lower --batch"):
        estimator.predict(torch.zeros(2, 3, 64, 64))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("embedded", "no depth network is installed with segdistill.*depth/ folder"),
        ("depth-anything-v2-smal", r"did you mean depth-anything-v2-small\?"),
        ("a/b/c", "not a short name .* a hub id or a local folder"),
        ("./missing", "no such folder"),
        (__file__, "is a file; pass the folder"),
    ],
)
def test_names_that_stand_for_nothing(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        depth_model_source(name)


@pytest.fixture
def _offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Turn on the hub's offline mode, with nothing in its cache."""
    go_offline(monkeypatch)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("name", [*DEPTH_MODELS, "someone/something"])
@pytest.mark.usefixtures("_offline")
def test_offline_mode_says_what_to_download_where(name: str) -> None:
    with pytest.raises(UserError, match="offline mode is on") as caught:
        load(name)
    message = str(caught.value)
    assert name in message
    assert f"`hf download {depth_model_source(name)} config.json" in message
    assert "--model FOLDER" in message
    assert "depth/ folder" in message


@pytest.mark.parametrize("safetensors", [True, False])
@pytest.mark.usefixtures("_offline")
def test_a_short_name_loads_from_the_hub(
    monkeypatch: pytest.MonkeyPatch, folder: Path, *, safetensors: bool
) -> None:
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_names, **_options: folder)
    if safetensors:
        estimator = load("depth-anything-v2-base")
        assert estimator.source == "depth-anything/Depth-Anything-V2-Base-hf"
        assert estimator.licence == "cc-by-nc-4.0"
        return
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match="weights cannot be downloaded from the Hugging Face hub"):
        load("depth-anything-v2-base")


def test_loading_is_quiet(networks: dict[str, Path], capfd: pytest.CaptureFixture[str]) -> None:
    estimated(load(networks["zoedepth"]), picture(32, 40))
    assert capfd.readouterr() == ("", "")

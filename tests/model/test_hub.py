"""Models on the Hugging Face hub: the hub's own client against a small stand-in for the hub."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import torch
from huggingface_hub import file_download
from tests.backbones.test_huggingface import tiny_model
from tests.deployment.models import model_of
from tests.helpers import TinyBackbone, striped_image
from tests.hub_server import TOKEN, Hub, go_offline, running_hub

from segdistill import Segmenter, UserError
from segdistill.backbones import BackboneEntry, load_backbone, registry
from segdistill.model.card import CardFacts, model_card

NAME = "someone/street-scenes"
SCORES = {"accuracy": 0.692, "mean_iou": 0.362}


@pytest.fixture(autouse=True)
def _tiny_backbone(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = BackboneEntry("tiny", "embedded", "for tests", lambda _source: TinyBackbone())
    monkeypatch.setitem(registry._ENTRIES, "tiny", entry)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    with running_hub() as hub:
        for name, value in {
            "ENDPOINT": hub.url,
            "HF_HUB_CACHE": str(tmp_path / "cache"),
            "HUGGINGFACE_CO_URL_TEMPLATE": hub.url + "/{repo_id}/resolve/{revision}/{filename}",
            "HF_HUB_DISABLE_XET": True,
            "HF_HUB_OFFLINE": False,
        }.items():
            monkeypatch.setattr(huggingface_hub.constants, name, value)
            # Before 1.0, this module has some of them under its own names.
            monkeypatch.setattr(file_download, name, value, raising=False)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield hub


def segmenter() -> Segmenter:
    return model_of(TinyBackbone(), 64)


def test_what_was_shared_is_read_again(hub: Hub, tmp_path: Path) -> None:
    address = segmenter().push_to_hub(NAME, private=True)
    assert address.startswith(f"{hub.url}/{NAME}/commit/")
    assert set(hub.repositories[NAME]) == {
        "README.md",
        "segmenter.json",
        "segmenter.safetensors",
    }
    assert hub.private == {NAME}

    again = Segmenter.from_pretrained(NAME, device="cpu")
    image = striped_image(0)
    np.testing.assert_array_equal(again.segment(image), segmenter().segment(image))
    assert again.classes == segmenter().classes
    again.save(tmp_path / "run")
    assert Segmenter.from_pretrained(tmp_path / "run").classes == again.classes


def test_a_model_there_is_replaced_only_if_asked(hub: Hub) -> None:
    segmenter().push_to_hub(NAME)
    before = dict(hub.repositories[NAME])
    other = model_of(TinyBackbone(), 96)
    with pytest.raises(UserError, match=r"already contains a model; .* --overwrite"):
        other.push_to_hub(NAME)
    assert hub.repositories[NAME] == before
    other.push_to_hub(NAME, overwrite=True)
    assert Segmenter.from_pretrained(NAME).settings.resolution == 96


def test_the_second_time_nothing_is_downloaded(hub: Hub) -> None:
    segmenter().push_to_hub(NAME)
    Segmenter.from_pretrained(NAME)
    asked = len(hub.requests)
    Segmenter.from_pretrained(NAME)
    assert not any("safetensors" in each for each in hub.requests[asked:])


def test_nothing_but_safetensors_and_json_is_read(hub: Hub) -> None:
    segmenter().push_to_hub(NAME)
    hub.repositories[NAME] |= {"evil.py": b"raise SystemExit", "weights.pkl": b"\x80\x04."}
    Segmenter.from_pretrained(NAME)
    assert not any("evil.py" in each or "pkl" in each for each in hub.requests)


def test_a_backbone_in_the_repository_is_found(hub: Hub, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    tiny_model("vit").save_pretrained(folder / "net")
    model_of(load_backbone(str(folder / "net")), 32).save(folder)
    hub.repositories[NAME] = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
    shutil.rmtree(folder)
    assert Segmenter.from_pretrained(NAME).backbone.stride == 8


def test_a_local_backbone_is_asked_for_and_its_place_is_not_told(hub: Hub, tmp_path: Path) -> None:
    tiny_model("vit").save_pretrained(tmp_path / "net")
    model = model_of(load_backbone(str(tmp_path / "net")), 32)
    model.push_to_hub(NAME)
    shared = b"".join(hub.repositories[NAME].values())
    assert str(tmp_path).encode() not in shared
    assert b'backbone="FOLDER"' in shared
    with pytest.raises(UserError, match="--backbone net"):
        Segmenter.from_pretrained(NAME)
    again = Segmenter.from_pretrained(NAME, backbone=str(tmp_path / "net"))
    images = torch.rand(1, 3, 24, 40)
    torch.testing.assert_close(again(images), model(images))


def test_without_a_token_the_hub_refuses(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_of_somebody_else")
    with pytest.raises(UserError, match=r"did not accept the model: .*`hf auth login`"):
        segmenter().push_to_hub(NAME)


def test_a_repository_that_is_not_there(hub: Hub) -> None:
    with pytest.raises(UserError, match=r"no such folder, .* the repository does not exist"):
        Segmenter.from_pretrained(NAME)


def test_a_repository_without_a_model(hub: Hub) -> None:
    hub.repositories[NAME] = {"config.json": b"{}"}
    with pytest.raises(UserError, match=r"no segmenter\.json"):
        Segmenter.from_pretrained(NAME)


def test_offline_the_cache_serves(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    segmenter().push_to_hub(NAME)
    Segmenter.from_pretrained(NAME)
    go_offline(monkeypatch)
    assert Segmenter.from_pretrained(NAME).settings.resolution == 64
    with pytest.raises(UserError, match=r"someone/else: .* offline mode is on") as caught:
        Segmenter.from_pretrained("someone/else")
    assert str(caught.value).endswith("HF_HUB_OFFLINE=0 to download them, or give a local folder")
    with pytest.raises(UserError, match="did not accept the model: offline mode is on") as caught:
        segmenter().push_to_hub(NAME)
    assert str(caught.value).endswith("; set HF_HUB_OFFLINE=0 to push")


@pytest.mark.parametrize("name", ["runs", "a/b/c", "./runs/photos", "/nowhere/photos"])
def test_what_is_neither_folder_nor_hub_id(name: str) -> None:
    with pytest.raises(UserError, match="no such folder, and not a hub id"):
        Segmenter.from_pretrained(name)


def test_the_card_is_one_that_the_hub_reads() -> None:
    model = segmenter()
    model.settings.training.update(images=367, data_fingerprint="0123abcd")
    facts = CardFacts(settings={"classes": 2, "seed": 3}, scores=SCORES, images=101, data="CamVid")
    text = model_card(model.parts, NAME, facts)
    data: Any = huggingface_hub.ModelCard(text).data
    assert data.library_name == "segdistill"
    assert data.pipeline_tag == "image-segmentation"
    measured = {each.metric_type: each.metric_value for each in data.eval_results}
    assert measured == {"accuracy": 0.692, "mean_iou": 0.362}
    assert "| 0 | sky | `#0a14fa` |" in text
    assert "| 1 | class 1 | `#1ec828` | hidden in overlays and exports |" in text
    for said in (
        "367 images",
        "`0123abcd`",
        "36.2%",
        "backbone: none",
        "## Limits",
        "## Data",
        "## Licences",
        "Intended use",
        "seed: 3",
        "CamVid",
    ):
        assert said in text
    assert f'from_pretrained("{NAME}")' in text


def test_the_card_of_a_taught_model_says_so() -> None:
    model = segmenter()
    assert "found in images without labels" in model_card(model.parts, NAME, CardFacts())
    model.settings.training.update(images=12, method="taught")
    text = model_card(model.parts, NAME, CardFacts())
    assert "taught by a person" in text
    assert "fitted to a person's answers" in text


@pytest.mark.parametrize(
    ("training", "said"),
    [
        ({}, "correspondences of its features (STEGO"),
        ({"method": "stego", "objective": "stego"}, "correspondences of its features (STEGO"),
        (
            {"method": "stego", "objective": "hp"},
            "with the objective HP, Seong et al., CVPR 2023",
        ),
        ({"method": "stego", "objective": "mine"}, "with the objective mine, and its codes"),
        ({"method": "kmeans"}, "without training"),
    ],
)
def test_a_card_says_what_was_done(training: dict[str, Any], said: str) -> None:
    parts = segmenter().parts
    trained = replace(parts, settings=replace(parts.settings, training=training))
    assert said in model_card(trained, NAME, CardFacts())


def test_a_card_says_when_nothing_was_measured() -> None:
    text = model_card(segmenter().parts, NAME, CardFacts())
    assert "Not measured against labels" in text
    data: Any = huggingface_hub.ModelCard(text).data
    assert data.eval_results is None

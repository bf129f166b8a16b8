"""CLIP and SigLIP from a folder: the same numbers as transformers alone, and clear errors."""

import json
import shutil
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import torch
import torch.nn.functional as F
import transformers
from safetensors.torch import load_file, save_file
from tests.hub_server import go_offline
from tests.naming.networks import SIDE, STATED, write_network

from segdistill.devices import choose_compute
from segdistill.errors import UserError
from segdistill.naming.encoder import NETWORKS, NetworkEncoder, load_encoder

SENTENCES = ["a photo of road", "grass", "A photo of a very long and winding traffic-light"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("networks")
    return {kind: write_network(root / kind, kind) for kind in NETWORKS.classes}


@pytest.fixture
def folder(folders: dict[str, Path], tmp_path: Path) -> Path:
    """Copy the CLIP, for a test to spoil."""
    return Path(shutil.copytree(folders["clip"], tmp_path / "clip"))


def loaded(folder: Path) -> NetworkEncoder:
    return load_encoder(str(folder), compute=choose_compute("cpu", "32-true"))


def pooled(answer: Any) -> torch.Tensor:
    return answer if isinstance(answer, torch.Tensor) else answer.pooler_output


@pytest.mark.parametrize("kind", NETWORKS.classes)
def test_embeddings_are_those_of_transformers(folders: dict[str, Path], kind: str) -> None:
    library: Any = transformers
    encoder = loaded(folders[kind])
    network = getattr(library, NETWORKS.classes[kind]).from_pretrained(folders[kind]).eval()
    tokenizer = library.AutoTokenizer.from_pretrained(folders[kind])
    padding = {"padding": True} if kind == "clip" else {"padding": "max_length"}
    tokens = tokenizer(SENTENCES, truncation=True, max_length=40, return_tensors="pt", **padding)
    given = {"input_ids": tokens["input_ids"]}
    if kind == "clip":
        given["attention_mask"] = tokens["attention_mask"]
    with torch.no_grad():
        sentences = F.normalize(pooled(network.get_text_features(**given)), dim=1)
        # At the size that the network sees, preparing is normalising alone.
        picture = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
        stated = json.loads((folders[kind] / "preprocessor_config.json").read_text())
        normal = (picture / 255 - stated["image_mean"]) / stated["image_std"]
        pixels = torch.from_numpy(normal).permute(2, 0, 1)[None].float()
        pictures = F.normalize(pooled(network.get_image_features(pixel_values=pixels)), dim=1)
    torch.testing.assert_close(encoder.embed_texts(SENTENCES), sentences)
    torch.testing.assert_close(encoder.embed_images([picture]), pictures)
    assert encoder.scale == pytest.approx(float(network.logit_scale.detach().exp()))


def test_many_are_embedded_as_few_are(folders: dict[str, Path]) -> None:
    encoder = loaded(folders["clip"])
    random = np.random.default_rng(0)
    sizes = [(40, 60), (60, 40), (16, 16), (33, 33)] * 5
    pictures = [random.integers(0, 256, (*size, 3), np.uint8) for size in sizes]
    together = encoder.embed_images(pictures)
    alone = torch.cat([encoder.embed_images([each]) for each in pictures])
    torch.testing.assert_close(together, alone)
    assert together.norm(dim=1).allclose(torch.ones(20))


def test_pictures_are_cut_for_clip_and_squeezed_for_siglip(folders: dict[str, Path]) -> None:
    picture = np.zeros((SIDE, 3 * SIDE, 3), np.uint8)
    picture[:, SIDE : 2 * SIDE] = 255
    clip, siglip = (loaded(folders[kind]).preprocessing for kind in ("clip", "siglip"))
    assert clip.preprocess(picture).amin() > 1.5
    squeezed = siglip.preprocess(picture)
    assert squeezed.shape == (3, SIDE, SIDE)
    assert squeezed[0, 0, [0, SIDE // 2]].tolist() == [-1, 1]


@pytest.mark.parametrize("size", [(40, 60), (61, 47), (33, 100), (SIDE, SIDE), (300, 200)])
@pytest.mark.parametrize("kind", NETWORKS.classes)
def test_pictures_are_prepared_as_by_transformers(
    folders: dict[str, Path], kind: str, size: tuple[int, int]
) -> None:
    library: Any = transformers
    name = {"clip": "CLIPImageProcessor", "siglip": "SiglipImageProcessor"}[kind]
    # The processor that needs no torchvision, in transformers 5 and 4.
    processor = getattr(library, f"{name}Pil", None) or getattr(library, name)
    picture = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    expected = processor(**STATED[kind])(images=picture, return_tensors="pt")["pixel_values"][0]
    prepared = loaded(folders[kind]).preprocessing.preprocess(picture)
    torch.testing.assert_close(prepared, expected, atol=1e-5, rtol=0)


def test_newer_processor_files_are_read(folder: Path) -> None:
    stated = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").unlink()
    other = stated | {"image_mean": [0.1, 0.2, 0.3]}
    (folder / "processor_config.json").write_text(json.dumps({"image_processor": other}))
    assert loaded(folder).preprocessing.mean == (0.1, 0.2, 0.3)
    (folder / "processor_config.json").write_text(json.dumps({"image_processor": []}))
    with pytest.raises(UserError, match=r"processor_config.json: invalid preprocessor config"):
        loaded(folder)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (
            lambda f: (f / "config.json").write_text('{"model_type": "vit"}'),
            "supported types are clip",
        ),
        (
            lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"),
            "CLIPModel as M",
        ),
        (lambda f: (f / "tokenizer_config.json").write_text("{"), "tokenizer cannot be read"),
    ],
)
def test_what_is_wrong_with_a_folder_is_told(folder: Path, spoil: Any, said: str) -> None:
    spoil(folder)
    with pytest.raises(UserError, match=f"(?s)--model .*{said}"):
        loaded(folder)


def test_missing_weights_are_told(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights["visual_projection.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(
        UserError, match=r"1 weights of .* are missing, such as visual_projection\.weight"
    ):
        loaded(folder)


def test_code_that_comes_with_a_model_is_not_run(folder: Path, tmp_path: Path) -> None:
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\nclass E: ...\n")
    for name, key in (("config.json", "AutoModel"), ("tokenizer_config.json", "AutoTokenizer")):
        content = json.loads((folder / name).read_text())
        value = "evil.E" if key == "AutoModel" else ["evil.E", "evil.E"]
        (folder / name).write_text(json.dumps(content | {"auto_map": {key: value}}))
    loaded(folder)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("clip", "not a local folder or a hub id"),
        ("./nowhere", "no such folder"),
        ("a.bin", "is a file; pass"),
    ],
)
def test_names_that_are_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.bin").touch()
    with pytest.raises(UserError, match=said):
        load_encoder(model)


def test_offline_mode_says_what_to_download_where(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    go_offline(monkeypatch)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(UserError, match="offline mode is on") as caught:
        load_encoder("openai/clip-vit-base-patch32")
    assert "hf download openai/clip-vit-base-patch32 --local-dir FOLDER" in str(caught.value)

"""The Segmenter: masks, and the files it is kept in."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tests.helpers import TinyBackbone, edited, striped_image

from segdistill.decoding.image_reading import ImageReading
from segdistill.errors import UserError
from segdistill.features.preparation import FeaturePreparation, fit_preparation
from segdistill.model import files as model_files
from segdistill.model.description import SegmenterSettings, numbered_classes
from segdistill.model.files import read_description
from segdistill.model.head import SegmentationHead
from segdistill.model.segmenter import Segmenter


def tiny_segmenter(*, head: bool = True, classes: int = 3) -> Segmenter:
    torch.manual_seed(0)
    preparation = fit_preparation(torch.rand(200, 6), (3, 3), standardise=True, components=4)
    return Segmenter(
        TinyBackbone(),
        preparation,
        SegmentationHead(4, 5) if head else None,
        torch.randn(classes, 5 if head else 4),
        SegmenterSettings(64, numbered_classes(classes)),
    )


@pytest.fixture
def _tiny_from_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_files, "load_backbone", lambda _name: TinyBackbone())


@pytest.mark.parametrize("size", [(64, 96), (1, 50), (50, 1), (301, 17), (7, 7)])
def test_mask_has_the_images_own_size(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 255, (*size, 3), np.uint8)
    mask = tiny_segmenter().segment(image)
    assert mask.shape == size
    assert mask.dtype == np.uint8
    assert mask.max() < 3


def test_files_arrays_and_pillow_images_give_one_mask(tmp_path: Path) -> None:
    image = striped_image(0)
    Image.fromarray(image).save(tmp_path / "a.png")
    segmenter = tiny_segmenter()
    expected = segmenter.segment(image)
    np.testing.assert_array_equal(segmenter.segment(tmp_path / "a.png"), expected)
    np.testing.assert_array_equal(segmenter.segment(str(tmp_path / "a.png")), expected)
    np.testing.assert_array_equal(segmenter.segment(Image.fromarray(image)), expected)


@pytest.mark.filterwarnings("error")
def test_read_only_arrays_are_segmented_without_warnings() -> None:
    image = striped_image(0)
    image.setflags(write=False)
    assert tiny_segmenter().segment(image).shape == image.shape[:2]


def test_mask_is_upright_by_exif(tmp_path: Path) -> None:
    upright = striped_image(0)
    turned = Image.fromarray(upright).transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # 'turn by 90 degrees clockwise to see it upright'
    turned.save(tmp_path / "turned.png", exif=exif)
    segmenter = tiny_segmenter()
    np.testing.assert_array_equal(
        segmenter.segment(tmp_path / "turned.png"), segmenter.segment(upright)
    )


@pytest.mark.usefixtures("_tiny_from_hub")
@pytest.mark.parametrize("head", [False, True])
def test_saved_and_loaded_it_is_the_same(tmp_path: Path, head: bool) -> None:
    segmenter = tiny_segmenter(head=head)
    segmenter.save(tmp_path / "run")
    loaded = Segmenter.load(tmp_path / "run")
    image = striped_image(3)
    torch.testing.assert_close(loaded.grid_scores(image), segmenter.grid_scores(image))
    assert loaded.classes == segmenter.classes
    names = sorted(path.name for path in (tmp_path / "run").iterdir())
    assert names == ["segmenter.json", "segmenter.safetensors"]


@pytest.mark.usefixtures("_tiny_from_hub")
def test_saving_does_not_overwrite_silently(tmp_path: Path) -> None:
    segmenter = tiny_segmenter()
    segmenter.save(tmp_path)
    with pytest.raises(UserError, match="already contains a model"):
        segmenter.save(tmp_path)
    segmenter.save(tmp_path, overwrite=True)


@pytest.mark.usefixtures("_tiny_from_hub")
def test_damaged_models_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no segmenter\.json"):
        Segmenter.load(tmp_path)
    tiny_segmenter().save(tmp_path)
    description = tmp_path / "segmenter.json"
    text = json.dumps(edited(description.read_text()))
    for damaged, message in [
        ("{", "cannot be read"),
        (text.replace('"class 1"', r'"\ud800"'), r"at `\$\.classes\[1\]\.name`"),
        (text.replace('"resolution": 64', '"resolution": NaN'), r"at `\$\.resolution`"),
        (text.replace('"resolution": 64', '"resolution": 0'), r">= 1 - at `\$\.resolution`"),
        (text.replace('"dropout": 0.1', '"dropout": 1e999'), "< 1.0 - at"),
        (text.replace('"features": 4', '"features": 40000'), "do not fit together"),
        (text.replace('"format": 1', '"format": 9'), "format 9"),
        (text.replace('"components": 4', '"components": 2'), "do not fit together"),
        (text.replace("0123456789abcdef", "fedcba9876543210"), "fingerprint"),
    ]:
        description.write_text(damaged)
        with pytest.raises(UserError, match=message):
            Segmenter.load(tmp_path)
    description.write_text(text)
    (tmp_path / "segmenter.safetensors").write_bytes(b"not tensors")
    with pytest.raises(UserError, match="safetensors"):
        Segmenter.load(tmp_path)


def test_facts_are_written_as_plain_values(tmp_path: Path) -> None:
    segmenter = tiny_segmenter()
    segmenter.settings.training.update(loss=np.float64("nan"), steps=np.int64(3))
    segmenter.save(tmp_path)
    assert read_description(tmp_path).training == {"loss": None, "steps": 3}
    segmenter.settings.training["data"] = "a\udcff"
    with pytest.raises(UserError, match=r"segmenter\.json: a name is not valid Unicode"):
        segmenter.save(tmp_path, overwrite=True)
    assert read_description(tmp_path).training["steps"] == 3


def test_description_is_plain_json(tmp_path: Path) -> None:
    tiny_segmenter().save(tmp_path)
    description = json.loads((tmp_path / "segmenter.json").read_text())
    assert description["backbone"] == {
        "name": "tiny",
        "fingerprint": "0123456789abcdef",
        "licence": "none",
    }
    assert [each["index"] for each in description["classes"]] == [0, 1, 2]


@pytest.mark.usefixtures("_tiny_from_hub")
def test_runs_of_older_versions_read_images_as_then(tmp_path: Path) -> None:
    segmenter = tiny_segmenter()
    segmenter.save(tmp_path)
    path = tmp_path / "segmenter.json"
    description = edited(path.read_text())
    assert Segmenter.load(tmp_path).settings.reading == segmenter.settings.reading
    del description["reading"], description["raster"]
    path.write_text(json.dumps(description))
    assert Segmenter.load(tmp_path).settings.reading.older
    kept = {"bands": [4, 3, 2], "ranges": [[0, 90], [1, 80], [2, 70]], "projection": None}
    path.write_text(json.dumps(description | {"raster": kept}))
    older = Segmenter.load(tmp_path)
    assert older.settings.reading.older
    assert older.settings.reading.bands == (4, 3, 2)
    assert older.settings.reading.ranges_for(3) == ((0.0, 90.0), (1.0, 80.0), (2.0, 70.0))
    # It stays so when the run is written again.
    older.save(tmp_path, overwrite=True)
    assert Segmenter.load(tmp_path).settings.reading == older.settings.reading
    path.write_text(json.dumps(description | {"raster": {"bands": []}}))
    with pytest.raises(UserError, match="refers to 'ranges', which the model lacks"):
        Segmenter.load(tmp_path)


def test_it_is_a_module_that_scores_batches() -> None:
    segmenter = tiny_segmenter()
    scores = segmenter(torch.rand(2, 3, 32, 48))
    assert scores.shape == (2, 3, 4, 6)
    assert scores.abs().max() <= 1 + 1e-5
    assert not any(p.requires_grad for p in segmenter.backbone.parameters())


def test_centres_must_fit_classes() -> None:
    with pytest.raises(ValueError, match="3 classes, but 2 cluster centres"):
        Segmenter(
            TinyBackbone(),
            FeaturePreparation((3, 3)),
            None,
            torch.randn(2, 6),
            SegmenterSettings(64, numbered_classes(3)),
        )


@pytest.mark.usefixtures("_tiny_from_hub")
@pytest.mark.parametrize("name", ["centres", "preparation.mean"])
def test_weights_that_are_not_finite_are_refused(name: str, tmp_path: Path) -> None:
    tiny_segmenter().save(tmp_path)
    tensors = load_file(tmp_path / "segmenter.safetensors")
    tensors[name].flatten()[0] = float("nan")
    save_file(tensors, tmp_path / "segmenter.safetensors")
    with pytest.raises(UserError, match=rf"segmenter\.safetensors: {name} holds 1 value"):
        Segmenter.load(tmp_path)


def test_features_that_are_not_finite_are_refused() -> None:
    segmenter = tiny_segmenter()
    segmenter.backbone.register_forward_hook(lambda _module, _inputs, maps: maps * float("nan"))
    with pytest.raises(UserError, match=f"backbone {segmenter.backbone.name} gives features that"):
        segmenter.segment(np.zeros((32, 32, 3), np.uint8))


def test_arrays_and_pillow_images_are_read_as_files_are(tmp_path: Path) -> None:
    model = tiny_segmenter()
    reading = ImageReading.chosen(None, "51241,52261")
    model.settings = replace(model.settings, reading=reading)
    grey = np.tile(np.arange(64, dtype=np.uint16) * 4, (64, 1))
    thermal = grey * 4 + 51241
    Image.fromarray(thermal).save(tmp_path / "thermal.png")
    expected = model.segment(tmp_path / "thermal.png")
    np.testing.assert_array_equal(model.segment(thermal), expected)
    np.testing.assert_array_equal(model.segment(Image.fromarray(thermal)), expected)
    eight_bits = model.segment(np.dstack([grey.astype(np.uint8)] * 3))
    assert (eight_bits == expected).mean() > 0.95


@pytest.mark.usefixtures("_tiny_from_hub")
def test_a_flipped_bit_is_found(tmp_path: Path) -> None:
    tiny_segmenter().save(tmp_path)
    path = tmp_path / "segmenter.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1  # in the last number
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"segmenter\.safetensors: damaged \(its checksum"):
        Segmenter.load(tmp_path)


@pytest.mark.usefixtures("_tiny_from_hub")
def test_weights_without_a_checksum_load(tmp_path: Path) -> None:
    model = tiny_segmenter()
    model.save(tmp_path)
    path = tmp_path / "segmenter.safetensors"
    save_file(load_file(path), path)  # as versions before checksums wrote it
    image = striped_image(0)
    np.testing.assert_array_equal(Segmenter.load(tmp_path).segment(image), model.segment(image))

"""The same images, settings and seed give the same results, byte for byte."""

import json
import platform
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.helpers import TinyBackbone, striped_image, write_striped_folder

import segdistill
from segdistill.backbones import BackboneEntry, registry
from segdistill.config.settings import CacheSettings, PrecisionName
from segdistill.decoding.decode import read_image
from segdistill.images.finding import find_images
from segdistill.inference.options import MaskOptions
from segdistill.inference.stored_features import StoredFeatures
from segdistill.layout import SETTINGS_FILE
from segdistill.model.segmenter import Segmenter
from segdistill.version import __version__

# Scores are cosines; float32 keeps about seven digits of them.
SCORES_DIFFER_BY_AT_MOST = 1e-5


@pytest.fixture(autouse=True)
def _tiny_backbone(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = BackboneEntry("tiny", "embedded", "for tests", lambda _source: TinyBackbone())
    monkeypatch.setitem(registry._ENTRIES, "tiny", entry)


def fit(photos: Path, out: Path, *, backbone: str = "tiny", **changes: Any) -> Segmenter:
    return segdistill.fit(
        photos,
        out=out,
        backbone=backbone,
        resolution=64,
        classes=4,
        training=segdistill.TrainingSettings(steps=20, batch_size=4),
        **changes,
    )


def masks(run: Path, photos: Path, out: Path) -> dict[str, bytes]:
    segdistill.segment(run, photos, out=out)
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize(
    "backbone", ["tiny", pytest.param("efficientnet-lite0", marks=pytest.mark.slow)]
)
def test_same_seed_same_weights_and_masks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backbone: str
) -> None:
    photos = write_striped_folder(tmp_path / "photos")
    results = []
    for name in ("first", "second"):
        # Each computes its own features.
        monkeypatch.setenv("SEGDISTILL_CACHE", str(tmp_path / f"store {name}"))
        run = tmp_path / name
        fit(photos, run, backbone=backbone, seed=3)
        weights = (run / "segmenter.safetensors").read_bytes()
        results.append((weights, masks(run, photos, tmp_path / f"masks {name}")))
    assert results[0][0] == results[1][0]
    assert results[0][1] == results[1][1]
    assert sum(name.endswith(".png") for name in results[0][1]) == 6
    fit(photos, tmp_path / "other", backbone=backbone, seed=4)
    assert (tmp_path / "other" / "segmenter.safetensors").read_bytes() != results[0][0]


def test_same_run_same_masks_again(tmp_path: Path) -> None:
    photos = write_striped_folder(tmp_path / "photos")
    fit(photos, tmp_path / "run")
    assert masks(tmp_path / "run", photos, tmp_path / "a") == masks(
        tmp_path / "run", photos, tmp_path / "b"
    )


def test_one_image_alone_and_among_others(tmp_path: Path) -> None:
    """Batches change no more than the last digits; see docs/performance.md."""
    photos = write_striped_folder(tmp_path / "photos", 6)
    segmenter = fit(photos, tmp_path / "run", backbone="efficientnet-lite0", precision="32-true")
    images = [
        segmenter.viewed(read_image(file.path), resolution=32) for file in find_images(photos)
    ]
    together, _ = segmenter.scores_and_distances(images, mirror=False)
    for index, image in enumerate(images):
        alone, _ = segmenter.scores_and_distances([image], mirror=False)
        torch.testing.assert_close(
            together[index : index + 1], alone, rtol=0, atol=SCORES_DIFFER_BY_AT_MOST
        )


def test_masks_of_one_image_and_of_its_folder_differ_only_at_ties(tmp_path: Path) -> None:
    photos = write_striped_folder(tmp_path / "photos", 5)
    fit(photos, tmp_path / "run", backbone="efficientnet-lite0", precision="32-true")
    Image.fromarray(striped_image(9)).save(photos / "one.png")
    segdistill.segment(tmp_path / "run", photos, out=tmp_path / "all")
    segdistill.segment(tmp_path / "run", photos / "one.png", out=tmp_path / "alone")
    one, other = (np.array(Image.open(tmp_path / name / "one.png")) for name in ("all", "alone"))
    assert np.mean(one != other) <= 0.001


def test_a_run_records_what_it_was_made_with(tmp_path: Path) -> None:
    fit(write_striped_folder(tmp_path / "photos"), tmp_path / "run", device="cpu")
    recorded = json.loads((tmp_path / "run" / "facts.json").read_text())["environment"]
    assert recorded["segdistill"] == __version__
    assert recorded["torch"] == torch.__version__
    assert recorded["numpy"] == np.__version__
    assert recorded["python"] == platform.python_version()
    assert recorded["platform"] == platform.platform()
    assert recorded["device"] == "cpu"
    assert recorded["precision"] in {"32-true", "bf16-mixed"}
    assert recorded["threads"] == torch.get_num_threads()
    assert recorded["processes"] == 1


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_masks_need_no_backbone_where_the_fit_stored_features(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: PrecisionName
) -> None:
    photos, store = write_striped_folder(tmp_path / "photos"), tmp_path / "own store"
    run, networks = tmp_path / "run", list[TinyBackbone]()

    def made(_source: object) -> TinyBackbone:
        networks.append(TinyBackbone())
        return networks[-1]

    entry = BackboneEntry("tiny", "embedded", "for tests", made)
    monkeypatch.setitem(registry._ENTRIES, "tiny", entry)
    fit(photos, run, cache=CacheSettings(store), precision=precision)

    def segmented(name: str, **options: Any) -> tuple[dict[str, bytes], int]:
        networks.clear()
        out = tmp_path / name
        segdistill.segment(run, photos, out, precision=precision, **options)
        files = {path.name: path.read_bytes() for path in sorted(out.rglob("*.*"))}
        return files, sum(network.passes for network in networks)

    from_store, passes = segmented("from store")
    assert passes == 0
    # Options under which the backbone sees something else.
    assert segmented("mirrored", mirror=True)[1] == 12
    assert segmented("finer", resolution=80)[1] == 6
    assert segmented("the same resolution", resolution=64) == (from_store, 0)
    for path in store.rglob("*.npy"):
        path.write_bytes(path.read_bytes()[:-40] + bytes(40))
    assert segmented("damaged") == (from_store, 6)
    for path in store.rglob("*.npy"):
        path.unlink()
    assert segmented("computed") == (from_store, 6)


def test_stored_features_of_long_images_are_not_used(tmp_path: Path) -> None:
    """They were computed from whole images, but masks of long images are computed in tiles."""
    photos = write_striped_folder(tmp_path / "photos")
    Image.fromarray(striped_image(7, 64, 400)).save(photos / "long.png")
    segmenter = fit(photos, tmp_path / "run", cache=CacheSettings(tmp_path / "store"))
    stored = StoredFeatures(segmenter, MaskOptions(), tmp_path / "store")
    reading = segmenter.settings.reading
    found = {
        file.path.name: stored.read(file, reading)[1] is not None for file in find_images(photos)
    }
    assert not found.pop("long.png")
    assert len(found) == 6
    assert all(found.values())


def test_a_backbone_that_was_changed_in_memory_is_used(tmp_path: Path) -> None:
    photos = write_striped_folder(tmp_path / "photos")
    fit(photos, tmp_path / "run", backbone="efficientnet-lite0")
    segmenter = Segmenter.load(tmp_path / "run")
    for parameter in segmenter.backbone.parameters():
        parameter.data.mul_(1 + 0.5 * torch.rand_like(parameter))
    segdistill.segment(segmenter, photos, tmp_path / "masks")
    with Image.open(tmp_path / "masks" / "picture_0.png") as mask:
        expected = segmenter.segment(photos / "picture_0.png")
        np.testing.assert_array_equal(np.array(mask), expected)


def test_masks_do_not_need_a_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos = write_striped_folder(tmp_path / "photos")
    fit(photos, tmp_path / "run")

    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    for name in ("SEGDISTILL_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert segdistill.segment(tmp_path / "run", photos, tmp_path / "masks").written == 6


def test_a_store_that_may_not_be_entered_is_none(tmp_path: Path) -> None:
    class Closed(type(tmp_path)):  # type: ignore[misc]
        def is_dir(self) -> bool:
            raise PermissionError(13, "Permission denied", str(self))

    segmenter = fit(write_striped_folder(tmp_path / "photos"), tmp_path / "run")
    file = find_images(tmp_path / "photos")[0]
    for folder in (Closed(tmp_path), tmp_path / "missing", None):
        picture, features = StoredFeatures(segmenter, MaskOptions(), folder).read(
            file, segmenter.settings.reading
        )
        assert picture.pixels.shape == (64, 96, 3)
        assert features is None


def test_a_new_image_under_an_old_name_has_its_own_mask(tmp_path: Path) -> None:
    photos = write_striped_folder(tmp_path / "photos")
    fit(photos, tmp_path / "run")
    image = photos / "picture_0.png"
    with Image.open(image) as opened:
        flipped = opened.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    flipped.save(image)
    expected = Segmenter.load(tmp_path / "run").segment(image)
    segdistill.segment(tmp_path / "run", image, tmp_path / "masks")
    with Image.open(tmp_path / "masks" / "picture_0.png") as mask:
        np.testing.assert_array_equal(np.array(mask), expected)


def test_damaged_settings_do_not_keep_a_run_from_segmenting(tmp_path: Path) -> None:
    photos = write_striped_folder(tmp_path / "photos")
    fit(photos, tmp_path / "run")
    (tmp_path / "run" / SETTINGS_FILE).write_text("{")
    assert segdistill.segment(tmp_path / "run", photos, tmp_path / "masks").written == 6

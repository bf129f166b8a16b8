"""What `fit` checks, and in which order."""

import json
import logging
import shutil
from pathlib import Path
from typing import NoReturn

import pytest
from tests.helpers import TinyBackbone, write_striped_folder

import segdistill
from segdistill.api import fitting
from segdistill.backbones import Backbone, BackboneEntry, registry
from segdistill.features.store import default_store_folder


def test_missing_weights_are_reported_before_images_are_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_weights(_source: str) -> Backbone:
        raise segdistill.UserError("--backbone lost: no weights")

    def check_images(*_arguments: object, **_options: object) -> NoReturn:
        pytest.fail("images were decoded first")

    entry = BackboneEntry("lost", "hub", "for tests", without_weights)
    monkeypatch.setitem(registry._ENTRIES, "lost", entry)
    monkeypatch.setattr(fitting, "check_images", check_images)
    photos = write_striped_folder(tmp_path / "photos")
    with pytest.raises(segdistill.UserError, match="no weights"):
        segdistill.fit(photos, backbone="lost")


@pytest.fixture
def _tiny_backbone(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = BackboneEntry("tiny", "embedded", "for tests", lambda _source: TinyBackbone())
    monkeypatch.setitem(registry._ENTRIES, "tiny", entry)


@pytest.mark.usefixtures("_tiny_backbone")
def test_damaged_features_are_counted_once_and_change_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    photos = write_striped_folder(tmp_path / "photos")

    def fit(name: str) -> tuple[Path, list[str]]:
        caplog.clear()
        with caplog.at_level(logging.WARNING, "segdistill"):
            segdistill.fit(
                photos,
                out=tmp_path / name,
                backbone="tiny",
                classes=3,
                training=segdistill.TrainingSettings(steps=5, batch_size=4),
            )
        return tmp_path / name, [
            record.getMessage() for record in caplog.records if "damaged" in record.getMessage()
        ]

    first, _ = fit("first")
    for path in sorted(default_store_folder().glob("tiny-*/*/*.npy"))[:3]:
        content = bytearray(path.read_bytes())
        content[200:] = bytes(len(content) - 200)
        path.write_bytes(content)
    second, messages = fit("second")
    assert messages == ["3 damaged entries of the feature store were computed again"]
    assert json.loads((second / "facts.json").read_text())["damaged_maps"] == 3
    weights = [(run / "segmenter.safetensors").read_bytes() for run in (first, second)]
    assert weights[0] == weights[1]
    assert fit("third")[1] == []


@pytest.mark.usefixtures("_tiny_backbone")
def test_copies_of_one_image_do_not_show_how_many_classes_there_are(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    photos = write_striped_folder(tmp_path / "photos")
    copies = tmp_path / "copies"
    copies.mkdir()
    for number in range(3):
        shutil.copy(photos / "picture_0.png", copies / f"{number}.png")

    def warnings(folder: Path, classes: int | None = None) -> list[str]:
        caplog.clear()
        with caplog.at_level(logging.WARNING, "segdistill"):
            segdistill.fit(folder, backbone="tiny", method="kmeans", classes=classes)
        messages = (record.getMessage() for record in caplog.records)
        return [each for each in messages if "copies" in each]

    (message,) = warnings(copies)
    assert message.startswith("all 3 files are copies of one image, so the estimated number of")
    assert warnings(copies, classes=3) == []
    shutil.copy(photos / "picture_1.png", copies)
    assert warnings(copies) == []
    for number in range(1, 3):
        (copies / f"{number}.png").unlink()
    (copies / "picture_1.png").unlink()
    assert warnings(copies) == []  # a single image

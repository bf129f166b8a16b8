"""``images.csv``: unusual images and the share of each class."""

import csv
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests.helpers import TinyBackbone, striped_image

import segdistill
from segdistill.backbones import registry
from segdistill.backbones.registry import BackboneEntry
from segdistill.images.lighting import LIGHTINGS
from segdistill.inference.mask_folder import ImageRow, image_table, read_image_rows
from segdistill.model.description import numbered_classes
from segdistill.model.prototypes import CodeMaps
from segdistill.model.segmenter import Segmenter


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(8):
        Image.fromarray(striped_image(number)).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def fitted(photos: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Segmenter:
    entry = BackboneEntry("tiny", "embedded", "for tests", lambda _source: TinyBackbone())
    monkeypatch.setitem(registry._ENTRIES, "tiny", entry)
    monkeypatch.setenv("SEGDISTILL_CACHE", str(tmp_path / "cache"))
    return segdistill.fit(photos, classes=3, backbone="tiny", method="kmeans", device="cpu")


def rows_of(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / "images.csv").open() as file:
        return {row["image"]: row for row in csv.DictReader(file)}


def test_images_unlike_the_training_images_are_flagged(
    fitted: Segmenter, photos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 96, 3)).astype(np.uint8)
    Image.fromarray(noise).save(photos / "noise.png")
    with caplog.at_level(logging.WARNING, logger="segdistill"):
        segdistill.segment(fitted, photos, tmp_path / "masks")
    rows = rows_of(tmp_path / "masks")
    assert len(rows) == 9
    assert [name for name, row in rows.items() if row["unusual"] == "yes"] == ["noise.png"]
    assert "1 of 9 images differ from most training images" in caplog.text
    assert "noise.png" in caplog.text
    for name, row in rows.items():
        mask = np.array(Image.open(tmp_path / "masks" / name))
        shares = [float(row[f"class {index}"]) for index in range(3)]
        np.testing.assert_allclose(
            shares, np.bincount(mask.ravel(), minlength=3) / mask.size, atol=1e-4
        )


def test_copies_of_one_image_do_not_show_what_is_unusual(
    photos: Path, fitted: Segmenter, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for path in photos.iterdir():
        Image.fromarray(striped_image(0)).save(path)
    run = segdistill.fit(
        photos, classes=3, backbone="tiny", method="kmeans", device="cpu", out=tmp_path / "run"
    )
    assert run.unusual_above is None
    caplog.clear()
    segdistill.segment(run, photos, tmp_path / "masks")
    assert {row["unusual"] for row in rows_of(tmp_path / "masks").values()} == {""}
    assert not caplog.text


def test_resuming_keeps_the_rows_of_existing_masks(
    fitted: Segmenter, photos: Path, tmp_path: Path
) -> None:
    masks = tmp_path / "masks"
    segdistill.segment(fitted, photos, masks)
    before = rows_of(masks)
    (masks / "3.png").unlink()
    segdistill.segment(fitted, photos, masks, resume=True)
    assert rows_of(masks) == before
    # After a kill there is no table yet: the shares come from the masks.
    (masks / "images.csv").unlink()
    (masks / "3.png").unlink()
    segdistill.segment(fitted, photos, masks, resume=True)
    rows = rows_of(masks)
    assert rows["3.png"] == before["3.png"]
    assert rows["0.png"] == before["0.png"] | {"unusual": "", "distance": ""}


def test_the_distance_is_that_to_the_nearest_prototype(fitted: Segmenter) -> None:
    image = fitted.viewed(striped_image(1))
    _, (distance,) = fitted.scores_and_distances([image])
    codes = torch.nn.functional.normalize(fitted.encode_viewed(image)[0].flatten(1).mT, dim=1)
    prototypes = fitted.prototypes
    assert prototypes is not None
    nearest = (codes @ torch.nn.functional.normalize(prototypes.vectors, dim=1).mT).amax(dim=1)
    assert distance == pytest.approx(float(1 - nearest.mean()), abs=1e-5)


def test_code_maps_hold_the_prototypes_of_training_images(fitted: Segmenter) -> None:
    maps, prototypes = fitted.code_maps, fitted.prototypes
    assert maps is not None
    assert prototypes is not None
    assert len(maps.sizes) == 8
    assert len(maps.relit_from) == 4 * len(LIGHTINGS)
    class_of = np.zeros(len(prototypes.shares), np.int64)
    assert [each.shape for each in maps.classes(class_of)] == [
        tuple(s) for s in maps.sizes.tolist()
    ]
    assert 0 <= float(maps.distances.max()) <= fitted.unusual_above + 1e-6  # type: ignore[operator]
    with pytest.raises(ValueError, match="code maps of"):
        CodeMaps(maps.sizes, maps.prototypes[1:], maps.relit_from, maps.relit, maps.distances)


def test_tables_of_other_classes_or_damaged_ones_are_not_kept() -> None:
    classes = numbered_classes(2)
    text = image_table([ImageRow("a.png", (1, 1))], classes, None)
    assert text.splitlines()[1] == "a.png,,,0.5,0.5"
    earlier = read_image_rows("image,unusual,distance,class 0\nold.png,no,0.1,1\n")
    assert "old.png" not in image_table([], classes, None, earlier)
    assert read_image_rows("") == {}

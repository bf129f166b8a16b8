"""Segmenting files: names, trees, palettes, refusals, resuming."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.helpers import striped_image, write_striped_folder
from tests.model.test_segmenter import tiny_segmenter

from segdistill import segment
from segdistill.decoding.decode import UnreadableImageError
from segdistill.errors import UserError
from segdistill.images.finding import output_names
from segdistill.images.folder import ImageFile, find_images
from segdistill.inference.options import MaskOptions
from segdistill.model.class_edits import merged
from segdistill.model.segmenter import Segmenter
from segdistill.refinement.upsampling import Upsampling


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_striped_folder(tmp_path / "photos", 3)


@pytest.fixture
def segmenter() -> Segmenter:
    return tiny_segmenter()


def test_masks_mirror_the_tree_and_hold_indices(
    tmp_path: Path, photos: Path, segmenter: Segmenter
) -> None:
    out = tmp_path / "masks"
    done = segment(segmenter, photos, out)
    assert done.written == 3
    found = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.png"))
    assert found == ["more/picture_2.png", "picture_0.png", "picture_1.png"]
    with Image.open(out / "picture_0.png") as mask:
        assert mask.mode == "P"
        palette = mask.getpalette()
        assert palette is not None
        assert palette[:3] == list(segmenter.classes[0].colour)
        expected = segmenter.segment(photos / "picture_0.png")
        np.testing.assert_array_equal(np.array(mask), expected)
    classes = json.loads((out / "classes.json").read_text())
    assert sum(each["share"] for each in classes) == pytest.approx(1, abs=1e-5)
    assert sum(each["pixels"] for each in classes) == 3 * 64 * 96


def test_overlay_and_scores(tmp_path: Path, photos: Path, segmenter: Segmenter) -> None:
    options = MaskOptions(overlay=True, scores=True, mirror=True)
    segment(segmenter, photos, tmp_path / "masks", options=options)
    with Image.open(tmp_path / "masks/picture_0.overlay.jpg") as overlay:
        assert overlay.size == (96, 64)
    scores = np.load(tmp_path / "masks/picture_0.scores.npy")
    assert scores.shape == (64, 96, 3)
    with Image.open(tmp_path / "masks/picture_0.png") as mask:
        agree = np.array(mask) == scores.argmax(axis=2)
    assert agree.mean() > 0.99  # half precision ties a few


def test_upsampling_is_a_choice_and_large_images_are_not_held(
    tmp_path: Path, photos: Path, segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def written(name: str, upsampling: Upsampling) -> list[bytes]:
        options = MaskOptions(scores=True, upsampling=upsampling)
        segment(segmenter, photos, tmp_path / name, options=options)
        return [path.read_bytes() for path in sorted((tmp_path / name).rglob("*.*"))]

    guided = written("guided", "guided")
    assert guided != written("bilinear", "bilinear")
    monkeypatch.setattr("segdistill.inference.image_masks.MAX_BYTES_HELD", 0)
    assert written("decoded twice", "guided") == guided


@pytest.mark.parametrize(
    ("images", "outputs"),
    [
        (["a/x.jpg", "a/x.tif", "b/x.jpg"], ["a/x.jpg.png", "a/x.tif.png", "b/x.png"]),
        (["x.jpg", "x.tif", "x.jpg.png"], ["x.jpg.png", "x.tif.png", "x.jpg.png.png"]),
        (
            ["x.jpg", "x.tif", "x.jpg.png", "x.jpg.png.png"],
            ["x.jpg.png", "x.tif.png", "x.jpg.png.png", "x.jpg.png.png.png"],
        ),
    ],
)
def test_names_do_not_collide(images: list[str], outputs: list[str]) -> None:
    for step in (1, -1):
        files = [ImageFile(Path(name), Path(name)) for name in images[::step]]
        assert [name.as_posix() for name in output_names(files)] == outputs[::step]


def test_masks_are_not_replaced_unasked(tmp_path: Path, photos: Path, segmenter: Segmenter) -> None:
    out = tmp_path / "masks"
    segment(segmenter, photos / "picture_0.png", out)
    with pytest.raises(UserError, match="1 of 3 masks already exist"):
        segment(segmenter, photos, out)
    with pytest.raises(UserError, match="give only one"):
        segment(segmenter, photos, out, overwrite=True, resume=True)
    assert segment(segmenter, photos, out, overwrite=True).written == 3


def test_resuming_writes_only_what_is_missing(
    tmp_path: Path, photos: Path, segmenter: Segmenter
) -> None:
    out = tmp_path / "masks"
    segment(segmenter, photos / "picture_0.png", out)
    before = (out / "picture_0.png").stat().st_mtime_ns
    done = segment(segmenter, photos, out, resume=True)
    assert (done.kept, done.written) == (1, 2)
    assert (out / "picture_0.png").stat().st_mtime_ns == before
    classes = json.loads((out / "classes.json").read_text())
    assert sum(each["pixels"] for each in classes) == 3 * 64 * 96


def test_resuming_tells_of_images_that_changed(
    tmp_path: Path, photos: Path, segmenter: Segmenter, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "masks"
    segment(segmenter, photos, out)
    segment(segmenter, photos, out, resume=True)
    assert not caplog.text
    shutil.copyfile(photos / "picture_0.png", photos / "picture_1.png")
    later = (out / "picture_1.png").stat().st_mtime_ns + 10**9
    os.utime(photos / "picture_1.png", ns=(later, later))
    done = segment(segmenter, photos, out, resume=True)
    assert (done.kept, done.written) == (3, 0)
    assert "1 of 3 existing masks are older than their images, such as that of " in caplog.text
    assert "picture_1.png; if the images have changed, use --overwrite instead" in caplog.text


def test_masks_of_other_classes_are_not_added_to(
    tmp_path: Path, photos: Path, segmenter: Segmenter
) -> None:
    out = tmp_path / "masks"
    one, other = (
        segmenter.with_classes(merged(segmenter.classes, pair), segmenter.centres)
        for pair in ([0, 1], [1, 2])
    )
    segment(one, photos, out)
    with pytest.raises(UserError, match="classes were merged or split after existing masks"):
        segment(other, photos, out, resume=True)
    assert segment(other, photos, out, overwrite=True).written == 3


def test_masks_of_another_clustering_are_not_added_to(
    tmp_path: Path, photos: Path, segmenter: Segmenter
) -> None:
    out = tmp_path / "masks"
    segment(segmenter, photos, out)
    renamed = [replace(each, name=f"thing {each.index}") for each in segmenter.classes]
    same = segmenter.with_classes(renamed, segmenter.centres)
    assert segment(same, photos, out, resume=True).kept == 3
    # As many classes as before, but other ones.
    anew = segmenter.with_classes(segmenter.classes, segmenter.centres.flip(0))
    with pytest.raises(UserError, match="the run got other classes after existing masks"):
        segment(anew, photos, out, resume=True)
    rows = json.loads((out / "classes.json").read_text())
    for row in rows:
        del row["centres"]  # as by earlier versions, which cannot be told apart
    (out / "classes.json").write_text(json.dumps(rows))
    assert segment(anew, photos, out, resume=True).kept == 3
    (out / "classes.json").write_text(json.dumps(rows)[:-10])
    with pytest.raises(UserError, match=r"classes\.json: cannot be read .*add --overwrite"):
        segment(segmenter, photos, out, resume=True)


def test_an_image_is_never_replaced_by_its_mask(photos: Path) -> None:
    with pytest.raises(UserError, match="would be mixed with the images"):
        segment(tiny_segmenter(), photos, photos, overwrite=True)


def test_damaged_images_are_skipped_unless_strict(
    tmp_path: Path, photos: Path, segmenter: Segmenter
) -> None:
    (photos / "bad.jpg").write_text("a letter")
    done = segment(segmenter, photos, tmp_path / "masks")
    assert done.written == 3
    assert "bad.jpg" in done.skipped[0].reason
    with pytest.raises(UnreadableImageError):
        segment(segmenter, photos, tmp_path / "again", strict=True)


@pytest.mark.parametrize("pixels", [1, 10**6])
def test_images_of_many_sizes_give_their_own_masks(
    tmp_path: Path, photos: Path, segmenter: Segmenter, pixels: int
) -> None:
    for seed, size in enumerate([(64, 96), (96, 64), (96, 64), (301, 17), (64, 96)]):
        Image.fromarray(striped_image(seed, *size)).save(photos / f"size_{seed}.png")
    (photos / "size_2b.jpg").write_text("a letter")
    segmenter.budget.pixels = pixels
    files, out = find_images(photos), tmp_path / "masks"
    done = segment(segmenter, photos, out)
    assert (done.written, len(done.skipped)) == (8, 1)
    counted = np.zeros(3, np.int64)
    for file, name in zip(files, output_names(files), strict=True):
        if file.name.suffix == ".png":
            mask = np.array(Image.open(out / name))
            np.testing.assert_array_equal(mask, segmenter.segment(file.path))
            counted += np.bincount(mask.ravel(), minlength=3)
    classes = json.loads((out / "classes.json").read_text())
    assert [each["pixels"] for each in classes] == counted.tolist()


@pytest.mark.parametrize("crf", [False, True])
def test_a_mask_that_cannot_be_written_stops_it_all(
    tmp_path: Path, photos: Path, segmenter: Segmenter, crf: bool
) -> None:
    out = tmp_path / "masks"
    out.mkdir()
    (out / "more").write_text("in the way")
    with pytest.raises(UserError, match="more"):
        segment(segmenter, photos, out, options=MaskOptions(crf=crf))

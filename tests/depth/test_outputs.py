"""Depth replaces nothing of the user's."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.depth.conftest import Estimate, content
from tests.depth.networks import picture

from segdistill.depth.estimator import DepthEstimator
from segdistill.depth.maps import write_depth
from segdistill.depth.outputs import DepthOptions
from segdistill.errors import UserError


@pytest.mark.parametrize(
    "name", ["photos", "photos/depth", "photos/more", "link", "photos/../photos"]
)
def test_depth_never_lands_among_the_images(
    estimate: Estimate, images: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / "link").symlink_to(images)
    before = content(images)
    for options in ({}, {"overwrite": True}):
        with pytest.raises(UserError, match="is inside the image folder"):
            estimate(tmp_path / name, **options)
    assert content(images) == before


def test_previews_never_land_among_the_images(
    estimate: Estimate, images: Path, tmp_path: Path
) -> None:
    renamed = images.rename(tmp_path / "depth_preview")
    with pytest.raises(UserError, match="is inside the image folder"):
        estimate(tmp_path / "depth", source=renamed, preview=True)


def test_depth_never_replaces_what_lies_there(
    estimate: Estimate, images: Path, tmp_path: Path
) -> None:
    # Depth of a sensor, and a photo of the same name.
    for name, other in (("given", np.zeros((4, 4), np.uint16)), ("photo", picture(4, 4))):
        path = tmp_path / name / "more/c.png"
        path.parent.mkdir(parents=True)
        Image.fromarray(other).save(path)
        before = path.read_bytes()
        for options in ({}, {"overwrite": True}):
            with pytest.raises(
                UserError, match=r"c\.png: already exists and was not written by segdistill"
            ):
                estimate(tmp_path / name, **options)
        assert content(tmp_path / name) == {"more/c.png": before}


def test_the_folder_above_the_images_is_safe(
    estimate: Estimate, images: Path, tmp_path: Path
) -> None:
    shutil.copy(images / "b.png", tmp_path / "b.png")
    with pytest.raises(
        UserError, match=r"b\.png: already exists and was not written by segdistill"
    ):
        estimate(tmp_path, overwrite=True)


def test_depth_by_another_model_is_kept_unless_told(
    estimate: Estimate, estimator: DepthEstimator, tmp_path: Path
) -> None:
    folder = tmp_path / "depth"
    estimate(folder, preview=True)
    before = content(folder)
    other = replace(estimator, source="someone/else", kind="depth")
    with pytest.raises(
        UserError, match=r"contains maps by .*depth-anything \(inverse\); add --overwrite"
    ):
        estimate(folder, by=other)
    (folder / "depth.json").unlink()
    with pytest.raises(
        UserError, match=r"a\.png: already written by .*depth-anything; add --overwrite"
    ):
        estimate(folder, by=other)
    with pytest.raises(UserError, match=r"depth\.json: not found"):
        estimate(folder)
    (folder / "depth.json").write_bytes(before["depth.json"])
    assert content(folder) == before
    assert estimate(folder, by=other, overwrite=True, preview=True).written == 4
    assert json.loads((folder / "depth.json").read_text())["model"] == "someone/else"


def test_a_folder_holds_maps_of_one_kind(
    estimate: Estimate, estimator: DepthEstimator, images: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "depth"
    estimate(folder)
    metric = replace(estimator, kind="depth")
    (folder / "a.png").unlink()
    with pytest.raises(UserError, match=r"contains maps by .* \(inverse\), and maps of"):
        estimate(folder, by=metric)
    other = replace(metric, source="someone/else")
    with pytest.raises(UserError, match="different models cannot be mixed"):
        estimate(folder, source=images / "a.jpg", by=other, overwrite=True)
    # Hidden files are no maps.
    (folder / ".hidden.png").touch()
    leftover = folder / ".a-abcdefgh.part.png"
    leftover.touch()
    assert estimate(folder, by=metric, overwrite=True).written == 4
    assert not leftover.exists()


def test_a_description_by_others_is_left_alone(estimate: Estimate, tmp_path: Path) -> None:
    (tmp_path / "depth").mkdir()
    (tmp_path / "depth/depth.json").write_text('{"camera": 3}')
    with pytest.raises(UserError, match=r"depth\.json: was not written by segdistill"):
        estimate(tmp_path / "depth", overwrite=True)


def test_images_that_differ_in_their_endings_have_a_map_each(
    estimate: Estimate, images: Path, tmp_path: Path
) -> None:
    Image.fromarray(picture(20, 20)).save(images / "a.png")
    estimate(tmp_path / "depth")
    assert {"a.jpg.png", "a.png.png", "b.png"} <= set(content(tmp_path / "depth"))


def test_a_photo_in_the_place_of_a_preview_stays(
    estimate: Estimate, images: Path, tmp_path: Path
) -> None:
    (tmp_path / "depth_preview").mkdir()
    shutil.copy(images / "a.jpg", tmp_path / "depth_preview/a.jpg")
    with pytest.raises(
        UserError, match=r"a\.jpg: already exists and was not written by segdistill"
    ):
        estimate(tmp_path / "depth", preview=True, overwrite=True)


def test_an_empty_batch_is_refused() -> None:
    with pytest.raises(UserError, match="--batch 0: must be at least 1"):
        DepthOptions(batch=0)


def test_a_map_that_was_cut_off_is_not_taken_for_one(estimate: Estimate, tmp_path: Path) -> None:
    write_depth(tmp_path / "depth/a.png", np.ones((4, 4), np.uint16), "x")
    path = tmp_path / "depth/a.png"
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(
        UserError, match=r"a\.png: already exists and was not written by segdistill"
    ):
        estimate(tmp_path / "depth")

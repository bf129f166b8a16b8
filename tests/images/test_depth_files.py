import json
from pathlib import Path

import pytest

from segdistill.errors import UserError
from segdistill.images.depth import DepthSettings, read_depth
from segdistill.images.depth_files import (
    depth_folder_beside,
    find_depth_maps,
    match_depth,
    settings_beside,
)
from segdistill.images.folder import ImageFile, find_images
from segdistill.sample.dataset import write_sample


def files(folder: str, *names: str) -> list[ImageFile]:
    return [ImageFile(Path(folder, name), Path(name)) for name in names]


def matched(images: list[str], maps: list[str]) -> dict[str, str]:
    found = match_depth(files("imgs", *images), files("depth", *maps))
    return {image.name.as_posix(): each.name.as_posix() for image, each in found.items()}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("layout", "layout/depth/train"),
        ("layout/imgs", "layout/depth"),
        ("layout/imgs/train", "layout/depth/train"),
        ("layout/imgs/val", "layout/depth/val"),
        ("layout/imgs/train/*.jpg", "layout/depth/train"),
        ("layout/imgs/train/a.jpg", "layout/depth/train"),
        ("photos", "photos_depth"),
        ("photos/", "photos_depth"),
        ("photos/a.jpg", "photos_depth"),
        ("photos/**/*.jpg", "photos_depth"),
        ("photos/imgs", "photos/depth"),
        ("missing", "missing_depth"),
    ],
)
def test_where_depth_lies_by_custom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, expected: str
) -> None:
    for folder in ("layout/imgs/train", "layout/imgs/val", "photos/imgs"):
        (tmp_path / folder).mkdir(parents=True)
    for name in ("layout/imgs/train/a.jpg", "photos/a.jpg"):
        (tmp_path / name).touch()
    assert depth_folder_beside(tmp_path / source) == tmp_path / expected
    monkeypatch.chdir(tmp_path)
    assert depth_folder_beside(source) == Path(expected)


def test_where_depth_lies_seen_from_the_folder_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "layout/imgs/train").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "layout")
    assert depth_folder_beside(".") == Path("depth/train")
    monkeypatch.chdir(tmp_path / "layout/imgs")
    assert depth_folder_beside("train").resolve() == tmp_path / "layout/depth/train"
    assert depth_folder_beside(".").resolve() == tmp_path / "layout/depth"
    monkeypatch.chdir(tmp_path / "layout/imgs/train")
    assert depth_folder_beside(".").resolve() == tmp_path / "layout/depth/train"
    with pytest.raises(UserError, match="no folder next to it"):
        depth_folder_beside("/")


def test_maps_are_found_and_matched_as_labels_are(tmp_path: Path) -> None:
    for name in ("a.png", "more/b.npy", "more/c.TIF", ".hidden/d.png", "depth.json", "e.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    maps = find_depth_maps(tmp_path)
    assert [each.name.as_posix() for each in maps] == ["a.png", "more/b.npy", "more/c.TIF"]
    images = files("imgs", "a.jpg", "more/b.jpg", "c.jpg")
    found = match_depth(images, maps)
    assert found == {images[0]: maps[0], images[1]: maps[1]}


def test_a_map_may_bear_the_whole_name() -> None:
    assert matched(["a.jpg", "a.tif"], ["a.jpg.png", "a.tif.png"]) == {
        "a.jpg": "a.jpg.png",
        "a.tif": "a.tif.png",
    }
    assert matched(["v1.2.jpg"], ["v1.2.png"]) == {"v1.2.jpg": "v1.2.png"}


def test_two_maps_of_an_image_are_refused() -> None:
    with pytest.raises(UserError, match=r"a\.npy and .*a\.png: both are depth maps of a\.jpg"):
        matched(["a.jpg"], ["a.npy", "a.png"])


def test_folders_that_do_not_correspond_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"none of 1 images \(such as a\.jpg\) .* \(such as b\.png\)"
    ):
        matched(["a.jpg"], ["b.png"])
    with pytest.raises(UserError, match="no such folder of depth maps"):
        find_depth_maps(tmp_path / "missing")
    with pytest.raises(UserError, match="no depth maps found"):
        find_depth_maps(tmp_path)


def test_the_sample_sets_depth_is_found_and_read(tmp_path: Path) -> None:
    root = write_sample(tmp_path / "world", train=1, val=1, width=64, height=48)
    for split, source in (("train", root), ("val", root / "imgs/val")):
        folder = depth_folder_beside(source)
        assert folder == root / "depth" / split
        (found,) = match_depth(find_images(source), find_depth_maps(folder)).values()
        metres = read_depth(found.path, DepthSettings(normalisation="metric", scale=1 / 256))
        assert metres.shape == (48, 64)
        assert 0 < metres.min() < metres.max() <= 200
        assert settings_beside(folder) is None


def test_what_stands_beside_the_maps_says_how_to_read_them(tmp_path: Path) -> None:
    folder = tmp_path / "depth/train"
    folder.mkdir(parents=True)
    said = {"program": "segdistill", "kind": "inverse", "scale": None, "invalid": 0}
    (tmp_path / "depth/depth.json").write_text(json.dumps(said))
    assert settings_beside(folder) == DepthSettings("inverse", invalid=(0,))
    metric = said | {"kind": "depth", "scale": 1 / 256}
    (folder / "depth.json").write_text(json.dumps(metric))
    assert settings_beside(folder) == DepthSettings("depth", scale=1 / 256, invalid=(0,))


@pytest.mark.parametrize("text", ["{", "[]", '{"kind": "inverse"}'])
def test_a_file_of_another_program_says_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "depth.json").write_text(text)
    assert settings_beside(tmp_path) is None


def test_a_damaged_description_is_refused(tmp_path: Path) -> None:
    (tmp_path / "depth.json").write_text('{"program": "segdistill", "kind": "inverse"}')
    with pytest.raises(UserError, match=r"depth\.json: does not describe depth maps .*estimate"):
        settings_beside(tmp_path)

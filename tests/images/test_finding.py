"""Finding images: links, patterns, names with brackets, kinds that cannot be read."""

import logging
from pathlib import Path

import pytest
from PIL import Image
from tests.images.test_folder import names, write

from segdistill.errors import UserError
from segdistill.images.finding import check_exists, find_images, source_name
from segdistill.images.tree import split_pattern


def test_a_folder_linked_into_itself_is_searched_once(tmp_path: Path) -> None:
    root = tmp_path / "root"
    write(root / "a/one.png")
    write(root / "b/two.png")
    for link, target in {
        "a/up": root,
        "a/above": tmp_path,
        "a/self": root / "a",
        "a/b": root / "b",
        "b/a": root / "a",
    }.items():
        (root / link).symlink_to(target)
    assert names(root) == ["a/one.png", "b/two.png"]
    assert names(f"{root}/**/*.png") == ["a/one.png", "b/two.png"]


def test_folders_that_are_linked_keep_their_name(tmp_path: Path) -> None:
    write(tmp_path / "far/deep/a.png")
    write(tmp_path / "far/.hidden/b.png")
    (tmp_path / "root").mkdir()
    (tmp_path / "root/near").symlink_to(tmp_path / "far")
    (tmp_path / "root/also").symlink_to(tmp_path / "far/deep")
    # The first link by name has it; the second leads to nothing new.
    assert names(tmp_path / "root") == ["also/a.png"]
    (tmp_path / "root/also").unlink()
    assert names(tmp_path / "root") == ["near/deep/a.png"]


def test_links_that_lead_nowhere_are_found_to_be_counted(tmp_path: Path) -> None:
    write(tmp_path / "a.png")
    for name in ("b.png", "c", "d.txt", ".e.png"):
        (tmp_path / name).symlink_to(tmp_path / "none")
    (tmp_path / "f.png").symlink_to("f.png")
    assert names(tmp_path) == ["a.png", "b.png", "c", "f.png"]


def test_brackets_in_names_are_taken_as_they_are(tmp_path: Path) -> None:
    for name in ("photos[1]/a[2].png", "photos1/b.png"):
        write(tmp_path / name)
    assert names(tmp_path / "photos[1]") == ["a[2].png"]
    assert names(tmp_path / "photos[1]/a[2].png") == ["a[2].png"]
    assert names(f"{tmp_path}/photos[1]/*.png") == ["a[2].png"]
    assert names(f"{tmp_path}/photos[12]/*.png") == ["photos1/b.png"]
    assert split_pattern(f"{tmp_path}/photos[1]/*/[ab].png") == (
        tmp_path / "photos[1]",
        "*/[ab].png",
    )
    with pytest.raises(UserError, match="no such file or folder"):
        check_exists(tmp_path / "photos[1]/none.png")


def test_kinds_are_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.png", "b.avif", "deep/c.NEF"):
        write(tmp_path / name)
    with caplog.at_level(logging.WARNING, logger="segdistill"):
        assert names(tmp_path) == ["a.png", "b.avif"]
        assert "1 file in a format that cannot be read: .nef (1)" in caplog.text
        caplog.clear()
        # As where Pillow was built without AVIF.
        monkeypatch.setattr(Image, "registered_extensions", dict)
        assert names(tmp_path) == ["a.png"]
        assert "2 files in formats that cannot be read: .avif (1), .nef (1)" in caplog.text


def test_what_segdistill_wrote_is_passed_over(tmp_path: Path) -> None:
    for name in ("a.png", "masks/a.png", "masks/deep/b.png", "run/figure.png", "other/c.png"):
        write(tmp_path / name)
    (tmp_path / "masks/classes.json").write_text('[{"colour": [0, 0, 0]}]')
    (tmp_path / "run/segmenter.json").write_text('{"segdistill": "0.1.0"}')
    (tmp_path / "other/classes.json").write_text('["sky"]')
    assert names(tmp_path) == ["a.png", "other/c.png"]
    # Asked for by name, it is taken.
    assert names(tmp_path / "masks") == ["a.png", "deep/b.png"]


def test_names_are_fit_for_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(write(tmp_path / "here/photos.v2/a.b.png").parents[1])
    for source, name in {
        "photos.v2": "photos.v2",
        "photos.v2/": "photos.v2",
        "photos.v2/a.b.png": "a.b",
        "photos.v2/*.png": "photos.v2",
        "*/*.png": "here",
        ".": "here",
        "..": tmp_path.name,
        "/": "images",
    }.items():
        assert source_name(source) == name


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("none", "none: no such file or folder"),
        ("", "the path of the images is empty"),
        ("x" * 1500, "cannot be accessed"),
        (3, "3: must be a path or a pattern"),
        (None, "None: must be a path or a pattern"),
    ],
)
def test_what_is_no_source_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        find_images(source)

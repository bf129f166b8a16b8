"""Finding and checking images."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segdistill.decoding.decode import UnreadableImageError
from segdistill.errors import UserError
from segdistill.images.folder import check_images, find_all, find_images


def write(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(path, format="PNG")
    return path


def names(source: Path | str) -> list[str]:
    return [image.name.as_posix() for image in find_images(source)]


def test_nested_folders_are_searched_and_hidden_ones_passed_over(tmp_path: Path) -> None:
    for name in ("b.PNG", "a/deep/c.jpg", ".hidden/d.png", ".e.png"):
        write(tmp_path / name)
    (tmp_path / "notes.txt").write_text("x")
    assert names(tmp_path) == ["a/deep/c.jpg", "b.PNG"]


def test_stegos_layout_gives_its_training_images(tmp_path: Path) -> None:
    write(tmp_path / "imgs/train/a.png")
    write(tmp_path / "imgs/val/b.png")
    write(tmp_path / "labels/train/a.png")
    assert names(tmp_path) == ["a.png"]
    assert names(tmp_path / "imgs/val") == ["b.png"]


def test_a_file_and_a_pattern(tmp_path: Path) -> None:
    write(tmp_path / "x/a.png")
    write(tmp_path / "y/b.png")
    assert names(tmp_path / "x/a.png") == ["a.png"]
    assert names(f"{tmp_path}/*/*.png") == ["x/a.png", "y/b.png"]


def test_nothing_there_is_an_error_that_tells_the_mend(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no images found"):
        find_images(tmp_path)
    with pytest.raises(UserError, match="no such file or folder"):
        find_images(tmp_path / "none")
    with pytest.raises(UserError, match="no images match"):
        find_images(f"{tmp_path}/*.png")


def test_several_sources_give_each_image_once(tmp_path: Path) -> None:
    write(tmp_path / "a.png")
    assert len(find_all([tmp_path, tmp_path / "a.png"])) == 1
    write(tmp_path / "other/a.png")
    with pytest.raises(UserError, match=r"both would be written as a\.png"):
        find_all([tmp_path / "a.png", tmp_path / "other"])


def test_damaged_images_are_skipped_and_named(tmp_path: Path) -> None:
    good = write(tmp_path / "good.png")
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("a letter")
    (tmp_path / "cut.png").write_bytes(good.read_bytes()[:40])
    checked, skipped = check_images(find_images(tmp_path))
    assert [image.file.path for image in checked] == [good]
    assert (checked[0].height, checked[0].width) == (4, 6)
    assert {each.file.path.name for each in skipped} == {"empty.jpg", "text.jpg", "cut.png"}
    assert all(str(each.file.path) in each.reason for each in skipped)


def test_strict_stops_at_the_first(tmp_path: Path) -> None:
    write(tmp_path / "good.png")
    (tmp_path / "bad.jpg").write_text("a letter")
    with pytest.raises(UnreadableImageError, match="--strict"):
        check_images(find_images(tmp_path), strict=True)


def test_none_readable_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_text("a letter")
    with pytest.raises(UserError, match=r"^[^\n]*bad\.jpg: .*not an image"):
        check_images(find_images(tmp_path))


def test_a_png_under_a_wrong_ending_is_read(tmp_path: Path) -> None:
    write(tmp_path / "really_png.jpg")
    checked, skipped = check_images(find_images(tmp_path))
    assert len(checked) == 1
    assert not skipped

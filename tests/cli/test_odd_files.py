"""What is no image among images: named, skipped and counted, and never waited for."""

import os
import shutil
import socket
from pathlib import Path

import pytest
from PIL import Image
from tests.cli.conftest import QUICK, Run
from tests.helpers import striped_image, striped_labels

from segdistill.errors import UserError
from segdistill.images.depth_files import find_depth_maps
from segdistill.images.finding import check_output_names, find_images
from segdistill.images.tree import folders_under

KINDS = ("pipe.png", "socket.png", "loop.png", "device.png")
LONG = "n" * 251


def add_odd_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(folder / "pipe.png")
    (folder / "loop.png").symlink_to("loop.png")
    (folder / "device.png").symlink_to("/dev/zero")
    (folder / "folder.png").mkdir()
    (folder / "up").symlink_to("..")
    with monkeypatch.context() as here, socket.socket(socket.AF_UNIX) as server:
        here.chdir(folder)  # the names of sockets are short
        server.bind("socket.png")


def test_odd_files_are_named_skipped_and_counted(
    photos: Path, fitted: Path, segdistill: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_odd_files(photos, monkeypatch)
    shutil.copy(photos / "picture_0.png", photos / f"{LONG}.png")
    shutil.copy(photos / "picture_0.png", photos / os.fsdecode(b"caf\xe9.png"))
    status, out, error = segdistill("segment", fitted, photos, "--out", "masks", "--overlay")
    assert (status, "Traceback" in error) == (0, False), error
    said = out + error
    for name in KINDS:
        assert f"{name}: " in said
    for reason in ("a named pipe, not a file", "a socket, not a file", "a device, not a file"):
        assert reason in said
    assert "a broken link" in said
    assert "more than 255 bytes; shorten the image's name" in said
    assert os.path.exists(b"masks/caf\xe9.png")  # noqa: PTH110 - bytes
    assert len(list(Path("masks").rglob("*.png"))) == 7
    assert r"caf\udce9.png" in Path("masks/images.csv").read_text()
    for name in ("coco", "yolo", "label-studio", "voc", "cvat"):
        images = ("--images", photos) if name == "label-studio" else ()
        status, out, error = segdistill("export", fitted, "masks", "--format", name, *images)
        assert (status, "Traceback" in error) == (0, False), (name, error)
        assert r"caf\udce9.png: the name is not UTF-8; rename it" in out + error, name
    status, out, error = segdistill(
        *("fit", photos, "--backbone", "tiny", "--out", "again", "--classes", 3),
        *QUICK,
    )
    assert (status, "Traceback" in error) == (0, False), error
    # One is named, all are counted and recorded.
    assert "4 of 12 images skipped; first: " in error
    assert "a named pipe, not a file" in Path("again/facts.json").read_text()


@pytest.mark.parametrize("name", KINDS)
def test_odd_files_given_by_name_are_one_line(
    photos: Path, fitted: Path, segdistill: Run, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    add_odd_files(photos, monkeypatch)
    path = photos / name
    for arguments in (
        ("segment", fitted, path),
        ("fit", path, "--out", "other"),
        ("evaluate", fitted, "--images", path, "--labels", photos),
    ):
        status, out, error = segdistill(*arguments)
        assert (status, out, error.count("\n")) == (2, "", 1), error
        assert name in error


def test_a_path_that_is_empty_is_not_the_current_folder(
    photos: Path, fitted: Path, segdistill: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photos)
    for arguments, label in (
        (("segment", fitted, ""), "IMAGES"),
        (("segment", fitted, photos, ""), "IMAGES"),
        (("segment", fitted, photos, "--out", ""), "--out"),
        (("fit", ""), "IMAGES"),
        (("fit", photos, "--out="), "--out"),
        (("evaluate", fitted, "--images", photos, "--labels", ""), "--labels"),
    ):
        status, out, error = segdistill(*arguments)
        assert (status, out) == (2, ""), arguments
        assert error == f"segdistill {arguments[0]}: {label}: is empty; is a variable unset?\n"
    with pytest.raises(UserError, match="the path of the images is empty"):
        find_images("")


def test_odd_labels_and_depth_maps_are_named(photos: Path, fitted: Path, segdistill: Run) -> None:
    for folder in (Path("labels"), Path("depth")):
        folder.mkdir()
        for number in range(5):
            Image.fromarray(striped_labels(number) * 80).save(folder / f"picture_{number}.png")
        (folder / "picture_0.png").unlink()
        os.mkfifo(folder / "picture_0.png")
    status, _, error = segdistill(
        "evaluate", fitted, "--images", photos, "--labels", "labels", "--quiet"
    )
    # The others have labels.
    assert (status, "Traceback" in error) == (0, False)
    assert "picture_0.png: cannot be read as labels (a named pipe, not a file)" in error
    assert len(find_depth_maps(Path("depth"))) == 5
    arguments = ("fit", photos, "--backbone", "tiny", "--out", "guided", "--classes", 3, "--quiet")
    status, _, error = segdistill(*arguments, "--depth.folder", "depth")
    assert (status, "Traceback" in error) == (2, False)
    assert "picture_0.png: cannot be read as depth (a named pipe, not a file)" in error


def test_folders_that_cannot_be_searched_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        Image.fromarray(striped_image(0)).save(tmp_path / folder / "c.png")
    scandir = os.scandir

    def guarded(path: str) -> object:
        if Path(path).name == "b":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)  # root may read everything
    for find in (find_images, find_depth_maps):
        caplog.clear()
        assert [each.name.as_posix() for each in find(tmp_path)] == ["a/c.png"]
        assert f"{tmp_path / 'b'}: cannot be searched (Permission denied)" in caplog.text
    with pytest.raises(UserError, match="no images found"):
        find_images(tmp_path / "b")


def test_pipes_in_place_of_our_files_are_not_waited_for(tmp_path: Path) -> None:
    for name in ("classes.json", "depth.json", "segmenter.json"):
        folder = tmp_path / name.partition(".")[0]
        folder.mkdir()
        os.mkfifo(folder / name)
    assert len(list(folders_under(tmp_path))) == 4


def test_names_of_outputs_have_a_longest(tmp_path: Path) -> None:
    check_output_names(tmp_path, [Path("é" * 125 + ".png")])
    with pytest.raises(UserError, match="more than 255 bytes"):
        check_output_names(tmp_path, [Path("é" * 126 + ".png")])

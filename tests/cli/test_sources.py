"""IMAGES: patterns, unusual names, links, unsupported formats."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.conftest import QUICK, Run
from tests.helpers import write_run_stub, write_striped_folder

import segdistill
from segdistill.images.finding import find_images

FIT = ("--backbone", "tiny", "--classes", 3, "--quiet", *QUICK, "--training.steps", 2)


def images_of(run: str) -> int:
    return int(json.loads(Path(run, "facts.json").read_text())["images"])


@pytest.mark.parametrize(
    ("source", "name", "images"),
    [
        ("photos/*.png", "photos", 5),
        ("photos/**/*.png", "photos", 6),
        ("ph*/*.png", "here", 15),
        ("photos[1]", "photos[1]", 6),
        ("photos[1]/*.png", "photos[1]", 5),
        ("photos.v2", "photos.v2", 6),
        (".", "here", 18),
    ],
)
def test_outputs_are_named_after_the_folder(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    segdistill: Run,
    source: str,
    name: str,
    images: int,
) -> None:
    here = tmp_path / "here"
    for folder in ("photos", "photos[1]", "photos.v2"):
        write_striped_folder(here / folder)
    monkeypatch.chdir(here)
    status, out, error = segdistill("fit", source, *FIT, "--method", "kmeans")
    assert status == 0, error
    assert images_of(f"runs/{name}") == images
    assert out.splitlines()[0] == f"Run:    runs/{name}"
    status, out, error = segdistill("segment", f"runs/{name}", source, "--quiet")
    assert status == 0, error
    assert f"{images} written to masks/{name}\n" in out


def test_outputs_of_one_file_are_named_after_it(
    photos: Path, fitted: Path, segdistill: Run
) -> None:
    status, _, error = segdistill("segment", fitted, "photos/picture_0.png", "--quiet")
    assert status == 0, error
    assert Path("masks/picture_0/picture_0.png").is_file()
    status, _, error = segdistill(
        "segment", fitted, "photos/picture_0.png", "photos/picture_1.png", "--quiet"
    )
    assert status == 0, error
    assert Path("masks/images/picture_1.png").is_file()


def test_several_sources_from_python(photos: Path) -> None:
    several: list[str | Path] = [photos / "more", str(photos / "picture_*.png")]
    model = segdistill.fit(several, classes=3, backbone="tiny", method="kmeans")
    assert model.settings.training["images"] == 6
    files = find_images(photos)[:4]
    model = segdistill.fit(files, classes=3, backbone="tiny", method="kmeans")
    assert model.settings.training["images"] == 4
    with pytest.raises(segdistill.UserError, match="5: must be a path or a pattern"):
        segdistill.fit([photos, 5])  # type: ignore[arg-type]


def test_the_next_command_can_be_copied(photos: Path, segdistill: Run) -> None:
    photos.rename("my photos")
    status, out, error = segdistill("fit", "my photos", *FIT)
    assert status == 0, error
    assert "Next:   segdistill segment 'runs/my photos' IMAGES\n" in out
    status, out, _ = segdistill(
        *("sample", "a world", "--train", 1, "--val", 0, "--width", 32, "--height", 32, "--quiet")
    )
    assert "Next:   segdistill fit 'a world' --classes 6\n" in out


def test_links_are_followed_once_and_broken_ones_counted(
    tmp_path: Path, photos: Path, segdistill: Run
) -> None:
    write_striped_folder(tmp_path / "elsewhere", 3)
    (photos / "linked").symlink_to(tmp_path / "elsewhere")
    (photos / "again").symlink_to(photos / "more")
    (photos / "round").symlink_to(photos)
    (tmp_path / "elsewhere" / "up").symlink_to(tmp_path)
    (photos / "gone.jpg").symlink_to(tmp_path / "none.jpg")
    (photos / "disk").symlink_to(tmp_path / "not mounted")
    (photos / "notes.txt").symlink_to(tmp_path / "none.txt")
    status, _, error = segdistill("fit", photos, *FIT)
    assert status == 0, error
    assert "2 of 11 images skipped" in error
    facts = json.loads(Path("runs/photos/facts.json").read_text())
    assert facts["images"] == 9
    assert [each["reason"] for each in facts["skipped"]] == [
        f"{photos / name}: a broken link" for name in ("disk", "gone.jpg")
    ]
    status, out, error = segdistill("segment", "runs/photos", photos, "--quiet")
    assert status == 0, error
    assert f"Skipped: {photos / 'gone.jpg'}: a broken link\n" in out
    assert Path("masks/photos/linked/more/picture_2.png").is_file()
    status, _, error = segdistill("fit", photos, *FIT, "--strict", "--out", "strict")
    assert status == 2
    assert "a broken link" in error
    status, _, error = segdistill("fit", photos / "gone.jpg")
    assert status == 2
    assert "a broken link" in error


def test_unsupported_formats_are_named_once(photos: Path, segdistill: Run) -> None:
    for name in ("a.jxl", "b.JXL", "more/c.dng", ".hidden.jxl"):
        (photos / name).write_bytes(b"")
    status, _, error = segdistill("fit", photos, *FIT)
    assert status == 0
    message = "3 files in formats that cannot be read: .dng (1), .jxl (2); convert to JPEG or PNG"
    assert error.count(message) == 1
    assert images_of("runs/photos") == 6
    for image in photos.rglob("*.png"):
        image.unlink()
    for source in (photos, "photos/**/*"):
        status, _, error = segdistill("segment", "runs/photos", source)
        assert status == 2
        assert error == f"segdistill segment: {source}: only {message}\n"


def test_a_wrong_path_is_reported_before_torch_is_loaded(tmp_path: Path) -> None:
    code = (
        "import sys; from segdistill.cli.main import main\n"
        "assert main(sys.argv[1:]) == 2\n"
        "assert 'torch' not in sys.modules"
    )
    write_run_stub(tmp_path / "run")
    for arguments in (["fit", "nowhere"], ["fit", "*.png"], ["segment", "run", "nowhere"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert arguments[-1] in done.stderr

"""Files of the user's own in the folder of ``--out``: none is replaced or mixed with outputs."""

import shutil
from pathlib import Path

import pytest
from PIL import Image
from tests.cli.conftest import QUICK, Run


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    """A folder of files that have the names of what commands write."""
    folder = tmp_path / "Documents"
    (folder / "labels").mkdir(parents=True)
    Image.new("RGB", (40, 30), "red").save(folder / "picture_0.png")
    for name in ("picture_0.npy", "settings.yaml", "report.html", "labels/picture_0.txt"):
        (folder / name).write_text("mine: yes\n")
    (folder / "classes.json").write_text('["cat", "dog"]\n')
    return folder


@pytest.mark.parametrize("again", [(), ("--overwrite",), ("--resume",)])
@pytest.mark.parametrize(
    ("command", "said"),
    [
        (
            ("segment", "RUN", "photos/picture_0.png"),
            "/classes.json: damaged, or not written by segdistill; choose a new folder with --out",
        ),
        (("segment", "RUN", "photos", "--video"), "/classes.json: damaged, or not written by seg"),
        (
            ("features", "photos/picture_0.png", "--backbone", "tiny"),
            ": contains files other than maps, such as classes.json; choose a new folder with",
        ),
        (
            ("fit", "photos", "--backbone", "tiny", "--classes", 3, *QUICK),
            ": exists and is not a run; choose another folder with --out",
        ),
    ],
)
def test_a_folder_of_other_files_is_refused(
    documents: Path,
    fitted: Path,
    segdistill: Run,
    command: tuple[object, ...],
    said: str,
    again: tuple[str, ...],
) -> None:
    before = contents(documents)
    words = [fitted if word == "RUN" else word for word in command]
    status, _, error = segdistill(*words, "--out", documents, *again, "--quiet")
    assert status == 2
    assert f"{documents}{said}" in error
    assert error.count("\n") == 1
    assert contents(documents) == before


def test_folders_below_and_hidden_files_count_likewise(
    fitted: Path, photos: Path, segdistill: Run
) -> None:
    command = ("segment", fitted, photos / "picture_0.png", "--quiet", "--out")
    below = photos.parent / "mine" / "sub"
    below.mkdir(parents=True)
    (below.parent / ".DS_Store").touch()
    (below / ".hidden").touch()
    assert segdistill(*command, below.parent)[0] == 0
    # A folder that only holds folders of masks, as masks does.
    (photos.parent / "masks").mkdir()
    shutil.move(below.parent, photos.parent / "masks" / "mine")
    assert segdistill(*command, photos.parent / "masks")[0] == 0
    (photos.parent / "more" / "sub").mkdir(parents=True)
    (photos.parent / "more" / "sub" / "notes.txt").touch()
    status, _, error = segdistill(*command, photos.parent / "more")
    assert status == 2
    assert f"such as {Path('sub') / 'notes.txt'};" in error


@pytest.mark.parametrize("form", ["colours", "voc", "yolo"])
def test_an_export_replaces_only_an_export(
    documents: Path, fitted: Path, photos: Path, segdistill: Run, form: str
) -> None:
    assert segdistill("segment", fitted, photos, "--quiet")[0] == 0
    export = ("export", fitted, "masks/photos", "--format", form, "--images", photos, "--quiet")
    before = contents(documents)
    status, _, error = segdistill(*export, "--out", documents, "--overwrite")
    assert status == 2
    assert "contains files that are not from an export, such as classes.json (there is no " in error
    assert contents(documents) == before
    assert segdistill(*export, "--out", "new")[0] == 0
    assert segdistill(*export, "--out", "new", "--overwrite")[0] == 0


@pytest.mark.parametrize("more", [(), ("--copy-images",)])
def test_an_export_replaces_no_other_image(
    fitted: Path, photos: Path, segdistill: Run, more: tuple[str, ...]
) -> None:
    assert segdistill("segment", fitted, photos, "--quiet")[0] == 0
    other = photos.parent / "set" / "JPEGImages" / "picture_0.png"
    other.parent.mkdir(parents=True)
    Image.new("RGB", (40, 30), "red").save(other)
    before = other.read_bytes()
    status, _, error = segdistill(
        *("export", fitted, "masks/photos", "--format", "voc", "--images", photos, "--quiet"),
        *("--out", "set", "--overwrite", *more),
    )
    assert status == 2
    assert "picture_0.png: not the same image as" in error
    assert other.read_bytes() == before
    # What the interrupted export has written is not the user's.
    other.unlink()
    command = ("export", fitted, "masks/photos", "--format", "voc", "--images", photos, "--quiet")
    status, _, error = segdistill(*command, "--out", "set", "--overwrite")
    assert status == 0, error
    assert not list((photos.parent / "set").glob(".*"))


def test_other_files_of_a_run_survive_another_fit(
    fitted: Path, photos: Path, segdistill: Run
) -> None:
    (fitted / "notes.txt").write_text("mine")
    (fitted / "answers.json").write_text("mine")
    fit = ("fit", photos, "--backbone", "tiny", "--classes", 3, *QUICK, "--quiet")
    assert segdistill(*fit, "--overwrite")[0] == 0
    assert (fitted / "notes.txt").read_text() == "mine"
    assert (fitted / "answers.json").read_text() == "mine"

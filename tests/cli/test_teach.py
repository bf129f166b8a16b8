"""``segdistill teach`` with files of answers."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.cli.conftest import Run
from tests.helpers import striped_image, striped_labels

CLICKS = """image,x,y,class
picture_0.png,10,5,sky
picture_0.png,10,60,grass
picture_1.png,60,4,sky
more/picture_5.png,40,60,grass
picture_2.png,50,62,grass
picture_2.png,50,3,sky
"""


@pytest.fixture
def clicks(photos: Path) -> Path:
    """A table of clicks, with some on the grey stripe of each picture."""
    rows = []
    for seed in range(6):
        middle = int(np.flatnonzero((striped_labels(seed) == 1).any(axis=1)).mean())
        name = "more/picture_5.png" if seed == 5 else f"picture_{seed}.png"
        rows.append(f"{name},{30 + seed},{middle},road")
    table = photos.parent / "clicks.csv"
    table.write_text(CLICKS + "\n".join(rows) + "\n")
    return table


def test_clicks_become_a_run_like_any_other(
    fitted: Path, photos: Path, clicks: Path, segdistill: Run
) -> None:
    status, out, error = segdistill("teach", fitted, "--answers", clicks, "--untaught", "nearest")
    assert status == 0, error
    assert f"Taught:  {fitted / 'taught'}: 3 classes" in out
    assert "Answers: 12, 12 of them new" in out
    assert "estimated by cross-validation" in out
    assert (
        f"segdistill segment {fitted.relative_to(Path.cwd())}/taught IMAGES" in out
        or "taught IMAGES" in out
    )
    taught = fitted / "taught"

    status, out, _ = segdistill("classes", taught)
    assert status == 0
    assert [line.split()[1] for line in out.splitlines()[1:]] == ["sky", "grass", "road"]
    status, _, error = segdistill("segment", taught, photos, "--out", "masks")
    assert status == 0, error
    # sky, grass, road are the labels 0, 2, 1.
    for seed in range(5):
        with Image.open(f"masks/picture_{seed}.png") as file:
            mask = np.array([0, 2, 1])[np.asarray(file)]
        assert (mask == striped_labels(seed)).mean() > 0.93
    status, out, _ = segdistill("export", taught, "masks", "--format", "coco", "--images", photos)
    assert status == 0
    found = json.loads(next(Path("exports").rglob("*.json")).read_text())
    assert [each["name"] for each in found["categories"]] == ["sky", "grass", "road"]
    status, _, error = segdistill("name", taught, "0=air")
    assert status == 0, error
    # The run itself is what it was.
    status, out, _ = segdistill("classes", fitted)
    assert "class 0" in out


def test_the_same_answers_again_change_nothing(fitted: Path, clicks: Path, segdistill: Run) -> None:
    segdistill("teach", fitted, "--answers", clicks)
    weights = (fitted / "taught" / "segmenter.safetensors").read_bytes()
    status, out, _ = segdistill("teach", fitted, "--answers", clicks)
    assert status == 0
    assert "Answers: 12, 0 of them new" in out
    assert (fitted / "taught" / "segmenter.safetensors").read_bytes() == weights


def test_answers_survive_another_fit_and_go_to_another_run(
    fitted: Path, photos: Path, clicks: Path, segdistill: Run
) -> None:
    segdistill("teach", fitted, "--answers", clicks)
    status, out, _ = segdistill("teach", fitted, "--export", "answers.csv")
    assert (status, out) == (0, "Answers: 12 in answers.csv\n")
    status, _, error = segdistill("teach", fitted, "--export", "answers.csv")
    assert status == 2
    assert "add --overwrite" in error
    quick = [
        "--backbone",
        "tiny",
        "--quiet",
        "--training.steps",
        "20",
        "--training.batch-size",
        "4",
        "--classes",
        "4",
    ]
    status, _, error = segdistill("fit", photos, "--out", fitted, "--overwrite", *quick)
    assert status == 0, error
    status, out, _ = segdistill("teach", fitted, "--answers", "answers.csv")
    assert "Answers: 12, 0 of them new" in out
    status, _, error = segdistill("fit", photos, "--out", "other", *quick)
    assert status == 0, error
    status, out, _ = segdistill("teach", "other", "--answers", "answers.csv", "--classes", "water")
    assert "Answers: 12, 12 of them new" in out
    assert "other/taught: " in out


def test_what_nothing_was_taught_about_stays_a_cluster(
    fitted: Path, photos: Path, segdistill: Run
) -> None:
    Path("sky.csv").write_text(CLICKS.splitlines()[0] + "\npicture_0.png,10,5,sky\n")
    status, out, _ = segdistill("teach", fitted, "--answers", "sky.csv", "--quiet")
    assert status == 0
    _, out, _ = segdistill("classes", fitted / "taught")
    names = [" ".join(line.split()[1:]) for line in out.splitlines()[1:]]
    assert names == ["sky", "class 1", "class 2"]
    status, _, _ = segdistill(
        "teach", fitted, "--answers", "sky.csv", "--untaught", "nearest", "--out", "only", "--quiet"
    )
    _, out, _ = segdistill("classes", "only")
    assert len(out.splitlines()) == 2


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("picture_0.png,500,5,sky", "outside"),
        ("picture_0.png,1,5,", "class"),
        ("picture_0.png,one,5,sky", "one"),
    ],
)
def test_a_wrong_row_is_named_and_nothing_changes(
    fitted: Path, clicks: Path, segdistill: Run, row: str, why: str
) -> None:
    segdistill("teach", fitted, "--answers", clicks)
    before = (fitted / "answers.json").read_bytes()
    Path("wrong.csv").write_text(f"image,x,y,class\npicture_1.png,1,1,tree\n{row}\n")
    status, _, error = segdistill("teach", fitted, "--answers", "wrong.csv")
    assert status == 2
    assert "wrong.csv" in error
    assert "line 3" in error
    assert why in error
    assert (fitted / "answers.json").read_bytes() == before


def test_answers_about_images_that_changed_or_are_gone_are_kept(
    fitted: Path, photos: Path, clicks: Path, segdistill: Run
) -> None:
    segdistill("teach", fitted, "--answers", clicks)
    (photos / "picture_0.png").unlink()
    Image.fromarray(striped_image(77)).save(photos / "picture_1.png")
    Path("none.csv").write_text("image,x,y,class\nelsewhere.png,1,1,sky\n")
    status, out, _ = segdistill("teach", fitted, "--answers", "none.csv")
    assert status == 0
    assert "Skipped: " in out
    assert "elsewhere.png" in out
    assert "picture_0.png is not among the images" in out
    assert "picture_1.png has changed since" in out
    assert "Answers: 12, 0 of them new" in out


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--answers", "no.csv"], "no.csv: no such file"),
        (["--export", "a.csv"], "no answers to export"),
        (["--overwrite"], "--overwrite: only with --export"),
        (["--classes", "a", "--export", "a.csv"], "--classes and --export: give only one"),
        (["--classes", "a", "a", "--answers", "sky.csv"], "a: a class with this name"),
        (["--answers", "empty.csv"], "nothing has been taught yet"),
        (["--answers", "other.csv"], "can be used; first: line 2: no.png is not among the images"),
    ],
)
def test_mistakes_take_one_line(
    fitted: Path, segdistill: Run, arguments: list[str], why: str
) -> None:
    Path("sky.csv").write_text("image,x,y,class\npicture_0.png,10,5,sky\n")
    Path("empty.csv").write_text("image,x,y,class\n")
    Path("other.csv").write_text("image,x,y,class\nno.png,10,5,sky\n")
    status, _, error = segdistill("teach", fitted, *arguments, "--quiet")
    assert status == 2
    assert why in error
    assert len(error.strip().splitlines()) == 1


def test_a_folder_that_is_no_run_is_never_replaced(
    fitted: Path, clicks: Path, segdistill: Run
) -> None:
    Path("mine").mkdir()
    Path("mine/notes.txt").write_text("mine")
    status, _, error = segdistill("teach", fitted, "--answers", clicks, "--out", "mine")
    assert status == 2
    assert "exists and is not a taught run" in error
    assert [each.name for each in Path("mine").iterdir()] == ["notes.txt"]
    assert not (fitted / "answers.json").exists()


def test_a_run_that_was_fitted_is_never_replaced(
    fitted: Path, clicks: Path, segdistill: Run
) -> None:
    before = {each.name: each.read_bytes() for each in fitted.iterdir() if each.is_file()}
    status, _, error = segdistill("teach", fitted, "--answers", clicks, "--out", fitted)
    assert status == 2
    assert "contains a run that was not taught; choose another --out" in error
    assert {each.name: each.read_bytes() for each in fitted.iterdir() if each.is_file()} == before


def test_a_taught_run_whose_first_saving_was_killed_is_completed(
    fitted: Path, clicks: Path, segdistill: Run
) -> None:
    assert segdistill("teach", fitted, "--answers", clicks)[0] == 0
    weights = (fitted / "taught" / "segmenter.safetensors").read_bytes()
    for name in ("segmenter.json", "segmenter.safetensors", "settings.yaml"):
        (fitted / "taught" / name).unlink()
        status, _, error = segdistill("teach", fitted, "--answers", clicks)
        assert status == 0, error
        assert (fitted / "taught" / "segmenter.safetensors").read_bytes() == weights

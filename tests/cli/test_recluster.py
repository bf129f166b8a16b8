"""The number of classes: estimated, and changed afterwards."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from safetensors.torch import load_file, save_file
from tests.cli.conftest import QUICK, TRAINED, Run
from tests.helpers import edited

from segdistill.model.segmenter import Segmenter
from segdistill.objective import class_relations


def names_of(run: Path) -> list[str]:
    return [each["name"] for each in json.loads((run / "segmenter.json").read_text())["classes"]]


def test_the_number_is_estimated_by_default(photos: Path, segdistill: Run) -> None:
    fit = ["fit", photos, "--backbone", "tiny", *TRAINED]
    status, _, error = segdistill(*fit)
    assert status == 0, error
    assert "will be estimated" in error
    run = photos.parent / "runs" / "photos"
    found = len(Segmenter.load(run).classes)
    # Three colours, and the cells in which two of them meet; never fewer than six.
    assert 6 <= found <= 12
    assert f"{found} classes (level medium; coarse has" in error
    assert "segdistill recluster runs/photos --level fine" in error
    assert yaml.safe_load((run / "settings.yaml").read_text())["classes"] == found
    count = json.loads((run / "facts.json").read_text())["class_count"]
    assert count["chosen"] == found
    assert len(count["candidates"]) == len(count["stability"]) == len(count["silhouette"])
    assert "How many classes?" in (run / "report.html").read_text()
    # settings.yaml of the run holds the number that was used.
    again = photos.parent / "again"
    status, _, error = segdistill(
        "fit", photos, "--config", run / "settings.yaml", "--out", again, "--quiet"
    )
    assert status == 0, error
    np.testing.assert_allclose(
        Segmenter.load(again).centres.numpy(), Segmenter.load(run).centres.numpy(), atol=1e-6
    )
    assert "How many classes?" not in (again / "report.html").read_text()
    status, _, error = segdistill(*fit, "--resume")
    assert status == 0
    assert "already finished" in error


@pytest.mark.parametrize(
    "asked", [["--clustering", "probe"], ["--head.kind", "linear", "--head.continuous", "false"]]
)
def test_settings_that_need_the_number_before_training_take_the_default(
    photos: Path, segdistill: Run, asked: list[str]
) -> None:
    status, _, error = segdistill("fit", photos, "--backbone", "tiny", *QUICK, *asked)
    assert status == 0, error
    assert "finding 12 classes" in error
    assert len(names_of(photos.parent / "runs" / "photos")) == 12


def test_extra_clusters_are_added(photos: Path, segdistill: Run) -> None:
    status, _, error = segdistill(
        *("fit", photos, "--backbone", "tiny", "--method", "kmeans", "--extra-clusters", 2)
    )
    assert status == 0, error
    run = photos.parent / "runs" / "photos"
    settings = yaml.safe_load((run / "settings.yaml").read_text())
    assert len(names_of(run)) == settings["classes"] + 2


def test_classes_change_without_images_and_are_restored(
    photos: Path, fitted: Path, segdistill: Run
) -> None:
    before = Segmenter.load(fitted)
    for path in photos.rglob("*.png"):
        path.rename(path.with_suffix(".away"))
    status, out, error = segdistill("recluster", fitted, "--classes", 5)
    assert status == 0, error
    assert "5 classes, formerly 3" in out
    assert "New class <- old classes (share of the new class's training codes)\n" in out
    assert re.search(r"^ +0  <-  \d \(\d+%\)", out, re.MULTILINE)
    assert "report" in out
    assert len(Segmenter.load(fitted).classes) == 5
    for path in photos.rglob("*.away"):
        path.rename(path.with_suffix(".png"))
    status, out, _ = segdistill("segment", fitted, photos, "--min-region", 0, "--quiet")
    assert status == 0
    with Image.open("masks/photos/picture_0.png") as mask:
        assert len(np.unique(np.array(mask))) >= 3
    for back in (["--classes", 3], ["--undo"], ["--undo"]):
        assert segdistill("recluster", fitted, *back)[0] == 0
    after = Segmenter.load(fitted)
    np.testing.assert_array_equal(after.centres.numpy(), before.centres.numpy())
    assert after.classes == before.classes
    assert "already has 3 classes" in segdistill("recluster", fitted, "--classes", 3)[1]


def test_undo_and_redo_say_what_they_change(fitted: Path, segdistill: Run) -> None:
    assert segdistill("recluster", fitted, "--classes", 5, "--quiet")[0] == 0
    assert segdistill("name", fitted, "0=road", "--quiet")[0] == 0
    out = segdistill("recluster", fitted, "--undo")[1]
    assert "Undone: renamed class 0 to road\n" in out
    assert f"Redo:   segdistill recluster {fitted} --redo\n" in out
    out = segdistill("recluster", fitted, "--undo")[1]
    assert "Undone: changed the number of classes: 5 instead of 3 classes\n" in out
    assert "3 classes, formerly 5" in out
    out = segdistill("classes", fitted, "--redo")[1]
    assert "Redone: changed the number of classes: 5 instead of 3 classes\n" in out
    assert f"Undo:   segdistill classes {fitted} --undo\n" in out
    out = segdistill("recluster", fitted, "--redo")[1]
    assert "Redone: renamed class 0 to road\n" in out
    assert "5 classes, formerly 5" in out
    assert names_of(fitted)[0] == "road"


def test_levels_are_nested_and_keep_names(fitted: Path, segdistill: Run) -> None:
    assert segdistill("name", fitted, "0=road")[0] == 0
    medium = Segmenter.load(fitted)
    status, out, error = segdistill("recluster", fitted, "--level", "fine")
    assert status == 0, error
    assert re.search(
        r"^Levels: coarse   2 classes\n        medium   3 classes\n"
        r"        fine    \d\d classes \(in use\)\nRun:",
        out,
    )
    fine = Segmenter.load(fitted)
    assert len(fine.classes) > len(medium.classes)
    roads = [each for each in fine.classes if each.name.startswith("road ")]
    assert {each.members[0] for each in roads} == set(medium.classes[0].members)
    assert len({each.colour for each in fine.classes}) == len(fine.classes)
    assert segdistill("recluster", fitted, "--level", "coarse")[0] == 0
    coarse = Segmenter.load(fitted)
    assert len(coarse.classes) == 2
    for each in medium.classes:
        holders = [whole for whole in coarse.classes if set(each.members) <= set(whole.members)]
        assert len(holders) == 1
    # Back at the level of the fit, everything is restored.
    assert segdistill("recluster", fitted, "--level", "medium")[0] == 0
    assert Segmenter.load(fitted).classes == medium.classes
    np.testing.assert_array_equal(Segmenter.load(fitted).centres.numpy(), medium.centres.numpy())


def test_levels_that_a_number_of_classes_moves_are_shown(fitted: Path, segdistill: Run) -> None:
    moved = "The levels have changed with the number of classes; they were coarse"
    first = segdistill("recluster", fitted, "--level", "medium")[1]
    assert "medium   3 classes (in use)\n" in first
    assert moved not in first
    out = segdistill("recluster", fitted, "--classes", 5)[1]
    assert re.search(r"^Levels: coarse   \d classes\n        medium   5 classes \(in use\)\n", out)
    assert f"        {moved} 2, medium 3, fine 1" in out
    # What they are after an undo, not before it.
    out = segdistill("recluster", fitted, "--undo")[1]
    assert "medium   3 classes (in use)\n" in out
    assert f"{moved} " in out
    # A merge belongs to no level.
    assert segdistill("classes", fitted, "--merge", 0, 1, "--quiet")[0] == 0
    assert segdistill("recluster", fitted, "--level", "fine", "--quiet")[0] == 0
    out = segdistill("recluster", fitted, "--undo")[1]
    assert "Levels:" in out
    assert moved not in out
    # Levels that have not changed are those of the fit.
    assert segdistill("recluster", fitted, "--level", "medium")[1].startswith(
        first[: first.index("Run:")]
    )


def test_pairs_to_merge_are_proposed(fitted: Path, segdistill: Run) -> None:
    assert segdistill("recluster", fitted, "--level", "fine", "--quiet")[0] == 0
    status, out, error = segdistill("classes", fitted, "--propose")
    assert status == 0, error
    assert "likely to be the same" in out
    assert "of their locations change from one class to the other" in out
    merge = next(line for line in out.splitlines() if line.startswith("Merge:"))
    assert segdistill(*merge.split()[2:])[0] == 0
    shares = [
        float(line.split("%")[0].split()[-1])
        for line in segdistill("classes", fitted)[1].splitlines()[1:]
    ]
    assert shares == sorted(shares, reverse=True)


def test_unlikely_pairs_are_not_proposed(
    fitted: Path, segdistill: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert segdistill("recluster", fitted, "--level", "fine", "--quiet")[0] == 0
    monkeypatch.setattr(class_relations, "MIN_SCORE", 1.0)
    status, out, _ = segdistill("classes", fitted, "--propose")
    assert status == 0
    assert out == f"Run:    {fitted}: no two of its classes are likely to be the same\n"


def test_unchanged_classes_keep_names_and_colours(fitted: Path, segdistill: Run) -> None:
    path = fitted / "segmenter.json"
    description = edited(path.read_text())
    for number, name in enumerate(("water", "stone", "grass")):
        description["classes"][number]["name"] = name
    path.write_text(json.dumps(description))
    assert segdistill("recluster", fitted, "--classes", 4, "--quiet")[0] == 0
    kept = set(names_of(fitted)) & {"water", "stone", "grass"}
    assert len(kept) >= 2
    assert segdistill("recluster", fitted, "--classes", 3)[0] == 0
    assert names_of(fitted) == ["water", "stone", "grass"]


def test_the_report_is_written_again(photos: Path, fitted: Path, segdistill: Run) -> None:
    report = fitted / "report.html"
    assert "sorted into 3 classes" in report.read_text()
    assert segdistill("recluster", fitted, "--classes", 4)[0] == 0
    assert "sorted into 3 classes" in report.read_text()
    status, out, error = segdistill("recluster", fitted, "--classes", 4, "--images", photos)
    assert status == 0, error
    assert "report.html" in out
    page = report.read_text()
    assert "sorted into 4 classes" in page
    assert "Neighbour" in page


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give --level, --classes, --undo or --redo"),
        (["--level", "finer"], "--level"),
        (["--level", "fine", "--classes", 4], "--classes and --level: give only one"),
        (["--classes", 1], "--classes 1: must be from 2 to 255"),
        (["--classes", 256], "--classes 256: must be from 2 to 255"),
        (["--classes", "many"], "--classes many: must be a whole number"),
        (["--undo"], "nothing to undo"),
        (["--redo"], "nothing to redo"),
        (["--undo", "--classes", 4], "--classes and --undo: give only one"),
        (["--classes", 4, "--images", "none"], "none: no such file or folder"),
        (["--clases", 4], "did you mean --classes?"),
    ],
)
def test_mistakes_change_nothing(
    fitted: Path, segdistill: Run, arguments: list[str], message: str
) -> None:
    before = {path: path.read_bytes() for path in fitted.glob("segmenter.*")}
    status, out, error = segdistill("recluster", fitted, *arguments)
    assert status == 2
    assert message in error
    assert "Traceback" not in error
    assert out == ""
    assert before == {path: path.read_bytes() for path in fitted.glob("segmenter.*")}


@pytest.mark.parametrize("converted", [False, True])
def test_a_run_without_stored_codes_says_why(
    fitted: Path, segdistill: Run, converted: bool
) -> None:
    weights = fitted / "segmenter.safetensors"
    tensors = load_file(weights)
    save_file({k: v for k, v in tensors.items() if not k.startswith("prototypes.")}, weights)
    if converted:
        path = fitted / "segmenter.json"
        description = edited(path.read_text())
        description["training"] = {"converted_from": "stego.ckpt"}
        path.write_text(json.dumps(description))
    status, _, error = segdistill("recluster", fitted, "--classes", 4)
    assert status == 2
    assert "no prototypes to recluster" in error
    assert ("converted from stego.ckpt" if converted else "older version") in error
    assert segdistill("recluster", "nowhere", "--classes", 4)[0] == 2

"""Naming, merging, hiding and undoing from the command line."""

import json
from pathlib import Path

import numpy as np
from PIL import Image
from tests.cli.conftest import Run


def bilinear_mask(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.array(image)


def test_names_and_merges_reach_masks_and_can_be_undone(
    photos: Path, fitted: Path, segdistill: Run
) -> None:
    picture = photos / "picture_0.png"
    assert segdistill("segment", fitted, picture, "--out", "before", "--quiet")[0] == 0
    status, out, error = segdistill("name", fitted, "0=road", "2=a tree")
    assert status == 0, error
    assert [line.split()[0] for line in out.splitlines()[1:]] == ["0", "1", "2"]
    assert "road" in out
    assert "%" in out
    status, out, error = segdistill("classes", fitted, "--merge", 0, 2)
    assert status == 0, error
    assert " clusters)" in out
    assert f"Undo:   segdistill classes {fitted} --undo" in out
    status, out, error = segdistill("classes", fitted, "--hide", 1)
    assert "hidden" in out
    assert segdistill("segment", fitted, picture, "--out", "after", "--overlay", "--quiet")[0] == 0
    rows = json.loads(Path("after/classes.json").read_text())
    assert [(row["name"], row["hidden"]) for row in rows] == [("road", False), ("class 1", True)]
    before, after = (
        bilinear_mask(Path("before/picture_0.png")),
        bilinear_mask(Path("after/picture_0.png")),
    )
    assert (after == np.array([0, 1, 0])[before]).mean() > 0.97
    overlay = bilinear_mask(Path("after/picture_0.overlay.jpg")).astype(int)
    untouched = np.abs(overlay - bilinear_mask(picture)[..., :3]).max(axis=2) < 40
    assert untouched[after == 1].mean() > 0.9
    for names in (["road", "class 1"], ["road", "class 1", "a tree"], None):
        assert segdistill("classes", fitted, "--undo", "--quiet")[0] == 0
        if names:
            text = (fitted / "segmenter.json").read_text()
            assert [each["name"] for each in json.loads(text)["classes"]] == names
    status, _, error = segdistill("classes", fitted, "--undo")
    assert status == 2
    assert "nothing to undo" in error
    status, out, _ = segdistill("classes", fitted, "--redo")
    assert "a tree" in out
    assert segdistill("segment", fitted, picture, "--out", "again", "--quiet")[0] == 0
    np.testing.assert_array_equal(bilinear_mask(Path("again/picture_0.png")), before)


def test_a_change_is_described_and_undone_only_if_there_is_one(
    fitted: Path, segdistill: Run
) -> None:
    out = segdistill("classes", fitted, "--show", 1)[1]
    assert "Done:   changed nothing\n" in out
    assert "--undo" not in out
    out = segdistill("classes", fitted, "--hide", 1)[1]
    assert "Done:   hid class 1 in overlays and exports\n" in out
    undo = next(line for line in out.splitlines() if line.startswith("Undo:"))
    out = segdistill(*undo.split()[2:])[1]
    assert "Undone: hid class 1 in overlays and exports\n" in out
    out = segdistill("classes", fitted, "--merge", 0, 2)[1]
    assert "Done:   merged class 0 and class 2 into class" in out
    assert "old numbers" in out
    assert "shares of the training images" in out.splitlines()[0]


def test_a_former_number_of_classes_is_restored_with_its_names(
    fitted: Path, segdistill: Run
) -> None:
    assert segdistill("name", fitted, "0=road", "--quiet")[0] == 0
    assert segdistill("recluster", fitted, "--classes", 5, "--quiet")[0] == 0
    assert segdistill("recluster", fitted, "--classes", 3, "--quiet")[0] == 0
    assert "road" in segdistill("classes", fitted)[1]
    # A report can also be written again with merged classes.
    assert segdistill("classes", fitted, "--merge", 1, 2, "--quiet")[0] == 0
    assert segdistill("recluster", fitted, "--classes", 5, "--quiet")[0] == 0


def test_mistakes_are_reported(fitted: Path, segdistill: Run) -> None:
    for arguments, said in [
        (("name", fitted, "road"), "road: write CLASS=NAME, such as 3=road"),
        (("name", fitted, "0=a", "0=b"), "class 0 is named twice"),
        (("name", fitted, "0=a", "class 0=b"), "class 0 is named twice"),
        (("name", fitted, "=a"), "=a: write CLASS=NAME, such as 3=road"),
        (("name", fitted, "7=a"), "there is no class 7; classes go from 0 to 2"),
        (("classes", fitted, "--merge", 1), "at least two"),
        (
            ("classes", fitted, "--merge", 0, 1, "--undo"),
            "--merge and --undo: give only one of them",
        ),
        (("classes", fitted, "--redo"), "nothing to redo"),
        (("classes", "nowhere"), "nowhere: no such run folder"),
    ]:
        status, _, error = segdistill(*arguments)
        assert status == 2
        assert said in error
        assert "Traceback" not in error


def test_classes_are_given_by_name(fitted: Path, segdistill: Run) -> None:
    assert segdistill("name", fitted, "0=traffic light", "1=Road", "--quiet")[0] == 0
    out = segdistill("classes", fitted, "--hide", "road", "Traffic  Light")[1]
    assert "hid traffic light in overlays and exports, hid Road in overlays and exports\n" in out
    out = segdistill("classes", fitted, "--show", "ROAD", 0)[1]
    assert "hidden" not in out
    status, out, error = segdistill("name", fitted, "traffic light=lamp", "class 2=sky")
    assert status == 0, error
    assert [line.split()[1] for line in out.splitlines()[1:]] == ["lamp", "Road", "sky"]
    out = segdistill("classes", fitted, "--merge", "sky", "lamp")[1]
    assert "Done:   merged lamp and sky into lamp\n" in out


def test_a_name_that_no_class_has_changes_nothing(fitted: Path, segdistill: Run) -> None:
    assert segdistill("name", fitted, "0=Street", "1=street", "--quiet")[0] == 0
    before = (fitted / "segmenter.json").read_bytes()
    for arguments, said in [
        (("--merge", "steet", 0), "steet: no class has this name; did you mean 'street'?"),
        (("--hide", "class 22"), "did you mean 'class 2'?"),
        (("--hide", "lamp"), "give a name that `segdistill classes RUN` lists, or a number from 0"),
        (("--merge", "0,1"), "0,1: no class has this name; separate classes by spaces"),
        (
            ("--merge", "STREET", 2),
            "several classes have this name, 0 (Street) and 1 (street); give their",
        ),
        (("--merge", 7, 0), "there is no class 7; classes go from 0 to 2"),
        (("--hide", -1), "there is no class -1"),
        (("--hide", ""), "'': no class has this name"),
        (("--hide", "9" * 5000), "no class has this name"),
        # One class given twice is one class.
        (("--merge", "Street", 0), "at least two"),
    ]:
        status, out, error = segdistill("classes", fitted, *arguments)
        assert (status, out) == (2, "")
        assert said in error
        assert error.count("\n") == 1
    assert (fitted / "segmenter.json").read_bytes() == before
    # The same letters in the same case are one class.
    assert "hid street in" in segdistill("classes", fitted, "--hide", "street")[1]

"""``--label-map`` as a user gives it: the scores are those of plain labels."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.cli.conftest import TRAINED, Run
from tests.helpers import striped_labels

import segdistill as library
from segdistill.evaluation.result import Evaluation

COLOURS = np.array([(70, 130, 180), (128, 64, 128), (107, 142, 35)], np.uint8)
CLASSES = """
classes:
  - {name: sky, numbers: 23, colours: "#4682b4"}
  - {name: road, numbers: [7, 8-9], colours: [128, 64, 128]}
  - {name: grass, numbers: 21, colours: [107, 142, 35]}
ignore: [0, -1, 255]
suffix: {labels: _mask}
"""
NUMBERS = np.array([23, 8, 21], np.uint8)


@pytest.fixture
def folders(photos: Path) -> dict[str, Path]:
    """Folders of the same labels: plain, as other numbers, and as colours."""
    root = photos.parent / "data"
    made = {"plain": np.arange(3, dtype=np.uint8), "numbers": NUMBERS, "colours": COLOURS}
    for kind, values in made.items():
        for seed in range(6):
            end = ".png" if kind == "plain" else "_mask.png"
            path = root / kind / ("more" if seed == 5 else "") / f"picture_{seed}{end}"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(values[striped_labels(seed)]).save(path)
    (root / "map.yaml").write_text(CLASSES)
    return {kind: root / kind for kind in made} | {"map": root / "map.yaml"}


def scores(folder: str) -> dict[str, object]:
    found = json.loads(Path(folder, "evaluation.json").read_text())["scores"]
    for each in found.values():
        for label in each["classes"]:
            del label["name"]
    return dict(found)


@pytest.mark.parametrize("kind", ["numbers", "colours"])
def test_scores_through_a_map_are_those_of_plain_labels(
    photos: Path, fitted: Path, folders: dict[str, Path], segdistill: Run, kind: str
) -> None:
    plain = ("--images", photos, "--labels", folders["plain"], "--quiet")
    mapped = ("--images", photos, "--labels", folders[kind], "--label-map", folders["map"])
    for name, options in (("plain", plain), ("mapped", mapped)):
        for command, *more in (("probe",), ("evaluate", "--out", name)):
            status, out, error = segdistill(command, fitted, *options, *more)
            assert status == 0, error
    assert "sky" in out
    assert scores("mapped") == scores("plain")
    page = Path("mapped/evaluation.html").read_text()
    assert "grass" in page


def test_python_takes_a_map_too(photos: Path, fitted: Path, folders: dict[str, Path]) -> None:
    found: list[Evaluation] = [
        library.evaluate(fitted, photos, folders["plain"]),
        library.evaluate(fitted, photos, folders["colours"], label_map=folders["map"]),
    ]
    assert found[0].scores == found[1].scores
    assert found[1].names == ("sky", "road", "grass")


def test_the_oracle_and_the_probe_of_a_fit_read_through_the_map(
    photos: Path, folders: dict[str, Path], segdistill: Run
) -> None:
    options = ("--labels", folders["colours"], "--objective.correlations", "labels", "--quiet")
    common = ("fit", photos, "--backbone", "tiny", "--classes", 3, *TRAINED)
    common += ("--training.linear_probe", "true")
    status, _, error = segdistill(*common, *options, "--out", "runs/none")
    assert status == 2
    assert "the labels are colours" in error
    status, _, error = segdistill(*common, *options, "--label-map", folders["map"], "--out", "r")
    assert status == 0, error


def test_mistakes_in_a_map_are_one_line(
    photos: Path, fitted: Path, folders: dict[str, Path], segdistill: Run
) -> None:
    folders["map"].write_text("classes: [{name: sky, number: 3}]")
    options = ("--images", photos, "--labels", folders["numbers"], "--label-map", folders["map"])
    status, _, error = segdistill("evaluate", fitted, *options)
    assert status == 2
    assert "map.yaml: classes[0]: unknown key number" in error
    assert len(error.splitlines()) == 1

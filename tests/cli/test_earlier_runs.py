"""Run folders that earlier versions wrote: they load, give the same masks and can be changed.

``tests/fixtures/make_run.py`` made them, each with the version of its month.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tests.cli.conftest import Run

from segdistill.model.segmenter import Segmenter
from segdistill.runs.folder import RunFolder

RUNS = sorted((Path(__file__).parents[1] / "fixtures").glob("run_*"))

MOST_DIFFERENT = 0.005
"""Share of the pixels that may have another class.

None had with torch 2.6, 2.13 and 2.14 on one processor; others may round differently.
"""


@pytest.fixture(params=RUNS, ids=lambda folder: folder.name)
def earlier(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A copy of an earlier run, its images, its masks and what else was made of it."""
    folder = shutil.copytree(request.param, tmp_path / "earlier")
    monkeypatch.chdir(folder)
    return folder


def pixels(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as mask:
        return np.asarray(mask)


def names_of(run: Path) -> list[str]:
    return [each.name for each in Segmenter.load(run).classes]


def test_there_is_a_run() -> None:
    assert RUNS


def test_masks_are_the_same(earlier: Path, segdistill: Run) -> None:
    status, _, error = segdistill("segment", "run", "images", "--out", "again", "--quiet")
    assert (status, error) == (0, "")
    kept = sorted(Path("masks").rglob("*.png"))
    assert kept
    for path in kept:
        before, after = pixels(path), pixels(Path("again") / path.relative_to("masks"))
        assert (before != after).mean() <= MOST_DIFFERENT, path
    assert json.loads(Path("again/classes.json").read_text()) == json.loads(
        Path("masks/classes.json").read_text()
    )


def test_what_the_fit_recorded_is_read(earlier: Path) -> None:
    run = RunFolder(earlier / "run")
    settings, facts, history = run.read_settings(), run.read_facts(), run.read_history()
    assert settings.classes is not None
    assert facts.class_count is not None
    assert facts.class_count.chosen == settings.classes
    assert facts.images == len(facts.image_files) > 0
    assert facts.environment["segdistill"]
    assert len(history) == settings.training.steps
    segmenter = Segmenter.load(run.path)
    assert segmenter.levels is not None
    assert facts.levels == segmenter.levels.counts


def test_edits_are_undone_and_made_again(earlier: Path, segdistill: Run) -> None:
    edited = names_of(earlier / "run")
    assert "meadow" in edited
    status, out, error = segdistill("classes", "run", "--undo")
    assert (status, error) == (0, "")
    assert "merged" in out
    merged = names_of(earlier / "run")
    assert len(merged) == len(edited) + 1
    assert segdistill("classes", "run", "--undo")[0] == 0
    assert names_of(earlier / "run") == [f"class {index}" for index in range(len(merged))]
    status, _, error = segdistill("classes", "run", "--undo")
    assert status == 2
    assert "nothing to undo" in error
    for _ in range(2):
        assert segdistill("classes", "run", "--redo")[0] == 0
    assert names_of(earlier / "run") == edited
    assert segdistill("name", "run", "0=pasture", "--quiet")[0] == 0
    assert segdistill("classes", "run", "--merge", 0, 1, "--quiet")[0] == 0
    assert names_of(earlier / "run")[0] == "pasture"


def test_it_is_reclustered_and_restored(earlier: Path, segdistill: Run) -> None:
    before = Segmenter.load(earlier / "run")
    status, out, error = segdistill("recluster", "run", "--classes", 3)
    assert (status, error) == (0, "")
    assert f"3 classes, formerly {len(before.classes)}" in out
    status, _, error = segdistill("recluster", "run", "--level", "fine")
    assert (status, error) == (0, "")
    assert len(Segmenter.load(earlier / "run").classes) > 3
    for _ in range(2):
        assert segdistill("recluster", "run", "--undo")[0] == 0
    after = Segmenter.load(earlier / "run")
    assert after.classes == before.classes
    np.testing.assert_array_equal(after.centres.numpy(), before.centres.numpy())


def test_its_report_is_written_again(earlier: Path, segdistill: Run) -> None:
    assert not Path("run/report.html").exists()
    status, _, error = segdistill(
        "recluster", "run", "--classes", 3, "--images", "images", "--quiet"
    )
    assert (status, error) == (0, "")
    page = Path("run/report.html").read_text()
    assert "How many classes?" in page
    assert "scene_0001" in page


def test_scores_are_the_same(earlier: Path, segdistill: Run) -> None:
    status, _, error = segdistill(
        "evaluate", "run", "--images", "images", "--labels", "labels", "--out", "scores", "--quiet"
    )
    assert (status, error) == (0, "")
    kept, again = (
        json.loads(Path(file).read_text())["scores"]
        for file in ("evaluation.json", "scores/evaluation.json")
    )
    assert again.keys() == kept.keys() == {"cluster", "linear"}
    for kind, before in kept.items():
        for measure in ("accuracy", "mean_iou"):
            assert again[kind][measure] == pytest.approx(before[measure], abs=0.01), kind


def test_masks_are_exported_as_before(earlier: Path, segdistill: Run) -> None:
    status, _, error = segdistill(
        *("export", "run", "masks", "--format", "coco", "--out", "again.json"),
        *("--images", "images", "--quiet"),
    )
    assert (status, error) == (0, "")
    kept, again = (
        json.loads(Path(file).read_text()) for file in ("export/masks.json", "again.json")
    )
    assert again["annotations"]
    assert again == kept


@pytest.mark.slow  # that models load is tested above, and their export in test_export_model
def test_its_model_is_exported(earlier: Path, segdistill: Run) -> None:
    status, out, error = segdistill("export-model", "run", "model.onnx", "--quiet")
    assert (status, error) == (0, "")
    assert "Checked: class scores differ from the run's by " in out

"""``segdistill figures`` as a user runs it."""

import json
from pathlib import Path

import pytest
from PIL import Image
from tests.cli.conftest import QUICK, Run
from tests.helpers import striped_labels


@pytest.fixture
def labels(photos: Path) -> Path:
    folder = photos.parent / "labels"
    (folder / "more").mkdir(parents=True)
    for seed in range(6):
        name = f"more/picture_{seed}.png" if seed == 5 else f"picture_{seed}.png"
        Image.fromarray(striped_labels(seed)).save(folder / name)
    (photos.parent / "classes.txt").write_text("sky\nrock\ngrass\n")
    return folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_figures_of_a_run_with_and_without_labels(
    fitted: Path, labels: Path, segdistill: Run
) -> None:
    asked = ("figures", fitted, "--images", "photos", "--quiet")
    status, out, error = segdistill(*asked, "--labels", "labels", "--crf", "--columns", 2)
    assert (status, error) == (0, "")
    folder = Path("figures/photos")
    kinds = ("comparison", "iou", "legend", "training")
    assert names(folder) == [f"{kind}.{suffix}" for kind in kinds for suffix in ("png", "svg")]
    assert out.splitlines()[0] == "Figure: figures/photos/comparison.png"
    svg = (folder / "comparison.svg").read_text()
    for title in ("Image", "Label", "k-means", "Segments", "Segments + CRF"):
        assert f">{title}</text>" in svg
    assert svg.count("<image ") == 10
    legend = (folder / "legend.svg").read_text()
    assert all(f">{name}</text>" in legend for name in ("sky", "rock", "grass"))
    assert "mIoU" in (folder / "iou.svg").read_text()

    status, _, error = segdistill(*asked)
    assert status == 2
    assert "comparison.png: already exists; add --overwrite" in error
    # Figures without labels replace those with labels.
    status, _, error = segdistill(*asked, "--overwrite", "--format", "svg", "--show", "picture_5")
    assert (status, error) == (0, "")
    assert names(folder) == ["comparison.svg", "legend.svg", "training.svg"]
    svg = (folder / "comparison.svg").read_text()
    assert svg.count("<image ") == 3
    assert ">Label</text>" not in svg
    assert ">class 0</text>" in (folder / "legend.svg").read_text()


def test_comparing_with_another_run(fitted: Path, photos: Path, segdistill: Run) -> None:
    fit = ("fit", photos, "--backbone", "tiny", "--classes", 5, "--method", "kmeans", *QUICK)
    assert segdistill(*fit, "--out", "plain", "--quiet")[0] == 0
    asked = ("figures", fitted, "--images", photos, "--format", "svg", "--quiet")
    status, _, error = segdistill(*asked, "--kmeans", "plain", "--out", "a", "--rows", 2)
    assert (status, error) == (0, "")
    assert (Path("a") / "comparison.svg").read_text().count("<image ") == 18
    # A k-means run is not compared with itself, and has no training curves.
    status, _, error = segdistill("figures", "plain", *asked[2:], "--out", "b")
    assert (status, error) == (0, "")
    assert names(Path("b")) == ["comparison.svg", "legend.svg"]
    assert ">k-means</text>" not in (Path("b") / "comparison.svg").read_text()


def test_mistakes_are_reported(fitted: Path, labels: Path, segdistill: Run) -> None:
    facts = json.loads((fitted / "facts.json").read_text())
    facts.pop("files", None)
    (fitted / "facts.json").write_text(json.dumps(facts))
    (fitted.parent / "file").touch()
    images = ("--images", "photos")
    for arguments, said in [
        ((), "does not record the paths of its images; add --images"),
        (("--images", "nowhere"), "nowhere: no such file or folder"),
        ((*images, "--labels", "nowhere"), "nowhere: no such file or folder"),
        ((*images, "--show", "beach"), "--show beach: no image with this name"),
        ((*images, "--columns", 0), "--columns 0: must be at least 1"),
        ((*images, "--rows", 50), "the maximum is 60"),
        ((*images, "--format", "gif"), "--format"),
        ((*images, "--out", fitted.parent / "file"), "is a file, not a folder"),
        ((*images, "--kmeans", "nowhere"), "--kmeans nowhere: no such run folder"),
    ]:
        status, _, error = segdistill("figures", fitted, *arguments)
        assert status == 2, said
        assert said in error
        assert "Traceback" not in error
    assert not Path("figures").exists()

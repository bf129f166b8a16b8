"""The programs in ``examples`` run as their first lines say."""

import csv
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from tests.docs.blocks import ROOT
from tools.make_notebook import NOTEBOOK, text

from segdistill.backbones import registry
from segdistill.training.objectives import registry as objectives

Example = Callable[..., str]


@pytest.fixture
def example(
    reader: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Example:
    """Return a function that runs an example in the reader's folder and returns its output."""
    monkeypatch.setattr(registry, "_ENTRIES", dict(registry._ENTRIES))

    def run(name: str, *arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        runpy.run_path(str(ROOT / "examples" / name), run_name="__main__")
        return capsys.readouterr().out

    return run


@pytest.mark.slow
def test_fit_segment_evaluate(example: Example, reader: Path) -> None:
    printed = example("fit_segment_evaluate.py", "photos", "val/imgs", "val/labels")
    assert "4 masks in masks/example" in printed
    assert "accuracy" in printed
    assert (reader / "runs" / "example" / "report.html").is_file()


def test_a_backbone_of_ones_own(example: Example) -> None:
    assert "4 classes from 6 channels" in example("custom_backbone.py", "photos")


@pytest.mark.slow
def test_an_objective_of_ones_own(example: Example, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objectives, "_ENTRIES", dict(objectives._ENTRIES))
    assert "trained by decorrelation" in example("custom_objective.py", "photos")


@pytest.mark.slow
def test_a_data_set_of_ones_own(example: Example, reader: Path) -> None:
    with (reader / "table.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["image", "label", "split"])
        for split in ("train", "val"):
            for image in sorted((reader / "world" / "imgs" / split).iterdir()):
                label = reader / "world" / "labels" / split / f"{image.stem}.png"
                rows.writerow([image, label, split])
    assert "accuracy" in example("custom_dataset.py", "table.csv")


def test_teaching_from_a_table(example: Example) -> None:
    printed = example("teach_from_table.py", "runs/photos", "clicks.csv")
    assert "6 answers added" in printed
    assert "sky" in printed


def test_every_example_is_named_in_the_documentation() -> None:
    page = (ROOT / "docs" / "python.md").read_text()
    for path in (ROOT / "examples").glob("*.*"):
        assert f"../examples/{path.name})" in page


def test_the_notebook_is_made_from_its_list() -> None:
    assert NOTEBOOK.read_text(encoding="utf-8") == text()


@pytest.mark.slow
# Jupyter's own: it will use another folder for its files one day.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUTORIAL_TRAIN", "8")
    monkeypatch.setenv("TUTORIAL_STEPS", "8")
    notebook = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]
    NotebookClient(notebook, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert "accuracy" in str(notebook.cells[-1].outputs)


@pytest.mark.parametrize(
    "path", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.name
)
def test_an_example_without_arguments_says_what_it_needs(path: Path, example: Example) -> None:
    with pytest.raises(SystemExit) as ended:
        example(path.name)
    assert f"python {path.name} " in str(ended.value)

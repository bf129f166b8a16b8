"""The picture of a confusion matrix."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.patches import Rectangle
from PIL import Image

from segdistill.evaluation.confusion import score
from segdistill.evaluation.confusion_table import ConfusionTable, confusion_table
from segdistill.figures.confusion import confusion_figure, write_confusion_png


def some_table(clusters: int, labels: int, name: str = "thing") -> ConfusionTable:
    counts = np.random.default_rng(0).integers(1, 90, (clusters, labels))
    names = [f"{name} {number}" for number in range(labels)]
    return confusion_table(
        counts, score(counts).match, names, [f"class {number}" for number in range(clusters)]
    )


def test_numbers_names_and_frames_are_drawn() -> None:
    table = some_table(4, 3)
    axes = confusion_figure(table, title="Clusters").axes[0]
    numbers = [[f"{100 * share:.0f}" for share in row] for row in table.shares]
    found = {text.get_position(): text.get_text() for text in axes.texts}
    assert found == {(x, y): numbers[y][x] for y in range(3) for x in range(4)}
    assert [text.get_text() for text in axes.get_yticklabels()] == list(table.rows)
    assert [text.get_text() for text in axes.get_xticklabels()] == list(table.headings)
    frames = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    corners = {(frame.get_x() + 0.5, frame.get_y() + 0.5) for frame in frames}
    assert corners == {(column, row) for row, column in enumerate(table.matched)}


@pytest.mark.parametrize(("clusters", "labels"), [(1, 1), (3, 11), (27, 27), (90, 60)])
def test_pictures_of_all_sizes_stay_reasonable(tmp_path: Path, clusters: int, labels: int) -> None:
    write_confusion_png(tmp_path / "a.png", some_table(clusters, labels), title="Clusters")
    with Image.open(tmp_path / "a.png") as picture:
        assert min(picture.size) > 300
        assert max(picture.size) < 3200
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_hostile_names_and_empty_rows_do_not_stop_it(tmp_path: Path) -> None:
    counts = np.array([[5, 0], [1, 0]])
    names = ("$\\frac{1}$ %s \u5199\u771f", "x" * 200)
    table = confusion_table(counts, (0, -1), names, ("a_b^{", "c"))
    write_confusion_png(tmp_path / "a.png", table, title="$x")
    axes = confusion_figure(table, title="$x").axes[0]
    assert [text.get_text() for text in axes.texts] == ["83", "17"]
    assert max(len(label.get_text()) for label in axes.get_yticklabels()) < 40


def test_global_settings_stay_as_they_are(tmp_path: Path) -> None:
    before, backend = dict(mpl.rcParams), mpl.rcParams["backend"]
    write_confusion_png(tmp_path / "a.png", some_table(3, 3), title="Clusters")
    assert dict(mpl.rcParams) == before
    assert mpl.rcParams["backend"] == backend

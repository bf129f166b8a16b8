"""Colours by which labels, clusters and segments can be compared."""

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from segdistill.evaluation.confusion import score
from segdistill.evaluation.result import Evaluation
from segdistill.figures.colouring import (
    Rgba,
    class_colours,
    painted,
)
from segdistill.figures.drawing import Subject, cluster_colours
from segdistill.figures.legend import legend_entries
from segdistill.figures.samples import CLUSTERED, SEGMENTED, Shown
from segdistill.model.class_edits import hidden
from segdistill.model.description import SegmentClass, numbered_classes
from segdistill.runs.folder import RunFolder


def colours_of_clusters(
    clusters: NDArray[np.uint8],
    segments: NDArray[np.uint8],
    count: int,
    classes: tuple[SegmentClass, ...] = numbered_classes(4),
) -> list[Rgba]:
    """Return the colours of clusters, given masks of shape (images, height, width)."""
    shown = [
        Shown(np.zeros((*each.shape, 3), np.uint8), None, {CLUSTERED: each, SEGMENTED: other})
        for each, other in zip(clusters, segments, strict=True)
    ]
    return cluster_colours(Subject(RunFolder(Path("run")), classes, count, shown))


@given(st.permutations(range(4)), st.integers(0, 99))
def test_renumbered_masks_are_matched_back(order: list[int], seed: int) -> None:
    masks = np.random.default_rng(seed).integers(0, 4, (3, 20, 30)).astype(np.uint8)
    renumbered = np.array(order, np.uint8)[masks]
    colours = class_colours(numbered_classes(4))
    matched = colours_of_clusters(renumbered, masks, 4)
    assert [matched[new] for new in order] == colours
    np.testing.assert_array_equal(painted(renumbered[0], matched), painted(masks[0], colours))


def test_more_clusters_than_classes_get_colours_of_their_own() -> None:
    mask = np.arange(6, dtype=np.uint8).reshape(2, 3)
    colours = colours_of_clusters(mask[None], mask[None].clip(0, 3), 6)
    assert len(set(colours)) == 6
    assert colours[:3] == class_colours(numbered_classes(4))[:3]


def test_void_hidden_and_unknown_classes_are_transparent() -> None:
    colours = class_colours(hidden(numbered_classes(3), [1], hide=True))
    picture = painted(np.array([[0, 1, 2, 255, 7, -1]]), colours)
    assert picture[0, :, 3].tolist() == [255, 0, 255, 0, 0, 0]


def test_labels_of_hidden_classes_are_shown() -> None:
    counts = np.array([[9, 0], [1, 5]])
    classes = hidden(numbered_classes(2), [1], hide=True)
    evaluation = Evaluation({"cluster": score(counts)}, {"cluster": counts}, ("a", "b"))
    subject = Subject(RunFolder(Path("run")), classes, 0, (), evaluation)
    assert subject.label_colours == [(*each.colour, 255) for each in classes]


def test_a_legend_names_what_is_seen() -> None:
    classes = hidden(numbered_classes(3), [1, 2], hide=True)
    colours = [(*classes[2].colour, 255), (1, 2, 3, 255)]
    entries = legend_entries(classes, ["road", "pole"], [2, None], colours)
    assert entries == [
        (classes[0].colour, "class 0"),
        (classes[2].colour, "road"),
        ((1, 2, 3), "pole"),
    ]


def test_clusters_that_lie_in_hidden_classes_are_hidden() -> None:
    clusters = np.array([[0, 0, 1, 1, 2]], np.uint8)
    segments = np.array([[1, 1, 1, 0, 0]], np.uint8)
    classes = hidden(numbered_classes(2), [1], hide=True)
    colours = colours_of_clusters(clusters[None], segments[None], 4, classes)
    assert [colour[3] for colour in colours] == [0, 255, 255, 255]

"""Colours by which labels, clusters and segments can be compared."""

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from segdistill.evaluation.confusion import score
from segdistill.evaluation.result import Evaluation
from segdistill.figures.colouring import (
    ClassStyle,
    class_styles,
    colour_mask,
    match_masks,
    matched_styles,
    shares_within,
)
from segdistill.figures.drawing import FigureData, FigureScores
from segdistill.figures.legend import legend_entries
from segdistill.model.class_edits import hidden
from segdistill.model.description import numbered_classes
from segdistill.training.run_folder import RunFolder


@given(st.permutations(range(4)), st.integers(0, 99))
def test_renumbered_masks_are_matched_back(order: list[int], seed: int) -> None:
    masks = np.random.default_rng(seed).integers(0, 4, (3, 20, 30)).astype(np.uint8)
    renumbered = np.array(order, np.uint8)[masks]
    match = match_masks(list(renumbered), list(masks), 4, 4)
    assert [match[new] for new in order] == [0, 1, 2, 3]
    styles = class_styles(numbered_classes(4))
    of_match = matched_styles(match, styles)
    np.testing.assert_array_equal(
        colour_mask(renumbered[0], of_match), colour_mask(masks[0], styles)
    )


def test_more_clusters_than_classes_get_colours_of_their_own() -> None:
    mask = np.arange(6, dtype=np.uint8).reshape(2, 3)
    match = match_masks([mask], [mask.clip(0, 3)], 6, 4)
    styles = class_styles(numbered_classes(4))
    taken = [(1, 2, 3)]
    colours = [each.colour for each in matched_styles(match, styles, taken)]
    assert len(set(colours)) == 6
    assert not set(colours) & set(taken)
    assert {each.colour for each in styles} <= set(colours)


def test_void_hidden_and_unknown_classes_are_transparent() -> None:
    styles = class_styles(hidden(numbered_classes(3), [1], hide=True))
    picture = colour_mask(np.array([[0, 1, 2, 255, 7, -1]]), styles)
    assert picture[0, :, 3].tolist() == [255, 0, 255, 0, 0, 0]


def test_labels_of_hidden_classes_are_shown() -> None:
    counts = np.array([[9, 0], [1, 5]])
    classes = hidden(numbered_classes(2), [1], hide=True)
    evaluation = Evaluation({"cluster": score(counts)}, {"cluster": counts}, ("a", "b"))
    data = FigureData(RunFolder(Path("run")), classes, 0, (), FigureScores(evaluation, None))
    assert data.label_styles == tuple(ClassStyle(each.colour) for each in classes)


def test_a_legend_names_what_is_seen() -> None:
    classes = hidden(numbered_classes(3), [1, 2], hide=True)
    styles = [ClassStyle(classes[2].colour), ClassStyle((1, 2, 3))]
    entries = legend_entries(classes, ["road", "pole"], [2, None], styles)
    assert [(each.name, each.colour) for each in entries] == [
        ("class 0", classes[0].colour),
        ("road", classes[2].colour),
        ("pole", (1, 2, 3)),
    ]


def test_clusters_that_lie_in_hidden_classes_are_counted() -> None:
    clusters = np.array([[0, 0, 1, 1, 2]], np.uint8)
    segments = np.array([[1, 1, 1, 0, 0]], np.uint8)
    shares = shares_within([clusters], [segments], 4, [False, True])
    np.testing.assert_allclose(shares, [1.0, 0.5, 0.0, 0.0])

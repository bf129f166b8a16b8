"""Scores from one confusion matrix, against a plain form."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.helpers import golden

from segdistill.evaluation.confusion import ConfusionMatrix, score


def plain_best_match(counts: np.ndarray) -> int:
    """The most agreeing pixels of any one-to-one matching, by trying them all."""
    square = max(counts.shape)
    padded = np.zeros((square, square), int)
    padded[: counts.shape[0], : counts.shape[1]] = counts
    return max(
        sum(int(padded[row, column]) for row, column in enumerate(order))
        for order in itertools.permutations(range(square))
    )


@settings(max_examples=40, deadline=None)
@given(clusters=st.integers(1, 5), labels=st.integers(1, 5), seed=st.integers(0, 999))
def test_matching_is_the_best_there_is(clusters: int, labels: int, seed: int) -> None:
    counts = np.random.default_rng(seed).integers(0, 20, (clusters, labels))
    counts[0, 0] += 1
    scores = score(counts)
    assert scores.accuracy == pytest.approx(plain_best_match(counts) / counts.sum())
    assert 0 <= scores.mean_iou <= scores.accuracy + 1


def test_without_extra_clusters_it_is_golden() -> None:
    values = golden("unsupervised_metrics")
    matrix = ConfusionMatrix(5)
    for predicted, labels in zip(values["preds_extra0"], values["target_extra0"], strict=True):
        matrix.update(predicted.numpy().astype(np.uint8), labels.numpy())
    scores = score(matrix.counts)
    assert 100 * scores.accuracy == pytest.approx(values["accuracy_extra0"], abs=1e-4)
    assert 100 * scores.mean_iou == pytest.approx(values["miou_extra0"], abs=1e-4)


def test_unmatched_clusters_are_wrong_and_unmatched_labels_score_0() -> None:
    extra = score(np.array([[8, 0], [0, 8], [4, 0]]))
    assert extra.match == (0, 1, -1)
    assert extra.accuracy == pytest.approx(0.8)
    assert extra.iou == pytest.approx((8 / 12, 1.0))
    missing = score(np.array([[8, 2]]))
    assert missing.iou == pytest.approx((0.8, 0.0))


def test_void_counts_for_nothing_and_labels_may_come_late() -> None:
    matrix = ConfusionMatrix(2)
    matrix.update(np.array([[0, 1]], np.uint8), np.array([[255, -1]]))
    assert matrix.counts.sum() == 0
    matrix.update(np.array([[0, 1]], np.uint8), np.array([[0, 255]]))
    matrix.update(np.array([[0, 1]], np.uint8), np.array([[3, 0]]))
    assert matrix.counts.tolist() == [[1, 0, 0, 1], [1, 0, 0, 0]]
    with pytest.raises(ValueError, match="differ in shape"):
        matrix.update(np.zeros((1, 2), np.uint8), np.zeros((2, 1), np.int64))


def test_a_label_that_never_occurs_is_left_out_of_the_mean() -> None:
    scores = score(np.array([[5, 0, 0], [0, 0, 5]]))
    assert scores.mean_iou == 1
    assert np.isnan(scores.iou[1])


def test_no_labelled_pixel_is_an_error() -> None:
    with pytest.raises(ValueError, match="no labelled pixels"):
        score(np.zeros((2, 0), np.int64))

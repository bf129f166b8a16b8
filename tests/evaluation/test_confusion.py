"""Scores from one confusion matrix, against a plain form."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.helpers import golden

from segdistill.evaluation.confusion import (
    ConfusionMatrix,
    Scores,
    score,
    score_as_released,
    score_best_class,
    score_many_to_one,
)


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


def golden_counts(extra: int) -> np.ndarray:
    values = golden("unsupervised_metrics")
    matrix = ConfusionMatrix(5 + extra)
    pairs = zip(values[f"preds_extra{extra}"], values[f"target_extra{extra}"], strict=True)
    for predicted, labels in pairs:
        matrix.update(predicted.numpy().astype(np.uint8), labels.numpy())
    return matrix.counts


def test_without_extra_clusters_both_ways_are_golden() -> None:
    values, counts = golden("unsupervised_metrics"), golden_counts(0)
    np.testing.assert_array_equal(counts, values["stats_extra0"].numpy())
    for scores in (score(counts), score_as_released(counts)):
        assert 100 * scores.accuracy == pytest.approx(values["accuracy_extra0"], abs=1e-4)
        assert 100 * scores.mean_iou == pytest.approx(values["miou_extra0"], abs=1e-4)
        assert scores.match == tuple(values["assign_cols_extra0"].tolist())


def test_with_extra_clusters_the_released_way_is_golden() -> None:
    values, counts = golden("unsupervised_metrics"), golden_counts(2)
    # The released code counts nothing of the clusters beyond the classes.
    np.testing.assert_array_equal(counts[:5], values["stats_extra2"].numpy()[:5])
    assert not values["stats_extra2"][5:].any()
    assert counts[5:].all()
    scores = score_as_released(counts)
    assert 100 * scores.accuracy == pytest.approx(values["accuracy_extra2"], abs=1e-4)
    assert 100 * scores.mean_iou == pytest.approx(values["miou_extra2"], abs=1e-4)
    assert scores.match == (*values["assign_cols_extra2"].tolist(), -1, -1)


def test_with_extra_clusters_unmatched_pixels_are_wrong() -> None:
    values, counts = golden("unsupervised_metrics"), golden_counts(2)
    pairs = list(zip(*(values[f"assign_{axis}_extra2"] for axis in ("rows", "cols")), strict=True))
    agreeing = {int(column): int(counts[row, column]) for row, column in pairs}
    predicted = {int(column): int(counts[row].sum()) for row, column in pairs}
    scores = score(counts)
    assert scores.match == (*values["assign_cols_extra2"].tolist(), -1, -1)
    assert scores.pixels == int((values["target_extra2"] >= 0).sum())
    assert scores.accuracy == pytest.approx(sum(agreeing.values()) / counts.sum())
    assert scores.iou == pytest.approx(
        [
            agreeing[label] / (predicted[label] + counts[:, label].sum() - agreeing[label])
            for label in range(5)
        ]
    )
    assert scores.accuracy < score_as_released(counts).accuracy
    assert scores.mean_iou < score_as_released(counts).mean_iou


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


def test_a_label_that_never_occurs_is_matched_to_nothing() -> None:
    scores = score(np.array([[5, 0, 0], [0, 0, 5], [0, 0, 1]]))
    assert scores.match == (0, 2, -1)
    assert scores.predictions == (0, None, 1)
    assert np.isnan(scores.iou[1])
    assert scores.mean_iou == pytest.approx((1 + 5 / 6) / 2)


def test_a_linear_probe_is_taken_at_its_word() -> None:
    counts = np.array([[1, 4, 0], [3, 1, 0], [1, 0, 0], [1, 0, 0]])
    scores = score(counts, matched=True)
    assert scores.match == (0, 1, 2, -1)
    assert scores.accuracy == pytest.approx(2 / 11)
    # Predicting a class that does not occur is a mistake.
    assert scores.iou == pytest.approx((1 / 10, 1 / 8, 0.0))


@pytest.mark.parametrize("way", [score, score_as_released])
def test_no_labelled_pixel_is_an_error(way: Callable[[np.ndarray], Scores]) -> None:
    with pytest.raises(ValueError, match="no labelled pixels"):
        way(np.zeros((2, 0), np.int64))


@settings(max_examples=30, deadline=None)
@given(order=st.permutations(range(6)), seed=st.integers(0, 999))
def test_the_numbering_of_clusters_does_not_matter(order: list[int], seed: int) -> None:
    counts = np.random.default_rng(seed).integers(0, 1000, (6, 4))
    counts[:4] += 2000 * np.eye(4, dtype=np.int64)
    one, other = score(counts), score(counts[order])
    assert other.accuracy == one.accuracy
    assert other.iou == pytest.approx(one.iou)
    assert [other.match[order.index(cluster)] for cluster in range(6)] == list(one.match)


def test_many_to_one_scores_are_chosen_on_one_half_and_scored_on_the_other() -> None:
    # Clusters 0 and 2 are of class 0; cluster 3 is in the second half only.
    one = np.array([[6, 2], [1, 7], [4, 0], [0, 0]])
    other = np.array([[5, 1], [0, 8], [3, 3], [1, 1]])
    found = score_many_to_one(one, other)
    assert found is not None
    # Chosen on the first half: 0, 1, 0, none; on the second: 0, 1, 0 (a tie), 0 (a tie).
    first = (5 + 8 + 3) / 22, ((5 + 3) / (9 + 4) + 8 / 13) / 2
    second = (6 + 7 + 4) / 20, (10 / (11 + 2) + 7 / (9 + 1)) / 2
    assert found.accuracy == pytest.approx((first[0] + second[0]) / 2)
    assert found.mean_iou == pytest.approx((first[1] + second[1]) / 2)
    assert score_many_to_one(other, one) == found


def test_many_to_one_scores_need_labels_in_both_halves() -> None:
    counts = np.array([[6, 2], [1, 7], [4, 0]])
    assert score_many_to_one(counts, np.zeros((3, 0), np.int64)) is None
    same = score_many_to_one(counts, counts)
    assert same is not None
    assert same.accuracy == score_best_class(counts).accuracy

"""Arranging a confusion matrix for display."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segdistill.evaluation.confusion import score
from segdistill.evaluation.confusion_table import confusion_table


def test_columns_follow_the_rows_and_the_unmatched_come_last() -> None:
    counts = np.array([[0, 9, 0], [1, 1, 0], [8, 0, 2]])
    table = confusion_table(counts, (1, -1, 0), ("sky", "sea", "sand"), ("a", "b", "c"))
    assert table.rows == ("sky", "sea", "sand")
    assert table.columns == ("c", "a", "b")
    assert table.matched == (0, 1, None)
    assert table.counts.tolist() == [[8, 0, 1], [0, 9, 1], [2, 0, 0]]
    assert table.headings == ("c → sky", "a → sea", "b, unmatched")


def test_predictions_that_are_label_classes_are_named_once() -> None:
    table = confusion_table(np.eye(2, dtype=np.int64), (0, 1), ("sky", "sea"), ("sky", "sea"))
    assert table.headings == ("sky", "sea")


def test_names_must_be_as_many_as_counts() -> None:
    with pytest.raises(ValueError, match="1 predictions and 2 labels"):
        confusion_table(np.ones((2, 2), np.int64), (0, 1), ("a", "b"), ("x",))


@settings(max_examples=30, deadline=None)
@given(clusters=st.integers(1, 6), labels=st.integers(1, 6), seed=st.integers(0, 999))
def test_nothing_is_lost(clusters: int, labels: int, seed: int) -> None:
    counts = np.random.default_rng(seed).integers(0, 5, (clusters, labels))
    counts[0, 0] += 1
    scores = score(counts)
    names = [str(number) for number in range(clusters)]
    table = confusion_table(counts, scores.match, ["label"] * labels, names)
    back = counts[[int(name) for name in table.columns]]
    np.testing.assert_array_equal(table.counts, back.T)
    agreeing = sum(
        int(table.counts[row, column])
        for row, column in enumerate(table.matched)
        if column is not None
    )
    assert agreeing == round(scores.accuracy * counts.sum())
    shares = table.shares
    occurs = counts.sum(axis=0) > 0
    np.testing.assert_allclose(shares[occurs].sum(axis=1), 1)
    assert np.isnan(shares[~occurs]).all()


def test_the_matching_must_be_as_long_as_the_counts() -> None:
    with pytest.raises(ValueError, match=r"^2 predictions and 2 labels for counts \(2, 2\)$"):
        confusion_table(np.ones((2, 2), np.int64), (0,), ("a", "b"), ("x", "y"))
    with pytest.raises(ValueError, match=r"^2 predictions and 1 labels for counts \(2, 2\)$"):
        confusion_table(np.ones((2, 2), np.int64), (0, 1), ("a",), ("x", "y"))

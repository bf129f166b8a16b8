"""Precision and recall over pairs, against a plain form that sorts all scores."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from segdistill.evaluation.precision_recall import PairHistogram

quick = settings(max_examples=60, deadline=None)
seeds = st.integers(0, 2**16)
counts = st.integers(1, 300)


def plain_average_precision(scores: NDArray[np.floating], same: NDArray[np.bool_]) -> float:
    """The mean, over positive pairs, of the precision among all pairs that score as high."""
    precisions = [same[scores >= score].mean() for score in scores[same]]
    return float(np.mean(precisions))


def drawn_pairs(seed: int, count: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Scores in -1..1 that say something of the labels; at least one pair is positive."""
    random = np.random.default_rng(seed)
    same = random.random(count) < 0.4
    same[0] = True
    return (random.normal(0.3 * same, 0.3)).clip(-1, 1), same


def histogram_of(
    scores: NDArray[np.floating], same: NDArray[np.bool_], *, bins: int = 4096
) -> PairHistogram:
    histogram = PairHistogram(bins=bins)
    histogram.add(scores, same)
    return histogram


@quick
@given(seed=seeds, count=counts, bins=st.integers(1, 64))
def test_it_is_what_sorting_the_binned_scores_gives(seed: int, count: int, bins: int) -> None:
    scores, same = drawn_pairs(seed, count)
    curve = histogram_of(scores, same, bins=bins).curve("drawn")
    binned = np.floor((scores + 1) * bins / 2).clip(max=bins - 1)
    assert curve.average_precision == pytest.approx(plain_average_precision(binned, same))
    assert curve.pairs == count
    assert curve.positives == same.sum()
    assert len(curve.recall) == len(np.unique(binned))


@quick
@given(seed=seeds, count=counts, bins=st.integers(1, 512))
def test_bins_cost_no_more_than_is_documented(seed: int, count: int, bins: int) -> None:
    scores, same = drawn_pairs(seed, count)
    histogram = histogram_of(scores, same, bins=bins)
    in_bin = histogram.counts.sum(axis=0)
    reached = in_bin[::-1].cumsum()[::-1].clip(min=1)
    bound = (in_bin / reached * histogram.counts[1]).sum() / same.sum()
    exact = plain_average_precision(scores, same)
    assert abs(histogram.curve("drawn").average_precision - exact) <= bound + 1e-12


def test_bins_cost_little_with_many_pairs() -> None:
    scores, same = drawn_pairs(0, 20_000)
    curve = histogram_of(scores, same).curve("drawn")
    assert curve.average_precision == pytest.approx(plain_average_precision(scores, same), abs=5e-4)


@quick
@given(seed=seeds, count=counts)
def test_curves_run_from_few_pairs_to_all(seed: int, count: int) -> None:
    scores, same = drawn_pairs(seed, count)
    curve = histogram_of(scores, same).curve("drawn")
    assert 0 <= curve.average_precision <= 1
    assert ((curve.precision >= 0) & (curve.precision <= 1)).all()
    assert (np.diff(curve.recall) >= 0).all()
    assert curve.recall[-1] == 1
    assert curve.precision[-1] == pytest.approx(curve.positive_share)


@quick
@given(seed=seeds, count=st.integers(2, 300))
def test_a_threshold_that_parts_them_is_perfect(seed: int, count: int) -> None:
    _, same = drawn_pairs(seed, count)
    scores = np.random.default_rng(seed).uniform(0.1, 0.9, count) * np.where(same, 1, -1)
    assert histogram_of(scores, same).curve("drawn").average_precision == 1


@quick
@given(seed=seeds, count=counts, score=st.floats(-1, 1))
def test_one_score_for_all_gives_the_share_of_positives(
    seed: int, count: int, score: float
) -> None:
    _, same = drawn_pairs(seed, count)
    curve = histogram_of(np.full(count, score), same).curve("drawn")
    assert curve.average_precision == pytest.approx(same.mean())


def test_chance_gives_about_the_share_of_positives() -> None:
    random = np.random.default_rng(0)
    same = random.random(200_000) < 0.3
    curve = histogram_of(random.uniform(-1, 1, same.size), same).curve("drawn")
    assert curve.average_precision == pytest.approx(curve.positive_share, abs=0.005)


@quick
@given(seed=seeds, count=counts, parts=st.integers(1, 5))
def test_parts_add_up(seed: int, count: int, parts: int) -> None:
    scores, same = drawn_pairs(seed, count)
    whole = histogram_of(scores, same)
    stepwise = PairHistogram()
    total = np.zeros_like(whole.counts)
    order = np.random.default_rng(seed).permutation(count)
    for part in np.array_split(order, parts):
        stepwise.add(scores[part], same[part])
        total += histogram_of(scores[part], same[part]).counts
    np.testing.assert_array_equal(stepwise.counts, whole.counts)
    np.testing.assert_array_equal(total, whole.counts)


def test_single_precision_and_any_shape_are_taken() -> None:
    scores, same = drawn_pairs(1, 60)
    flat = histogram_of(scores.astype(np.float32), same)
    shaped = histogram_of(scores.astype(np.float32).reshape(3, 4, 5), same.reshape(3, 4, 5))
    np.testing.assert_array_equal(flat.counts, shaped.counts)


def test_scores_beyond_the_range_count_in_the_outermost_bins() -> None:
    histogram = PairHistogram(-2.0, 0.0, bins=4)
    histogram.add(np.array([-9.0, -2.0, 0.0, 1e-7, np.inf]), np.ones(5, bool))
    assert histogram.counts.tolist() == [[0, 0, 0, 0], [2, 0, 0, 3]]


def test_what_cannot_be_counted_is_refused() -> None:
    histogram = PairHistogram()
    with pytest.raises(ValueError, match="differ in shape"):
        histogram.add(np.zeros(3), np.zeros(2, bool))
    with pytest.raises(ValueError, match="NaN"):
        histogram.add(np.array([np.nan]), np.zeros(1, bool))
    with pytest.raises(ValueError, match="need low < high"):
        PairHistogram(1.0, 1.0)
    histogram.add(np.zeros(2), np.zeros(2, bool))
    with pytest.raises(ValueError, match="features: no two pixels share a label"):
        histogram.curve("features")

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segdistill.report.curves import (
    HEIGHT,
    MOST_BINS,
    WIDTH,
    agreement_curve,
    curves_of,
    draw_curve,
    extremes,
    round_ticks,
    smoothed,
)
from segdistill.training.loop import StepRecord


def points(text: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in (pair.split(",") for pair in text.split())]


def test_no_history_no_curves() -> None:
    assert curves_of([]) == []


def test_losses_that_are_no_numbers_are_left_out() -> None:
    history = [
        StepRecord(1, 3.0, math.nan, 1.0, 1.0, 1.0),
        StepRecord(2, math.inf, math.nan, 1.0, 1.0, 1.0),
        StepRecord(3, 2.0, math.nan, 1.0, 1.0, 1.0),
    ]
    curves = curves_of(history)
    assert [curve.title for curve in curves] == ["Total", "Neighbour", "Random", "Cluster probe"]
    assert [(entry.name, entry.value, entry.step) for entry in curves[0].entries] == [
        ("First", "3", 1),
        ("Lowest", "2", 3),
        ("Last", "2", 3),
    ]


def test_agreement_names_its_highest_value() -> None:
    assert agreement_curve([]) is None
    agreement_history = [{"step": 50, "agreement": 0.5}, {"step": 75, "agreement": 0.7}]
    curve = agreement_curve([*agreement_history, {"step": 100, "agreement": 0.6}])
    assert curve is not None
    assert [(entry.name, entry.value, entry.step) for entry in curve.entries] == [
        ("First", "0.5", 50),
        ("Highest", "0.7", 75),
        ("Last", "0.6", 100),
    ]


def test_one_step_is_a_dot() -> None:
    curve = curves_of([StepRecord(1, 1.0, 1.0, 1.0, 1.0, 1.0)])[0]
    assert curve.dot is not None
    assert curves_of([StepRecord(s, 1.0, 1.0, 1.0, 1.0, 1.0) for s in (1, 2)])[0].dot is None


@settings(deadline=None)
@given(
    st.lists(
        st.floats(-1e30, 1e30).filter(lambda value: value == 0 or abs(value) > 1e-30), min_size=1
    )
)
def test_curves_stay_inside_their_drawing(values: list[float]) -> None:
    steps = np.arange(1, len(values) + 1, dtype=np.float64)
    curve = draw_curve("loss", "", steps, np.array(values))
    for x, y in points(curve.raw) + points(curve.smooth):
        assert 0 <= x <= WIDTH
        assert 0 <= y <= HEIGHT
    for tick in curve.up:
        assert 0 <= tick.at <= HEIGHT
    for tick in curve.across:
        assert 0 <= tick.at <= WIDTH


def test_lower_values_are_drawn_lower() -> None:
    curve = draw_curve("loss", "", np.arange(1.0, 4.0), np.array([2.0, 1.0, 0.0]))
    (x_first, y_first), *_, (x_last, y_last) = points(curve.raw)
    assert x_first < x_last
    assert y_first < y_last


def test_long_histories_keep_their_peaks() -> None:
    values = np.zeros(100_000)
    values[77_777] = 5.0
    kept = extremes(values, MOST_BINS)
    assert len(kept) <= 2 * MOST_BINS
    assert 77_777 in kept
    assert (np.diff(kept) > 0).all()


def test_smoothing_leaves_a_constant_and_calms_noise() -> None:
    assert smoothed(np.full(7, 2.5)).tolist() == [2.5] * 7
    noise = np.random.default_rng(0).normal(size=400)
    assert smoothed(noise).std() < 0.3 * noise.std()


@settings(deadline=None)
@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6), st.integers(2, 8))
def test_ticks_lie_between_the_bounds(low: float, spread: float, about: int) -> None:
    ticks = round_ticks(low, low + spread, about)
    assert 1 <= len(ticks) <= about + 1
    assert min(ticks) >= low - spread * 1e-6
    assert max(ticks) <= low + spread * (1 + 1e-6)
    assert ticks == pytest.approx(sorted(set(ticks)))


def test_optional_parts_are_shown_where_they_are_used() -> None:
    history = [StepRecord(step, 1.0, 1.0, 1.0, 1.0, 1.0, depth=-0.1 * step) for step in (1, 2)]
    assert [curve.title for curve in curves_of(history)][5:] == ["Depth"]

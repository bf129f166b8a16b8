"""Curves of a training, of numbers of classes, and of precision over recall."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segdistill.evaluation.precision_recall import PrecisionRecall
from segdistill.figures.curves import (
    Curve,
    agreement_curve,
    class_count_figure,
    curve_figure,
    loss_curves,
    recall_figure,
    series_style,
    smoothed,
    training_figure,
)
from segdistill.figures.style import SERIES, inline_svg, paper_style
from segdistill.runs.facts import AgreementRecord
from segdistill.runs.history import StepRecord


def records(count: int, **more: Any) -> list[StepRecord]:
    return [StepRecord(step, 1 / step, 0.2, 0.1, 0.3, -0.5, **more) for step in range(1, count + 1)]


def recall_curve(recall: np.ndarray, precision: np.ndarray) -> PrecisionRecall:
    return PrecisionRecall("codes", recall, precision, 0.5, 10, 5)


def test_no_history_no_curves() -> None:
    assert loss_curves([]) == []
    assert agreement_curve([]) is None


def test_losses_that_are_not_finite_are_left_out() -> None:
    history = [
        StepRecord(1, 3.0, math.nan, 1.0, 1.0, 1.0),
        StepRecord(2, math.inf, math.nan, 1.0, 1.0, 1.0),
        StepRecord(3, 2.0, math.nan, 1.0, 1.0, 1.0),
    ]
    curves = loss_curves(history)
    assert [curve.title for curve in curves] == ["Total", "Neighbour", "Random", "Cluster probe"]
    assert curves[0].entries == [("First", 3.0, 1), ("Lowest", 2.0, 3), ("Last", 2.0, 3)]


def test_optional_losses_are_shown_where_they_are_used() -> None:
    curves = loss_curves(records(2, depth=-0.1, linear_accuracy=0.5))
    assert [curve.title for curve in curves][5:] == ["Depth", "Linear probe"]


def test_agreement_names_its_highest_value() -> None:
    history = [AgreementRecord(50, 0.5), AgreementRecord(75, 0.7), AgreementRecord(100, 0.6)]
    curve = agreement_curve(history)
    assert curve is not None
    assert curve.entries == [("First", 0.5, 50), ("Highest", 0.7, 75), ("Last", 0.6, 100)]
    dot = curve_figure(curve).axes[0].lines[-1]
    np.testing.assert_array_equal(dot.get_xydata(), [[75, 0.7]])


def test_smoothing_keeps_a_constant_and_calms_noise() -> None:
    assert smoothed(np.full(7, 2.5)).tolist() == [2.5] * 7
    noise = np.random.default_rng(0).normal(size=400)
    assert smoothed(noise).std() < 0.3 * noise.std()


def test_a_training_shows_the_losses_of_the_head_and_the_agreement() -> None:
    agreement = agreement_curve([AgreementRecord(50, 0.5), AgreementRecord(75, 0.7)])
    losses = loss_curves(records(80, depth=0.5, linear_accuracy=0.5))
    with paper_style():
        left, right = training_figure(losses, agreement, 75).axes
        np.testing.assert_array_equal(right.lines[0].get_xydata(), [[50, 0.5], [75, 0.7]])
        assert [text.get_text() for text in right.texts] == ["kept"]
        totals = np.array(left.lines[0].get_xydata())
        np.testing.assert_allclose(totals[:, 1], 1 / totals[:, 0])
        assert left.get_xlim() == right.get_xlim() == (0, 80)
        legend = left.get_legend()
        assert legend is not None
        titles = [text.get_text() for text in legend.get_texts()]
        assert titles == ["Total", "Self", "Neighbour", "Random", "Depth"]
        assert len(training_figure(loss_curves(records(1))).axes) == 1


@settings(deadline=None, max_examples=20)
@given(
    st.lists(
        st.floats(-1e30, 1e30).filter(lambda value: value == 0 or abs(value) > 1e-30), min_size=1
    )
)
def test_any_values_can_be_drawn(values: list[float]) -> None:
    steps = np.arange(1, len(values) + 1, dtype=np.float64)
    with paper_style():
        svg = inline_svg(curve_figure(Curve("loss", "", steps, np.array(values))), "a", "")
    assert "nan" not in svg
    assert "inf" not in svg


def test_long_histories_keep_their_peaks_and_small_files() -> None:
    steps, values = np.arange(1.0, 60_001), np.random.default_rng(0).normal(size=60_000)
    values[777] = 50.0
    with paper_style():
        figure = curve_figure(Curve("loss", "", steps, values))
        svg = inline_svg(figure, "a", "")
    assert figure.axes[0].get_ylim()[1] > 50
    assert len(svg) < 70_000


def test_candidate_numbers_of_classes_stay_inside() -> None:
    numbers, agreement, separation = [3, 6, 7, 22], [0.95, 0.9, 0.5, -0.1], [0.7, 0.6, 0.65, 0.61]
    axes = class_count_figure(numbers, agreement, separation, 6).axes[0]
    assert (axes.get_xlim(), axes.get_ylim()) == ((3, 22), (0, 1))
    np.testing.assert_array_equal(axes.lines[1].get_ydata(), [0.95, 0.9, 0.5, 0])
    np.testing.assert_array_equal(axes.lines[2].get_xydata(), [[6, 0.9]])
    assert len(class_count_figure(numbers, agreement, separation, 8).axes[0].lines) == 2
    assert len(class_count_figure([5], [0.5], [0.5], 5).axes[0].lines) == 3


def test_undefined_points_of_recall_are_left_out() -> None:
    curve = recall_curve(np.array([0.0, np.nan, 1.0]), np.array([1.0, 1.0, 0.5]))
    (line,) = recall_figure([curve]).axes[0].lines
    np.testing.assert_array_equal(line.get_xydata(), [[0, 1], [1, 0.5]])
    (line,) = recall_figure([recall_curve(np.array([]), np.array([]))]).axes[0].lines
    assert len(np.asarray(line.get_xydata())) == 0


def test_recall_and_precision_must_agree_in_length() -> None:
    with pytest.raises(ValueError, match="broadcast"):
        recall_figure([recall_curve(np.zeros(2), np.zeros(3))])


def test_further_series_repeat_colours_with_dashes() -> None:
    styles = [series_style(number) for number in range(2 * len(SERIES))]
    assert len(set(styles)) == len(styles)
    assert styles[len(SERIES)][0] == styles[0][0]

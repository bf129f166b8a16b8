"""Precision over recall as points of a drawing."""

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from segdistill.report.recall_curves import (
    COLOURS,
    HEIGHT,
    MOST_POINTS,
    WIDTH,
    draw,
    points_of,
    x_of,
    y_of,
)


@dataclass(frozen=True)
class Curve:
    name: str
    recall: NDArray[np.float64]
    precision: NDArray[np.float64]
    average_precision: float


def test_points_lie_where_they_should() -> None:
    points = points_of(np.array([0.0, 0.5, 1.0]), np.array([1.0, 0.25, 0.0])).split()
    assert points[0] == f"{x_of(0.0)},{y_of(1.0)}"
    assert points[-1] == f"{x_of(1.0)},{y_of(0.0)}"
    locations = np.array([[float(value) for value in point.split(",")] for point in points])
    assert (locations >= 0).all()
    assert (locations[:, 0] <= WIDTH).all()
    assert (locations[:, 1] <= HEIGHT).all()


def test_many_points_are_thinned_and_the_ends_stay() -> None:
    recall = np.linspace(0, 1, 100_000)
    points = points_of(recall, 1 - recall).split()
    assert len(points) == MOST_POINTS
    assert points[0] == f"{x_of(0.0)},{y_of(1.0)}"
    assert points[-1] == f"{x_of(1.0)},{y_of(0.0)}"


def test_undefined_points_are_left_out() -> None:
    assert points_of(np.array([0.0, np.nan]), np.array([np.nan, 1.0])) == ""
    assert points_of(np.array([]), np.array([])) == ""


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="no curve"):
        points_of(np.zeros(2), np.zeros(3))


def test_further_curves_are_dashed() -> None:
    ends = np.array([0.0, 1.0])
    drawn = draw([Curve(str(number), ends, ends, 0.5) for number in range(COLOURS + 1)])
    assert [curve.dashed for curve in drawn] == [False] * COLOURS + [True]
    assert drawn[-1].colour == 0
    assert drawn[-1].average_precision == 0.5

"""Precision over recall as points of an SVG drawing, whose colours the style sheet chooses."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from segdistill.report.curves import Tick, tick_labels

WIDTH, HEIGHT = 420, 300
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 10, 44
MOST_POINTS = 240
COLOURS = 6
"""Colours that the style sheet has for curves; further curves repeat them with dashes."""


class PrecisionRecallCurve(Protocol):
    """What a page needs to know of a curve.

    Attributes:
        name: short.
        recall: 0..1, shape (points,).
        precision: 0..1, shape (points,).
        average_precision: 0..1; NaN where it is not defined.
    """

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def recall(self) -> NDArray[np.float64]: ...  # noqa: D102

    @property
    def precision(self) -> NDArray[np.float64]: ...  # noqa: D102

    @property
    def average_precision(self) -> float: ...  # noqa: D102


@dataclass(frozen=True)
class DrawnCurve:
    """A curve ready to be drawn.

    Attributes:
        name: short.
        points: as SVG wants them; empty where no point is finite.
        colour: number of its colour, from 0.
        dashed: whether its colour is another curve's, too.
        average_precision: 0..1; NaN where it is not defined.
    """

    name: str
    points: str
    colour: int
    dashed: bool
    average_precision: float


def x_of(recall: float) -> float:
    """Return where a recall from 0 to 1 lies in the drawing."""
    return round(LEFT + recall * (WIDTH - LEFT - RIGHT), 1)


def y_of(precision: float) -> float:
    """Return where a precision from 0 to 1 lies in the drawing."""
    return round(TOP + (1 - precision) * (HEIGHT - TOP - BOTTOM), 1)


def ticks_of(positions: Sequence[float]) -> list[Tick]:
    """Return the marks at every fifth of an axis, given where they lie.

    Example:
        >>> [tick.label for tick in ticks_of([0, 1, 2, 3, 4, 5])]
        ['0.0', '0.2', '0.4', '0.6', '0.8', '1.0']
    """
    return list(map(Tick, positions, tick_labels([number / 5 for number in range(6)])))


def across() -> list[Tick]:
    """Return the marks on the axis of recall."""
    return ticks_of([x_of(number / 5) for number in range(6)])


def up() -> list[Tick]:
    """Return the marks on the axis of precision."""
    return ticks_of([y_of(number / 5) for number in range(6)])


def draw(curves: Sequence[PrecisionRecallCurve]) -> list[DrawnCurve]:
    """Place curves in the drawing.

    Args:
        curves: in the order of the legend.

    Raises:
        ValueError: a curve's recall and precision differ in length.
    """
    return [
        DrawnCurve(
            name=curve.name,
            points=points_of(curve.recall, curve.precision),
            colour=number % COLOURS,
            dashed=number >= COLOURS,
            average_precision=float(curve.average_precision),
        )
        for number, curve in enumerate(curves)
    ]


def points_of(recall: NDArray[np.float64], precision: NDArray[np.float64]) -> str:
    """Return the points of a curve as SVG wants them, thinned where there are very many.

    Args:
        recall: 0..1, shape (points,).
        precision: 0..1, shape (points,).

    Raises:
        ValueError: the lengths differ.

    Example:
        >>> points_of(np.array([0.0, 1.0]), np.array([1.0, 0.5]))
        '52.0,10.0 408.0,133.0'
    """
    if recall.shape != precision.shape or recall.ndim != 1:
        raise ValueError(f"recall {recall.shape} and precision {precision.shape} are no curve")
    finite = np.flatnonzero(np.isfinite(recall) & np.isfinite(precision))
    if len(finite) > MOST_POINTS:
        finite = finite[np.linspace(0, len(finite) - 1, MOST_POINTS).astype(np.intp)]
    return " ".join(f"{x_of(recall[i])},{y_of(precision[i])}" for i in finite)


def in_words(average_precision: float) -> str:
    """Write an average precision for display.

    Example:
        >>> in_words(0.4567), in_words(float("nan"))
        ('0.457', '–')
    """
    return "–" if math.isnan(average_precision) else f"{average_precision:.3f}"

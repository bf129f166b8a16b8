"""Loss curves as points of a small SVG drawing, whose colours the page's style sheet chooses."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segdistill.report.text import number
from segdistill.training.loop import StepRecord

WIDTH, HEIGHT = 360, 200
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 10, 28
MOST_BINS = 240
SMOOTHED_SHARE = 0.05


@dataclass(frozen=True)
class Kind:
    """One of the losses that a report draws.

    Attributes:
        title: short.
        meaning: one sentence for display.
        read: takes the loss out of a record.
    """

    title: str
    meaning: str
    read: Callable[[StepRecord], float]


KINDS = (
    Kind("Total", "The weighted sum of the losses that train the head.", lambda r: r.total),
    Kind("Self", "Pairs of locations within one image.", lambda r: r.self_pairs),
    Kind(
        "Neighbour",
        "Pairs of locations in an image and in one of its nearest neighbours.",
        lambda r: r.neighbour_pairs,
    ),
    Kind(
        "Random", "Pairs of locations in an image and in random others.", lambda r: r.random_pairs
    ),
    Kind(
        "Cluster probe",
        "How far codes are from the nearest cluster centre; −1 is closest.",
        lambda r: r.clusters,
    ),
)
# Shown only where a fit has them: a record holds 0 in each step where a part is left out.
OPTIONAL_KINDS = (
    Kind("Depth", "Pairs of locations within one image, by depth.", lambda r: r.depth),
    Kind(
        "Hidden positives",
        "The losses of the second head, on averaged codes.",
        lambda r: r.hidden_positives,
    ),
    Kind(
        "Reconstruction",
        "How well features can be reconstructed from codes; −1 is best.",
        lambda r: r.reconstruction,
    ),
    Kind("Contrastive CRF", "Codes against the image's edges.", lambda r: r.contrastive_crf),
    Kind(
        "Alignment",
        "Codes of an image against those of its augmented copy; −1 is alike.",
        lambda r: r.alignment,
    ),
    Kind(
        "Linear probe",
        "Accuracy of the linear probe on labelled locations.",
        lambda r: r.linear_accuracy,
    ),
)


@dataclass(frozen=True)
class Tick:
    """A mark on an axis: where it lies in the drawing, and what it says."""

    at: float
    label: str


@dataclass(frozen=True)
class Entry:
    """A value of a curve that is worth naming, and the step at which it was met."""

    name: str
    value: str
    step: int


@dataclass(frozen=True)
class Curve:
    """A loss over the steps, ready to be drawn.

    Attributes:
        title: short.
        meaning: one sentence for display.
        raw: points of the loss of single steps, as SVG wants them.
        smooth: points of the running mean.
        dot: the only point, where there is a single step.
        best: the highest point of a curve that should rise; ``None`` for losses.
        across: marks on the axis of steps.
        up: marks on the axis of values.
        entries: first value, lowest (or highest, of what is to rise) and last.
    """

    title: str
    meaning: str
    raw: str
    smooth: str
    dot: tuple[float, float] | None
    best: tuple[float, float] | None
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]
    entries: tuple[Entry, ...]


def curves_of(history: Sequence[StepRecord]) -> list[Curve]:
    """Return a curve for each loss that has a finite value; optional ones where they are used."""
    used = [kind for kind in OPTIONAL_KINDS if any(kind.read(record) != 0 for record in history)]
    curves = []
    for kind in (*KINDS, *used):
        pairs = [(record.step, kind.read(record)) for record in history]
        finite = [(step, value) for step, value in pairs if math.isfinite(value)]
        if finite:
            steps, values = (np.array(column, np.float64) for column in zip(*finite, strict=True))
            curves.append(draw_curve(kind.title, kind.meaning, steps, values))
    return curves


def agreement_curve(agreement_history: Sequence[Mapping[str, float]]) -> Curve | None:
    """Return the curve by which a training stopped early.

    Args:
        agreement_history: of a fit, each with ``step`` and ``agreement``; see
            :mod:`segdistill.training.early_stopping`.

    Returns:
        The curve, or ``None`` without a history.
    """
    if not agreement_history:
        return None
    return draw_curve(
        "Agreement",
        "How well clusters of codes keep locations with similar features together: 1 is always,"
        " 0 is chance.",
        np.array([record["step"] for record in agreement_history], np.float64),
        np.array([record["agreement"] for record in agreement_history], np.float64),
        rising=True,
    )


def draw_curve(
    title: str,
    meaning: str,
    steps: NDArray[np.float64],
    values: NDArray[np.float64],
    *,
    rising: bool = False,
) -> Curve:
    """Place a curve in the drawing.

    Args:
        title: short.
        meaning: one sentence for display.
        steps: rising, shape (records,), at least one.
        values: finite, shape (records,).
        rising: whether higher is better, as for agreement; for losses lower is.
    """
    low, high = _padded(float(values.min()), float(values.max()))
    first, last = float(steps[0]), float(max(steps[-1], steps[0] + 1))

    def x_of(step: float) -> float:
        return round(LEFT + (step - first) / (last - first) * (WIDTH - LEFT - RIGHT), 1)

    def y_of(value: float) -> float:
        return round(TOP + (high - value) / (high - low) * (HEIGHT - TOP - BOTTOM), 1)

    def points(shown: NDArray[np.intp], heights: NDArray[np.float64]) -> str:
        return " ".join(f"{x_of(steps[i])},{y_of(heights[i])}" for i in shown)

    mean = smoothed(values)
    best = ("Highest", int(values.argmax())) if rising else ("Lowest", int(values.argmin()))
    named = (("First", 0), best, ("Last", len(values) - 1))
    peak = best[1]
    step_ticks = [tick for tick in round_ticks(first, last, 4) if tick == int(tick)]
    value_ticks = round_ticks(low, high, 5)
    return Curve(
        title=title,
        meaning=meaning,
        raw=points(extremes(values, MOST_BINS), values),
        smooth=points(np.unique(np.linspace(0, len(values) - 1, MOST_BINS).astype(np.intp)), mean),
        dot=(x_of(steps[0]), y_of(values[0])) if len(values) == 1 else None,
        best=(x_of(steps[peak]), y_of(values[peak])) if rising else None,
        across=tuple(Tick(x_of(tick), f"{tick:.0f}") for tick in step_ticks),
        up=tuple(map(Tick, map(y_of, value_ticks), tick_labels(value_ticks))),
        entries=tuple(Entry(name, number(values[i]), int(steps[i])) for name, i in named),
    )


def smoothed(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of each value and those around it, of which there are fewer at the ends.

    Args:
        values: shape (records,), at least one.

    Example:
        >>> smoothed(np.arange(20.0))[[0, 10, 19]].tolist()
        [0.5, 10.0, 18.5]
    """
    reach = int(len(values) * SMOOTHED_SHARE)
    sums = np.concatenate([[0.0], values.cumsum()])
    at = np.arange(len(values))
    first, end = np.maximum(at - reach, 0), np.minimum(at + reach + 1, len(values))
    means: NDArray[np.float64] = (sums[end] - sums[first]) / (end - first)
    return means


def extremes(values: NDArray[np.float64], bins: int) -> NDArray[np.intp]:
    """Return the indices of the lowest and highest value of each bin, so that no peak is lost.

    Args:
        values: shape (records,).
        bins: the most parts into which the values are cut.

    Example:
        >>> extremes(np.array([1.0, 9.0, 1.0, 1.0, -5.0, 1.0]), 1).tolist()
        [1, 4]
    """
    if len(values) <= 2 * bins:
        return np.arange(len(values))
    kept = [
        start + extreme
        for start, part in zip(
            np.cumsum([0, *map(len, np.array_split(values, bins))]),
            np.array_split(values, bins),
            strict=False,
        )
        for extreme in (int(part.argmin()), int(part.argmax()))
    ]
    return np.unique(kept)


def round_ticks(low: float, high: float, about: int) -> list[float]:
    """Return round numbers between two bounds.

    Args:
        low: lower bound.
        high: upper bound, above ``low``.
        about: how many are wanted; there may be a few more or fewer.

    Example:
        >>> round_ticks(1.0, 120.0, 4)
        [40.0, 80.0, 120.0]
    """
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    distance = next(m * power for m in (1, 2, 2.5, 4, 5, 10) if m * power >= rough * 0.999)
    first, last = math.ceil(low / distance - 1e-9), math.floor(high / distance + 1e-9)
    return [round(count * distance, 12) for count in range(first, last + 1)]


def tick_labels(ticks: Sequence[float]) -> list[str]:
    """Write ticks with as many decimals as they need, the same number for all.

    Example:
        >>> tick_labels([-0.5, 0.0, 0.25])
        ['−0.50', '0.00', '0.25']
        >>> tick_labels([2e-9, 4e-9])
        ['2e−09', '4e−09']
    """
    largest = max(map(abs, ticks), default=0.0)
    for decimals in range(5):
        if all(abs(round(tick, decimals) - tick) < largest * 1e-6 for tick in ticks):
            return [f"{tick:.{decimals}f}".replace("-", "−") for tick in ticks]
    return [number(tick) for tick in ticks]


def _padded(low: float, high: float) -> tuple[float, float]:
    # A loss that never changes still needs an axis with some height.
    margin = (high - low) * 0.05 or max(abs(high) * 0.05, 1e-3)
    return low - margin, high + margin

"""Curves: losses and agreement of a training, numbers of classes, precision over recall."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from segdistill.evaluation.precision_recall import PrecisionRecall
from segdistill.figures.style import (
    BLACK,
    BLUE,
    COLUMN_WIDTH,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SERIES,
    SKY_BLUE,
    SMALL,
    TEXT_WIDTH,
    VERMILION,
    add_axes,
    new_figure,
)
from segdistill.runs.facts import AgreementRecord
from segdistill.runs.history import StepRecord

SMOOTHED_SHARE = 0.05
HEIGHT = 1.55
LEFT, RIGHT, BOTTOM, TOP = 0.5, 0.1, 0.32, 0.08
KEY_LINE = 0.13
KEY_COLUMNS = 4
PAGE_SIZE = (2.6, 1.5)
"""Width and height in inches of a chart that a page scales to its column."""

LINES = (
    (BLACK, "-"),
    (BLUE, "-"),
    (VERMILION, (0, (5, 1.5))),
    (GREEN, (0, (1.2, 1.2))),
    (PURPLE, (0, (5, 1.5, 1.2, 1.5))),
    (ORANGE, "-"),
    (SKY_BLUE, (0, (5, 1.5))),
    (ORANGE, (0, (1.2, 1.2))),
    (SKY_BLUE, (0, (5, 1.5, 1.2, 1.5))),
)
"""Colour and dashes, so that losses also differ in greyscale."""


@dataclass(frozen=True)
class Curve:
    """A value over the training steps.

    Attributes:
        title: short.
        meaning: one sentence for display.
        steps: rising, shape (records,), at least one.
        values: finite, shape (records,).
        rising: whether higher values are better.
    """

    title: str
    meaning: str
    steps: NDArray[np.float64]
    values: NDArray[np.float64]
    rising: bool = False

    @property
    def entries(self) -> list[tuple[str, float, int]]:
        """Name, value and step of the first, the best and the last value."""
        name, best = ("Highest", np.argmax) if self.rising else ("Lowest", np.argmin)
        named = (("First", 0), (name, int(best(self.values))), ("Last", len(self.values) - 1))
        return [(each, float(self.values[i]), int(self.steps[i])) for each, i in named]


LOSSES = {
    "total": ("Total", "The weighted sum of the losses that train the head."),
    "self_pairs": ("Self", "Pairs of locations within one image."),
    "neighbour_pairs": (
        "Neighbour",
        "Pairs of locations in an image and in one of its nearest neighbours.",
    ),
    "random_pairs": ("Random", "Pairs of locations in an image and in random others."),
    "clusters": (
        "Cluster probe",
        "How far codes are from the nearest cluster centre; −1 is closest.",
    ),
    "depth": ("Depth", "Pairs of locations within one image, by depth."),
    "hidden_positives": (
        "Hidden positives",
        "The losses of the second head, on averaged codes.",
    ),
    "reconstruction": (
        "Reconstruction",
        "How well features can be reconstructed from codes; −1 is best.",
    ),
    "contrastive_crf": ("Contrastive CRF", "Codes against the edges of the image."),
    "alignment": (
        "Alignment",
        "Codes of an image against those of its augmented copy; −1 is identical.",
    ),
    "linear_accuracy": ("Linear probe", "Accuracy of the linear probe on labelled locations."),
}
"""Title and meaning of each loss of a step; losses that are 0 in every step are not used."""

OBJECTIVE_LOSSES = {
    "smoothness_within": (
        "Smoothness within",
        "Classes that differ where features of an image are close.",
    ),
    "smoothness_across": (
        "Smoothness across",
        "Classes that differ where features of two images are close.",
    ),
    "data": ("Data", "How badly prototypes explain the teacher's classes."),
    "objects_intra": ("Objects", "Codes against those of the other objects of the image."),
    "objects_inter": ("Objects across", "Codes against the objects of a neighbour."),
    "mask_classes": ("Mask classes", "Codes against the classes that the teacher gave to masks."),
    "mask_coverage": ("Mask coverage", "Share of locations that are in a mask."),
    "hidden_positives_global": (
        "Global positives",
        "Codes against those of hidden positives in other images.",
    ),
    "hidden_positives_local": (
        "Local positives",
        "The same for codes that are averaged with adjacent ones.",
    ),
    "share_agnostic": (
        "Task-agnostic positives",
        "Share of pairs that are positives by their features.",
    ),
    "share_specific": (
        "Task-specific positives",
        "Share of pairs that are positives by their codes.",
    ),
    "concepts": ("Concepts", "Codes against the bank's codes of similar and other concepts."),
    "share_of_concepts": ("Concepts in use", "Share of the codebook that a batch uses."),
}
"""Title and meaning of the terms of other objectives than STEGO's."""

PROBES = frozenset(
    [
        *("Cluster probe", "Linear probe", "Mask coverage", "Concepts in use"),
        *("Task-agnostic positives", "Task-specific positives"),
    ]
)
"""What does not train the head, and has another scale."""


def loss_curves(history: Sequence[StepRecord]) -> list[Curve]:
    """Return a curve for each loss that is used and has finite values."""
    steps = np.array([record.step for record in history], np.float64)
    curves = []
    own = dict.fromkeys(name for record in history for name in record.own)
    for name, (title, meaning) in (LOSSES | {name: _titled(name) for name in own}).items():
        values = np.array([record.losses.get(name, 0.0) for record in history], np.float64)
        finite = np.isfinite(values)
        if values.any() and finite.any():
            curves.append(Curve(title, meaning, steps[finite], values[finite]))
    return curves


def _titled(name: str) -> tuple[str, str]:
    """Return title and meaning of an objective's own term, which a user may have named."""
    known = OBJECTIVE_LOSSES.get(name)
    return known or (name.replace("_", " ").capitalize(), "A term of the objective.")


def agreement_curve(history: Sequence[AgreementRecord]) -> Curve | None:
    """Return the curve that early stopping is based on; ``None`` without early stopping."""
    if not history:
        return None
    return Curve(
        "Agreement",
        "How well clusters of codes keep locations with similar features together: 1 means always,"
        " 0 chance level.",
        np.array([record.step for record in history], np.float64),
        np.array([record.agreement for record in history], np.float64),
        rising=True,
    )


def smoothed(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the running mean over a twentieth of the values on either side, fewer at the ends.

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


def training_figure(
    losses: Sequence[Curve], agreement: Curve | None = None, kept_step: int | None = None
) -> Figure:
    """Draw the losses of a training and, where it could stop early, the agreement.

    Args:
        losses: of :func:`loss_curves`, at least one.
        agreement: of :func:`agreement_curve`.
        kept_step: step whose codes were kept.
    """
    shown = [curve for curve in losses if curve.title not in PROBES]
    panels = 1 if agreement is None else 2
    width = COLUMN_WIDTH if agreement is None else TEXT_WIDTH
    figure = new_figure(width, HEIGHT + KEY_LINE * -(-len(shown) // KEY_COLUMNS))
    across, up = width / panels - LEFT - RIGHT, HEIGHT - BOTTOM - TOP
    axes = add_axes(figure, (LEFT, BOTTOM, across, up), x_label="Step", y_label="Loss")
    for curve, (colour, dashes) in zip(shown, LINES, strict=False):
        draw_loss(axes, curve, colour, dashes)
    axes.set_xlim(left=0)
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(-0.01, 1.0),
        ncols=KEY_COLUMNS,
        borderaxespad=0.1,
        handlelength=1.9,
        columnspacing=1.0,
        handletextpad=0.4,
        labelspacing=0.2,
    )
    if agreement is not None:
        place = (2 * LEFT + RIGHT + across, BOTTOM, across, up)
        beside = add_axes(figure, place, x_label="Step", y_label="Neighbour agreement")
        draw_agreement(beside, agreement, BLACK)
        beside.set_xlim(axes.get_xlim())
        if kept_step is not None:
            axes.axvline(kept_step, color=GREY, linewidth=0.6, linestyle=(0, (3, 2)))
            beside.axvline(kept_step, color=GREY, linewidth=0.6, linestyle=(0, (3, 2)))
            beside.annotate(
                "kept",
                (kept_step, 1.0),
                (0, 2),
                xycoords=beside.get_xaxis_transform(),
                textcoords="offset points",
                ha="center",
                fontsize=SMALL,
            )
    return figure


def curve_figure(curve: Curve) -> Figure:
    """Draw one curve for a page; a rising one has a dot at its highest value."""
    figure, axes = page_axes("Step")
    if curve.rising:
        draw_agreement(axes, curve, BLUE)
        _, value, step = curve.entries[1]
        axes.plot([step], [value], color=BLUE, marker="o", markersize=4.5, clip_on=False)
    else:
        draw_loss(axes, curve, BLUE, "-")
    axes.set_xlim(left=0)
    return figure


def draw_loss(axes: Axes, curve: Curve, colour: str, dashes: Any) -> None:
    """Draw single steps faintly, and their running mean; a single step as a dot."""
    axes.plot(curve.steps, curve.values, color=colour, linewidth=0.35, alpha=0.4)
    axes.plot(
        curve.steps,
        smoothed(curve.values),
        color=colour,
        linestyle=dashes,
        linewidth=1.0,
        marker="o" if len(curve.steps) == 1 else "",
        markersize=3,
        label=curve.title,
        clip_on=False,
    )


def draw_agreement(axes: Axes, curve: Curve, colour: str) -> None:
    """Draw the agreement at the steps at which it was measured."""
    style = {"color": colour, "linewidth": 1.0, "marker": "o", "markersize": 2.2}
    axes.plot(curve.steps, curve.values, clip_on=False, **style)  # type: ignore[arg-type]


def class_count_figure(
    numbers: Sequence[int],
    agreement: Sequence[float],
    separation: Sequence[float],
    chosen: int,
) -> Figure:
    """Draw how well candidate numbers of classes suit the images, for a page.

    Args:
        numbers: rising.
        agreement: of clusterings of two halves of the images, for each number.
        separation: of the classes, for each number.
        chosen: number marked by a dot, if it is a candidate.
    """
    figure, axes = page_axes("Classes")
    axes.plot(numbers, separation, color=GREY, linewidth=0.8, linestyle=(0, (4, 3)))
    # Agreement worse than chance is a little below 0.
    shown = np.maximum(agreement, 0)
    axes.plot(numbers, shown, color=BLUE, linewidth=1.2, clip_on=False)
    if chosen in numbers:
        at = list(numbers).index(chosen)
        axes.plot([chosen], [shown[at]], color=BLUE, marker="o", markersize=4.5, clip_on=False)
    axes.set(xlim=(numbers[0], max(numbers[-1], numbers[0] + 1)), ylim=(0, 1))
    return figure


def recall_figure(curves: Sequence[PrecisionRecall]) -> Figure:
    """Draw precision over recall for a page; :func:`series_style` tells the curves apart."""
    figure, axes = page_axes("Recall", "Precision", width=3.2, height=2.35)
    for number, curve in enumerate(curves):
        finite = np.isfinite(curve.recall) & np.isfinite(curve.precision)
        colour, dashes = series_style(number)
        axes.plot(
            curve.recall[finite],
            curve.precision[finite],
            color=colour,
            linestyle=dashes,
            linewidth=1.0,
            clip_on=False,
        )
    axes.set(xlim=(0, 1), ylim=(0, 1), xticks=np.linspace(0, 1, 6), yticks=np.linspace(0, 1, 6))
    return figure


def series_style(number: int) -> tuple[str, str]:
    """Return colour and dashes of a series; colours repeat dashed.

    Example:
        >>> series_style(0), series_style(6)
        (('#0072b2', '-'), ('#0072b2', '--'))
    """
    return SERIES[number % len(SERIES)], "--" if number >= len(SERIES) else "-"


def page_axes(
    x_label: str, y_label: str = "", width: float = PAGE_SIZE[0], height: float = PAGE_SIZE[1]
) -> tuple[Figure, Axes]:
    """Return a new figure for a page, of a size in inches, and its axes."""
    left = LEFT if y_label else LEFT - 0.12
    place = (left, BOTTOM, width - left - RIGHT, height - BOTTOM - TOP)
    figure = new_figure(width, height)
    return figure, add_axes(figure, place, x_label=x_label, y_label=y_label)

"""Training curves: losses, and the neighbour agreement used for early stopping."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from segdistill.figures.style import (
    BLACK,
    BLUE,
    COLUMN_WIDTH,
    GREEN,
    ORANGE,
    PURPLE,
    SKY_BLUE,
    SMALL,
    TEXT_WIDTH,
    VERMILION,
    light_grid,
    new_figure,
)
from segdistill.report.curves import KINDS, OPTIONAL_KINDS, Kind, smoothed
from segdistill.training.loop import StepRecord

HEIGHT = 1.55
LEFT, RIGHT, BOTTOM, TOP = 0.5, 0.1, 0.32, 0.08
KEY_LINE = 0.13
KEY_COLUMNS = 4
# Probe losses do not train the head, and have another scale.
PROBES = frozenset(["Cluster probe", "Linear probe"])
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
"""Colour and dash pattern of each loss, chosen to differ in greyscale."""


def training_figure(
    history: Sequence[StepRecord],
    looks: Sequence[Mapping[str, float]] = (),
    kept_step: int | None = None,
) -> Figure:
    """Draw the losses of a training and, with early stopping, the neighbour agreement.

    Lines are running means over a twentieth of the steps on either side; faint lines are the raw
    values.

    Args:
        history: losses of every step; at least one.
        looks: early stopping checks, each with ``step`` and ``agreement``.
        kept_step: step of the checkpoint that was kept.
    """
    panels = 2 if looks else 1
    width = TEXT_WIDTH if looks else COLUMN_WIDTH
    key = KEY_LINE * -(-len(shown_kinds(history)) // KEY_COLUMNS)
    height = HEIGHT + key
    figure = new_figure(width, height)
    across, up = width / panels - LEFT - RIGHT, HEIGHT - BOTTOM - TOP

    def add_axes(number: int) -> Axes:
        left = LEFT + number * (across + LEFT + RIGHT)
        axes = figure.add_axes((left / width, BOTTOM / height, across / width, up / height))
        # The same distance in both panels, whatever the width of the tick labels.
        axes.yaxis.set_label_coords((0.12 - LEFT) / across, 0.5)
        return axes

    axes = add_axes(0)
    _draw_losses(axes, history)
    if looks:
        right_axes = add_axes(1)
        _draw_agreement(right_axes, looks)
        right_axes.set_xlim(axes.get_xlim())
        if kept_step is not None:
            _mark_kept(axes, kept_step, annotate=False)
            _mark_kept(right_axes, kept_step, annotate=True)
    return figure


def shown_kinds(history: Sequence[StepRecord]) -> list[Kind]:
    """Return the losses used in training, the total first."""
    used = [kind for kind in OPTIONAL_KINDS if any(kind.read(record) != 0 for record in history)]
    return [kind for kind in (*KINDS, *used) if kind.title not in PROBES]


def _draw_losses(axes: Axes, history: Sequence[StepRecord]) -> None:
    steps = np.array([record.step for record in history])
    for kind, (colour, dashes) in zip(shown_kinds(history), LINES, strict=False):
        values = np.array([kind.read(record) for record in history], np.float64)
        finite = np.isfinite(values)
        if finite.any():
            axes.plot(steps[finite], values[finite], color=colour, linewidth=0.35, alpha=0.4)
            axes.plot(
                steps[finite],
                smoothed(values[finite]),
                color=colour,
                linestyle=dashes,
                linewidth=1.0,
                label=kind.title,
            )
    axes.set_ylabel("Loss")
    _finish(axes, steps)
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


def _draw_agreement(axes: Axes, looks: Sequence[Mapping[str, float]]) -> None:
    steps = np.array([look["step"] for look in looks])
    values = [look["agreement"] for look in looks]
    axes.plot(steps, values, color=BLACK, linewidth=1.0, marker="o", markersize=2.2, clip_on=False)
    axes.set_ylabel("Neighbour agreement")
    _finish(axes, steps)


def _finish(axes: Axes, steps: np.ndarray) -> None:
    axes.set_xlabel("Step", labelpad=2)
    axes.set_xlim(0, max(int(steps[-1]), 1))
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    light_grid(axes, "y")


def _mark_kept(axes: Axes, step: int, *, annotate: bool) -> None:
    axes.axvline(step, color="#707070", linewidth=0.6, linestyle=(0, (3, 2)))
    if annotate:
        axes.annotate(
            "kept",
            (step, 1.0),
            (0, 2),
            xycoords=axes.get_xaxis_transform(),
            textcoords="offset points",
            ha="center",
            fontsize=SMALL,
        )

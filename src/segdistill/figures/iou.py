"""Bar chart of the intersection over union of each class."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from segdistill.figures.colouring import ClassStyle
from segdistill.figures.style import (
    BLUE,
    COLUMN_WIDTH,
    SKY_BLUE,
    light_grid,
    new_figure,
    short_name,
)

BAR_INCHES = 0.085
GAP_INCHES = 0.085
NUMBER_SIZE = 5.5
GREY = "#a9a9a9"
FILLS = {
    1: (BLUE,),
    2: (GREY, BLUE),
    3: (GREY, SKY_BLUE, BLUE),
}
"""Bar colours by number of series, from baseline to result, chosen to differ in greyscale."""


@dataclass(frozen=True)
class IouSeries:
    """Scores of one kind of prediction.

    Attributes:
        title: title of the series.
        iou: IoU of each label class, 0..1; NaN if undefined.
        mean: mean IoU, 0..1.
    """

    title: str
    iou: Sequence[float]
    mean: float


def iou_figure(
    series: Sequence[IouSeries], labels: Sequence[str], styles: Sequence[ClassStyle]
) -> Figure:
    """Draw the IoU of each label class in percent, with the mean in the legend.

    Args:
        series: one to three series, the main one last.
        labels: names of the label classes.
        styles: display styles of the label classes.

    Example:
        >>> series = [IouSeries("Segments", [0.5, 0.25], 0.375)]
        >>> axes = iou_figure(series, ["sky", "sea"], [ClassStyle((9, 9, 9))] * 2).axes[0]
        >>> [float(bar.get_width()) for bar in axes.patches[:2]]
        [50.0, 25.0]
    """
    step = BAR_INCHES * len(series) + GAP_INCHES
    key, axis = 0.125 * len(series) + 0.08, 0.32
    height = step * len(labels) + key + axis
    figure = new_figure(COLUMN_WIDTH, height)
    margin = min(1.35, 0.25 + 0.062 * max(len(short_name(each)) for each in labels))
    axes = figure.add_axes(
        (
            margin / COLUMN_WIDTH,
            axis / height,
            (COLUMN_WIDTH - margin - 0.16) / COLUMN_WIDTH,
            step * len(labels) / height,
        )
    )
    for number, (each, fill) in enumerate(zip(series, FILLS[len(series)], strict=True)):
        _draw_bars(axes, each, fill, number, len(series), step)
    axes.set(xlim=(0, 100), ylim=((len(labels) - 0.5) * step, -0.5 * step))
    axes.set_yticks([index * step for index in range(len(labels))])
    axes.set_yticklabels(map(short_name, labels), parse_math=False)
    axes.tick_params(axis="y", length=0, pad=9)
    _draw_swatches(axes, styles[: len(labels)], step)
    axes.set_xticks([0, 25, 50, 75, 100])
    axes.set_xlabel("IoU (%)", labelpad=2)
    light_grid(axes, "x")
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(-0.02, 1.0),
        borderaxespad=0.2,
        handlelength=1.2,
        handleheight=0.6,
        labelspacing=0.3,
    )
    return figure


def _draw_bars(
    axes: Axes, series: IouSeries, fill: str, number: int, count: int, step: float
) -> None:
    offset = (number - (count - 1) / 2) * BAR_INCHES
    values = [0.0 if math.isnan(share) else 100 * share for share in series.iou]
    centres = [index * step + offset for index in range(len(values))]
    axes.barh(
        centres,
        values,
        BAR_INCHES * 0.92,
        color=fill,
        linewidth=0,
        label=f"{series.title} (mIoU {100 * series.mean:.1f})",
    )
    for centre, value, share in zip(centres, values, series.iou, strict=True):
        axes.annotate(
            "–" if math.isnan(share) else f"{value:.1f}",
            (value, centre),
            (1.5, 0),
            textcoords="offset points",
            va="center_baseline",
            fontsize=NUMBER_SIZE,
        )


def _draw_swatches(axes: Axes, styles: Sequence[ClassStyle], step: float) -> None:
    """Draw a square in the colour of each class next to its name."""
    for index, style in enumerate(styles):
        axes.plot(
            [-0.028],
            [index * step],
            marker="s",
            markersize=4,
            markeredgewidth=0,
            color=[channel / 255 for channel in style.colour],
            clip_on=False,
            transform=axes.get_yaxis_transform(),
        )

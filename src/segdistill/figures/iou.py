"""Bar chart of the intersection over union of each class."""

import math
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from segdistill.evaluation.confusion import Scores
from segdistill.figures.colouring import Rgba
from segdistill.figures.style import (
    BLUE,
    COLUMN_WIDTH,
    SKY_BLUE,
    add_axes,
    light_grid,
    mpl_colour,
    new_figure,
    short_name,
)

BAR_INCHES = 0.085
GAP_INCHES = 0.085
NUMBER_SIZE = 5.5
LIGHT_GREY = "#a9a9a9"
FILLS = {1: (BLUE,), 2: (LIGHT_GREY, BLUE), 3: (LIGHT_GREY, SKY_BLUE, BLUE)}
"""Bar colours by number of series, from baseline to result, chosen to differ in greyscale."""


def iou_figure(
    series: Mapping[str, Scores], labels: Sequence[str], colours: Sequence[Rgba]
) -> Figure:
    """Draw the IoU of each label class in percent, with the mean in the legend.

    Args:
        series: titles and scores, one to three, the most important one last.
        labels: names of the label classes.
        colours: of the label classes in the comparison.

    Example:
        >>> scores = Scores(0.5, 0.375, (0.5, 0.25), (0, 1), 9)
        >>> axes = iou_figure({"Segments": scores}, ["sky", "sea"], [(9, 9, 9, 255)] * 2).axes[0]
        >>> [float(bar.get_width()) for bar in axes.patches[:2]]
        [50.0, 25.0]
    """
    step = BAR_INCHES * len(series) + GAP_INCHES
    key, bottom = 0.125 * len(series) + 0.08, 0.32
    figure = new_figure(COLUMN_WIDTH, step * len(labels) + key + bottom)
    left = min(1.7, 0.25 + 0.062 * max(len(short_name(each)) for each in labels))
    place = (left, bottom, COLUMN_WIDTH - left - 0.16, step * len(labels))
    axes = add_axes(figure, place, x_label="IoU (%)")
    rows = [index * step for index in range(len(labels))]
    fills = FILLS[len(series)]
    for number, (title, scores) in enumerate(series.items()):
        offset = (number - (len(series) - 1) / 2) * BAR_INCHES
        values = [0.0 if math.isnan(share) else 100 * share for share in scores.iou]
        axes.barh(
            [row + offset for row in rows],
            values,
            BAR_INCHES * 0.92,
            color=fills[number],
            linewidth=0,
            label=f"{title} (mIoU {100 * scores.mean_iou:.1f})",
        )
        for row, value, share in zip(rows, values, scores.iou, strict=True):
            axes.annotate(
                "–" if math.isnan(share) else f"{value:.1f}",
                (value, row + offset),
                (1.5, 0),
                textcoords="offset points",
                va="center_baseline",
                fontsize=NUMBER_SIZE,
            )
    axes.set(xlim=(0, 100), ylim=((len(labels) - 0.5) * step, -0.5 * step))
    axes.set_xticks([0, 25, 50, 75, 100])
    axes.set_yticks(rows, map(short_name, labels), parse_math=False)
    axes.tick_params(axis="y", length=0, pad=9)
    axes.grid(visible=False, axis="y")
    light_grid(axes, "x")
    for row, colour in zip(rows, colours, strict=False):
        axes.plot(
            [-0.028],
            [row],
            color=mpl_colour(colour[:3]),
            marker="s",
            markersize=4,
            markeredgewidth=0,
            clip_on=False,
            transform=axes.get_yaxis_transform(),
        )
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(-0.02, 1.0),
        borderaxespad=0.2,
        handlelength=1.2,
        handleheight=0.6,
        labelspacing=0.3,
    )
    return figure

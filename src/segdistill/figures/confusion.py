"""A confusion matrix, in shares of each label class."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from segdistill.evaluation.confusion_table import ConfusionTable
from segdistill.figures.style import new_figure, paper_style, short_name, write_figure

DOTS_PER_INCH = 150
CELL_INCHES = 0.36
SMALLEST_INCHES = 2.4
LARGEST_INCHES = 14.0
AXES_SHARE = 0.77
"""Share of the sides of a figure that matplotlib gives to its axes."""

MOST_NUMBERED = 40
"""Rows or columns up to which cells show their percentage."""

COLOURS = "Blues"
FRAME = "#b8860b"


def write_confusion_png(path: Path, table: ConfusionTable, *, title: str) -> None:
    """Write a confusion matrix as a PNG.

    Args:
        table: a row for each label class, a column for each prediction.

    Raises:
        UserError: the file cannot be written.
    """
    with paper_style():
        figure = confusion_figure(table, title=title)
        options = {"dpi": DOTS_PER_INCH, "bbox_inches": "tight"}
        write_figure(figure, path.parent, path.stem, ["png"], **options)


def confusion_figure(table: ConfusionTable, *, title: str) -> Figure:
    """Draw a confusion matrix in shares of each label class.

    Frames mark the prediction matched to each row. Cells show their percentage unless there are
    very many.

    Args:
        table: a row for each label class, a column for each prediction.

    Example:
        >>> from segdistill.evaluation.confusion_table import confusion_table
        >>> counts = np.array([[5, 1], [0, 4]])
        >>> table = confusion_table(counts, (0, 1), ("sky", "sea"), ("class 0", "class 1"))
        >>> [text.get_text() for text in confusion_figure(table, title="Clusters").axes[0].texts]
        ['100', '20', '80']
    """
    rows, columns = table.counts.shape
    largest = LARGEST_INCHES / max(rows, columns)
    cell = min(max(CELL_INCHES, SMALLEST_INCHES / min(rows, columns)), largest)
    size = min(9.0, 72 * cell * 0.4)
    figure = new_figure(columns * cell / AXES_SHARE, rows * cell / AXES_SHARE)
    axes = figure.add_subplot()
    image = axes.imshow(np.ma.masked_invalid(table.shares), cmap=COLOURS, vmin=0, vmax=1)
    text = {"fontsize": size, "parse_math": False}
    axes.set_yticks(range(rows), map(short_name, table.rows), **text)
    axes.set_xticks(range(columns), map(short_name, table.headings), rotation=90, **text)
    axes.tick_params(length=0)
    axes.set_ylabel("Label class", fontsize=9)
    axes.set_xlabel("Prediction", fontsize=9)
    axes.set_title(f"{title}: percentage of each label class", fontsize=10, parse_math=False)
    axes.spines[:].set(visible=True, color="#999999")
    for (row, column), share in np.ndenumerate(table.shares):
        if share > 0 and max(rows, columns) <= MOST_NUMBERED:
            axes.text(
                column,
                row,
                f"{100 * share:.0f}",
                ha="center",
                va="center",
                fontsize=0.9 * size,
                color="white" if share > 0.55 else "black",
            )
    for row, matched in enumerate(table.matched):
        if matched is not None:
            corner = (matched - 0.5, row - 0.5)
            axes.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor=FRAME, linewidth=1.2))
    beside = axes.inset_axes((1 + 0.12 / (columns * cell), 0, 0.14 / (columns * cell), 1))
    bar = figure.colorbar(image, cax=beside)
    bar.set_ticks([0, 0.25, 0.5, 0.75, 1], labels=["0%", "25%", "50%", "75%", "100%"])
    bar.ax.tick_params(labelsize=8)
    return figure

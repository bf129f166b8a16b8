"""A confusion matrix as a picture, for papers and slides."""

import warnings
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from segdistill.evaluation.confusion_table import ConfusionTable
from segdistill.files import atomic_path

DOTS_PER_INCH = 150
CELL_INCHES = 0.36
SMALLEST_INCHES = 2.4
LARGEST_INCHES = 14.0
AXES_SHARE = 0.77
"""Share of a figure's sides that matplotlib gives to its axes."""

MOST_NUMBERED = 40
"""Rows or columns up to which cells hold their per cent."""

LONGEST_NAME = 28
COLOURS = "Blues"
FRAME = "#b8860b"


def write_confusion_png(path: Path, table: ConfusionTable, *, title: str) -> None:
    """Write a confusion matrix in shares of each label class.

    Args:
        path: where to.
        table: a row for each label class, a column for each prediction.
        title: of the figure.

    Raises:
        UserError: the file cannot be written.
    """
    figure = confusion_figure(table, title=title)
    with atomic_path(path) as temporary, warnings.catch_warnings():
        # Names in scripts that the font lacks are shown as boxes; the CSV holds them in full.
        warnings.filterwarnings("ignore", message="Glyph")
        figure.savefig(temporary, format="png", dpi=DOTS_PER_INCH, bbox_inches="tight")


def confusion_figure(table: ConfusionTable, *, title: str) -> Figure:
    """Draw a confusion matrix in shares of each label class.

    Frames mark predictions that are matched to their row. Cells hold their per cent unless there
    are very many.

    Args:
        table: a row for each label class, a column for each prediction.
        title: of the figure.

    Example:
        >>> from segdistill.evaluation.confusion_table import confusion_table
        >>> counts = np.array([[5, 1], [0, 4]])
        >>> table = confusion_table(counts, (0, 1), ("sky", "sea"), ("class 0", "class 1"))
        >>> [text.get_text() for text in confusion_figure(table, title="Clusters").axes[0].texts]
        ['100', '20', '80']
    """
    rows, columns = table.counts.shape
    cell = _cell_inches(rows, columns)
    figure = Figure(figsize=(columns * cell / AXES_SHARE, rows * cell / AXES_SHARE))
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    image = axes.imshow(np.ma.masked_invalid(table.shares), cmap=COLOURS, vmin=0, vmax=1)
    size = min(9.0, 72 * cell * 0.4)
    axes.set_yticks(range(rows), map(_short, table.rows), fontsize=size, parse_math=False)
    axes.set_xticks(
        range(columns), map(_short, table.headings), fontsize=size, rotation=90, parse_math=False
    )
    axes.tick_params(length=0)
    axes.set_ylabel("Label class")
    axes.set_xlabel("Prediction")
    axes.set_title(f"{title}: per cent of each label class", fontsize=11, parse_math=False)
    axes.spines[:].set_color("#999999")
    if max(rows, columns) <= MOST_NUMBERED:
        _write_numbers(axes, table, size)
    for row, column in enumerate(table.matched):
        if column is not None:
            corner = (column - 0.5, row - 0.5)
            axes.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor=FRAME, linewidth=1.2))
    beside = axes.inset_axes((1 + 0.12 / (columns * cell), 0, 0.14 / (columns * cell), 1))
    bar = figure.colorbar(image, cax=beside)
    bar.set_ticks([0, 0.25, 0.5, 0.75, 1], labels=["0 %", "25 %", "50 %", "75 %", "100 %"])
    bar.ax.tick_params(labelsize=8)
    return figure


def _write_numbers(axes: Axes, table: ConfusionTable, size: float) -> None:
    for (row, column), share in np.ndenumerate(table.shares):
        if share > 0:
            colour = "white" if share > 0.55 else "black"
            text = axes.text(column, row, f"{100 * share:.0f}", ha="center", va="center")
            text.set(fontsize=0.9 * size, color=colour)


def _cell_inches(rows: int, columns: int) -> float:
    smallest, largest = SMALLEST_INCHES / min(rows, columns), LARGEST_INCHES / max(rows, columns)
    return min(max(CELL_INCHES, smallest), largest)


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"

"""The legend: class colours and names."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from segdistill.figures.colouring import Rgba
from segdistill.figures.style import DOTS_PER_INCH, TEXT_WIDTH, mpl_colour, new_figure, short_name
from segdistill.images.palette import Colour
from segdistill.model.description import SegmentClass

LINE_INCHES = 0.17
SWATCH_INCHES = 0.2
SWATCH_HEIGHT = 0.11
SPACE_INCHES = 0.06
GAP_INCHES = 0.18
MARGIN_INCHES = 0.04
"""To the right of the last column: letters reach a little further than they are measured."""

SIZE = 7.5


def legend_entries(
    classes: Sequence[SegmentClass],
    labels: Sequence[str] = (),
    matched: Sequence[int | None] = (),
    label_colours: Sequence[Rgba] = (),
) -> list[tuple[Colour, str]]:
    """Return the colours of a comparison with their names.

    Unnamed classes get the name of their matched label class; named ones show both names if they
    differ. Hidden classes are omitted unless they are matched.

    Args:
        classes: of the run.
        labels: names of the label classes, where there are labels.
        matched: for each label class the class matched to it, or ``None``.
        label_colours: of the label classes.

    Example:
        >>> classes = [SegmentClass(0, "class 0", (0, 0, 9)), SegmentClass(1, "path", (9, 0, 0))]
        >>> colours = [(9, 0, 0, 255), (0, 9, 0, 255)]
        >>> [name for _, name in legend_entries(classes, ["road", "pole"], [1, None], colours)]
        ['class 0', 'path (road)', 'pole']
    """
    label_of = {index: label for label, index in zip(labels, matched, strict=True)}
    entries = []
    for each in classes:
        label = label_of.get(each.index)
        name = each.name if label is None else label
        if label is not None and each.is_named and each.name != label:
            name = f"{each.name} ({label})"
        if label is not None or not each.hidden:
            entries.append((each.colour, name))
    unmatched = zip(labels, matched, label_colours, strict=True)
    return entries + [(colour[:3], label) for label, index, colour in unmatched if index is None]


def legend_figure(entries: Sequence[tuple[Colour, str]], *, width: float = TEXT_WIDTH) -> Figure:
    """Draw the legend in as many columns as fit.

    Args:
        entries: in reading order.
        width: maximum width of the figure in inches.

    Example:
        >>> figure = legend_figure([((9, 9, 200), "sky"), ((9, 99, 9), "x")])
        >>> [text.get_text() for text in figure.texts]
        ['sky', 'x']
    """
    figure = new_figure(width, LINE_INCHES)
    # As in the file: letters have other widths at other resolutions.
    figure.set_dpi(DOTS_PER_INCH)
    texts = [
        figure.text(0, 0, short_name(name), fontsize=SIZE, parse_math=False) for _, name in entries
    ]
    inches = [text.get_window_extent().width / figure.dpi for text in texts]
    cells = SWATCH_INCHES + SPACE_INCHES + np.array(inches)
    columns, column_widths = _columns(cells, width - MARGIN_INCHES)
    width = column_widths.sum() - GAP_INCHES + MARGIN_INCHES
    height = -(-len(entries) // columns) * LINE_INCHES
    figure.set_size_inches(width, height)
    lefts = column_widths.cumsum() - column_widths
    for index, ((colour, _), text) in enumerate(zip(entries, texts, strict=True)):
        line, column = divmod(index, columns)
        left, middle = lefts[column], height - (line + 0.5) * LINE_INCHES
        swatch = Rectangle(
            (left / width, (middle - SWATCH_HEIGHT / 2) / height),
            SWATCH_INCHES / width,
            SWATCH_HEIGHT / height,
            transform=figure.transFigure,
            facecolor=mpl_colour(colour),
            linewidth=0,
        )
        figure.add_artist(swatch)
        text.set(
            x=(left + SWATCH_INCHES + SPACE_INCHES) / width, y=middle / height, va="center_baseline"
        )
    return figure


def _columns(cells: NDArray[np.float64], width: float) -> tuple[int, NDArray[np.float64]]:
    """Return the largest number of columns that fits the width, and their widths."""
    for columns in range(len(cells), 0, -1):
        # Balanced: no more columns than the number of lines needs.
        lines = -(-len(cells) // columns)
        balanced = -(-len(cells) // lines)
        padded = np.pad(cells, (0, lines * balanced - len(cells)))
        widths: NDArray[np.float64] = padded.reshape(lines, balanced).max(axis=0) + GAP_INCHES
        if widths.sum() - GAP_INCHES <= width:
            return balanced, widths
    return 1, cells.max(keepdims=True) + GAP_INCHES

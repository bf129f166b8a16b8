"""The legend: class colours and names."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from segdistill.figures.colouring import ClassStyle
from segdistill.figures.style import TEXT_WIDTH, new_figure, short_name
from segdistill.images.labels import Colour
from segdistill.model.description import SegmentClass

LINE_INCHES = 0.17
SWATCH_INCHES = 0.2
SWATCH_HEIGHT = 0.11
SPACE_INCHES = 0.06
GAP_INCHES = 0.18
SIZE = 7.5


@dataclass(frozen=True)
class LegendEntry:
    """A colour and its class name."""

    colour: Colour
    name: str


def legend_entries(
    classes: Sequence[SegmentClass],
    labels: Sequence[str] = (),
    matched: Sequence[int | None] = (),
    label_styles: Sequence[ClassStyle] = (),
) -> list[LegendEntry]:
    """Return the legend of a comparison.

    Unnamed classes get the name of their matched label class; named ones show both names if they
    differ. Hidden classes are omitted unless they are matched.

    Args:
        classes: classes of the run.
        labels: names of the label classes, if there are labels.
        matched: class matched to each label class, or ``None``.
        label_styles: display styles of the label classes.

    Example:
        >>> classes = [SegmentClass(0, "class 0", (0, 0, 9)), SegmentClass(1, "path", (9, 0, 0))]
        >>> styles = [ClassStyle((9, 0, 0)), ClassStyle((0, 9, 0))]
        >>> [each.name for each in legend_entries(classes, ["road", "pole"], [1, None], styles)]
        ['class 0', 'path (road)', 'pole']
    """
    label_of = {index: label for label, index in zip(labels, matched, strict=True)}
    entries = []
    for each in classes:
        label = label_of.get(each.index)
        if label is None:
            name = each.name
        else:
            name = f"{each.name} ({label})" if each.is_named and each.name != label else label
        if label is not None or not each.hidden:
            entries.append(LegendEntry(each.colour, name))
    alone = zip(labels, matched, label_styles, strict=True)
    return entries + [
        LegendEntry(style.colour, label) for label, index, style in alone if index is None
    ]


def legend_figure(entries: Sequence[LegendEntry], *, width: float = TEXT_WIDTH) -> Figure:
    """Draw the legend in as many columns as fit.

    Args:
        entries: legend entries, in row-major order.
        width: maximum width of the figure in inches.

    Example:
        >>> figure = legend_figure([LegendEntry((9, 9, 200), "sky"), LegendEntry((9, 99, 9), "x")])
        >>> [text.get_text() for text in figure.texts]
        ['sky', 'x']
    """
    figure = new_figure(width, LINE_INCHES)
    texts = [figure.text(0, 0, short_name(each.name), fontsize=SIZE) for each in entries]
    for text in texts:
        text.set_parse_math(False)
    inches = [text.get_window_extent().width / figure.dpi for text in texts]
    cells = SWATCH_INCHES + SPACE_INCHES + np.array(inches)
    columns, column_widths = _columns(cells, width)
    lines = -(-len(entries) // columns)
    width, height = float(column_widths.sum()) - GAP_INCHES, lines * LINE_INCHES
    figure.set_size_inches(width, height)
    lefts = np.concatenate([[0.0], column_widths.cumsum()[:-1]])
    for index, (entry, text) in enumerate(zip(entries, texts, strict=True)):
        line, column = divmod(index, columns)
        left, middle = float(lefts[column]), height - (line + 0.5) * LINE_INCHES
        figure.add_artist(
            Rectangle(
                (left / width, (middle - SWATCH_HEIGHT / 2) / height),
                SWATCH_INCHES / width,
                SWATCH_HEIGHT / height,
                transform=figure.transFigure,
                facecolor=[channel / 255 for channel in entry.colour],
                linewidth=0,
            )
        )
        text.set(
            x=(left + SWATCH_INCHES + SPACE_INCHES) / width, y=middle / height, va="center_baseline"
        )
    return figure


def _columns(cells: np.ndarray, width: float) -> tuple[int, np.ndarray]:
    """Return the largest number of columns that fits the width, and their widths."""
    for columns in range(len(cells), 0, -1):
        # Balance the lines by using no more columns than necessary.
        lines = -(-len(cells) // columns)
        balanced = -(-len(cells) // lines)
        padded = np.zeros(lines * balanced)
        padded[: len(cells)] = cells
        widths = padded.reshape(lines, balanced).max(axis=0) + GAP_INCHES
        if widths.sum() - GAP_INCHES <= width:
            return balanced, widths
    return 1, np.array([cells.max() + GAP_INCHES])

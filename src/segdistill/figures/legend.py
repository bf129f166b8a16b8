"""The classes of a run with their colours."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from segdistill.figures.colouring import Shade
from segdistill.figures.style import TEXT_WIDTH, new_figure, short_name
from segdistill.images.labels import Colour
from segdistill.model.description import SegmentClass

LINE_INCHES = 0.17
SWATCH_INCHES = 0.2
SWATCH_HEIGHT = 0.11
SPACE_INCHES = 0.06
APART_INCHES = 0.18
SIZE = 7.5


@dataclass(frozen=True)
class LegendEntry:
    """A colour and what it means."""

    colour: Colour
    name: str


def legend_entries(
    classes: Sequence[SegmentClass],
    labels: Sequence[str] = (),
    matched: Sequence[int | None] = (),
    label_shades: Sequence[Shade] = (),
) -> list[LegendEntry]:
    """Return what the colours of a comparison mean.

    A class that nobody has named bears the name of the label class that it is matched to; one that
    somebody has named otherwise bears both. Hidden classes are left out unless they are matched.

    Args:
        classes: of the run.
        labels: names of the label classes, where there are labels.
        matched: for each label class the class matched to it, or ``None``.
        label_shades: of the label classes.

    Example:
        >>> classes = [SegmentClass(0, "class 0", (0, 0, 9)), SegmentClass(1, "path", (9, 0, 0))]
        >>> shades = [Shade((9, 0, 0)), Shade((0, 9, 0))]
        >>> [each.name for each in legend_entries(classes, ["road", "pole"], [1, None], shades)]
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
    alone = zip(labels, matched, label_shades, strict=True)
    return entries + [
        LegendEntry(shade.colour, label) for label, index, shade in alone if index is None
    ]


def legend_figure(entries: Sequence[LegendEntry], *, width: float = TEXT_WIDTH) -> Figure:
    """Draw colours with their names, in as many columns as fit.

    Args:
        entries: read along the lines.
        width: of the figure in inches, at most.

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
    width, height = float(column_widths.sum()) - APART_INCHES, lines * LINE_INCHES
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
    """Return the most columns that fit a width, and how wide each is."""
    for columns in range(len(cells), 0, -1):
        # Balanced lines: no more columns than the number of lines needs.
        lines = -(-len(cells) // columns)
        balanced = -(-len(cells) // lines)
        padded = np.zeros(lines * balanced)
        padded[: len(cells)] = cells
        widths = padded.reshape(lines, balanced).max(axis=0) + APART_INCHES
        if widths.sum() - APART_INCHES <= width:
            return balanced, widths
    return 1, np.array([cells.max() + APART_INCHES])

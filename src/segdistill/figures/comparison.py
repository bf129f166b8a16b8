"""Images above their labels and segments, a column each."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from segdistill.figures.colouring import Picture
from segdistill.figures.layout import Panel, Spacing, grid_panels
from segdistill.figures.style import DOTS_PER_INCH, RULE, TEXT_WIDTH, new_figure

TITLE_SIZE = 7.5
SMALLEST_TITLE = 4.0
TALLEST_INCHES = 2.2
PAGE_INCHES = 9.0
"""Height of a page, beyond which pictures become smaller instead."""

MARGIN_INCHES = 0.17
GAP_INCHES = 0.03
BETWEEN_INCHES = 0.12
LETTER_WIDTH = 0.62
"""Width of a letter as a share of its size, about."""


@dataclass(frozen=True)
class GridRow:
    """A row of the grid.

    Attributes:
        title: what it shows.
        pictures: one for each image, shape (height, width, 3 or 4); ``None`` leaves a place empty.
    """

    title: str
    pictures: Sequence[Picture | None]


def comparison_figure(rows: Sequence[GridRow], *, columns: int) -> Figure:
    """Draw images above their labels and segments.

    All pictures of a row are of one height and as wide as their shape asks; together they fill the
    width of a page.

    Args:
        rows: the first holds the images; all hold a picture for each, in the same order.
        columns: images side by side; further ones come below.

    Example:
        >>> picture = np.zeros((30, 40, 3), np.uint8)
        >>> figure = comparison_figure([GridRow("Image", [picture, picture])], columns=2)
        >>> [axes.images[0].get_size() for axes in figure.axes]
        [(660, 880), (660, 880)]
    """
    images = [picture for picture in rows[0].pictures if picture is not None]
    every = range(len(images))
    bands = [every[start : start + columns] for start in every[::columns]]
    aspects = [[images[i].shape[1] / images[i].shape[0] for i in band] for band in bands]
    spacing = _spacing(len(bands), len(rows))
    places = grid_panels(aspects, len(rows), spacing)
    everywhere = [panel for band in places for row in band for panel in row]
    width = max(panel.left + panel.width for panel in everywhere)
    height = max(panel.top + panel.height for panel in everywhere)
    figure = new_figure(width / DOTS_PER_INCH, height / DOTS_PER_INCH)
    for band, panels in zip(bands, places, strict=True):
        for row, row_panels in zip(rows, panels, strict=True):
            _write_title(figure, row.title, row_panels[0], width, height)
            for index, panel in zip(band, row_panels, strict=True):
                picture = row.pictures[index]
                if picture is not None:
                    _draw(figure, picture, panel, width, height)
    return figure


def fitted(picture: Picture, width: int, height: int) -> Picture:
    """Bring a picture to the size at which it is printed.

    Edges of masks stay where they are, and are smooth.

    Args:
        picture: shape (rows, columns, 3) for an image, (rows, columns, 4) for a painted mask.
        width: wanted, in pixels.
        height: wanted, in pixels.

    Example:
        >>> fitted(np.zeros((4, 4, 4), np.uint8), 9, 6).shape
        (6, 9, 4)
    """
    if picture.shape[2] == 3:
        filter_ = Image.Resampling.LANCZOS
    else:
        # Whole multiples first: single pixels then are all of one size, with smooth edges.
        times = -(-2 * height // picture.shape[0])
        picture = picture.repeat(times, axis=0).repeat(times, axis=1)
        filter_ = Image.Resampling.BOX
    return np.array(Image.fromarray(picture).resize((width, height), filter_))


def _spacing(bands: int, rows: int) -> Spacing:
    pictures = PAGE_INCHES - BETWEEN_INCHES * (bands - 1) - GAP_INCHES * bands * (rows - 1)
    tallest = min(TALLEST_INCHES, pictures / (bands * rows))
    return Spacing(
        width=int(TEXT_WIDTH * DOTS_PER_INCH),
        margin=round(MARGIN_INCHES * DOTS_PER_INCH),
        gap=round(GAP_INCHES * DOTS_PER_INCH),
        between=round(BETWEEN_INCHES * DOTS_PER_INCH),
        tallest=int(tallest * DOTS_PER_INCH),
    )


def _draw(figure: Figure, picture: Picture, panel: Panel, width: int, height: int) -> None:
    # Pixel by pixel as it will be printed, so that nothing is resampled once more.
    axes = figure.add_axes(
        (
            panel.left / width,
            1 - (panel.top + panel.height) / height,
            panel.width / width,
            panel.height / height,
        )
    )
    shown = fitted(picture, panel.width, panel.height)
    axes.imshow(shown, aspect="auto", interpolation="none")
    axes.set(xticks=[], yticks=[])
    # Where a mask fades into the page, a line shows how far it goes.
    see_through = shown.shape[2] == 4 and bool((shown[..., 3] < 255).any())
    axes.spines[:].set(visible=see_through, color=RULE, linewidth=0.3)


def _write_title(figure: Figure, title: str, beside: Panel, width: int, height: int) -> None:
    room = 72 * beside.height / DOTS_PER_INCH / (LETTER_WIDTH * len(title))
    figure.text(
        beside.left * 0.42 / width,
        1 - (beside.top + beside.height / 2) / height,
        title,
        rotation=90,
        ha="center",
        va="center",
        fontsize=max(SMALLEST_TITLE, min(TITLE_SIZE, room)),
        parse_math=False,
    )

"""Comparison figure: one column per image, with labels and segments below it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from segdistill.figures.colouring import Picture
from segdistill.figures.layout import Panel, Spacing, grid_panels
from segdistill.figures.style import DOTS_PER_INCH, RULE, TEXT_WIDTH, new_figure

TITLE_SIZE = 7.5
MIN_TITLE_SIZE = 4.0
MAX_HEIGHT_INCHES = 2.2
PAGE_INCHES = 9.0
"""Maximum height of the figure; images are shrunk to fit."""

MARGIN_INCHES = 0.17
GAP_INCHES = 0.03
BETWEEN_INCHES = 0.12
LETTER_WIDTH = 0.62
"""Approximate width of a letter relative to the font size."""


@dataclass(frozen=True)
class GridRow:
    """A row of the grid.

    Attributes:
        title: title of the row.
        pictures: one per image, shape (height, width, 3 or 4); ``None`` leaves a panel empty.
    """

    title: str
    pictures: Sequence[Picture | None]


def comparison_figure(rows: Sequence[GridRow], *, columns: int) -> Figure:
    """Draw images with their labels and segments below.

    Images in a row have the same height and fill the width of the page.

    Args:
        rows: rows with one picture per image, in the same order; the first has the images.
        columns: images side by side; more images go into further bands below.

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
    panels_by_band = grid_panels(aspects, len(rows), spacing)
    everywhere = [panel for band in panels_by_band for row in band for panel in row]
    width = max(panel.left + panel.width for panel in everywhere)
    height = max(panel.top + panel.height for panel in everywhere)
    figure = new_figure(width / DOTS_PER_INCH, height / DOTS_PER_INCH)
    for band, panels in zip(bands, panels_by_band, strict=True):
        for row, row_panels in zip(rows, panels, strict=True):
            _write_title(figure, row.title, row_panels[0], width, height)
            for index, panel in zip(band, row_panels, strict=True):
                picture = row.pictures[index]
                if picture is not None:
                    _draw(figure, picture, panel, width, height)
    return figure


def resize_to_print(picture: Picture, width: int, height: int) -> Picture:
    """Resize a picture to its printed size.

    Mask edges are antialiased and do not move.

    Args:
        picture: RGB image, shape (rows, columns, 3), or RGBA mask, shape (rows, columns, 4).
        width: output width in pixels.
        height: output height in pixels.

    Example:
        >>> resize_to_print(np.zeros((4, 4, 4), np.uint8), 9, 6).shape
        (6, 9, 4)
    """
    if picture.shape[2] == 3:
        filter_ = Image.Resampling.LANCZOS
    else:
        # Integer upscaling first, so that all pixels have the same size and smooth edges.
        times = -(-2 * height // picture.shape[0])
        picture = picture.repeat(times, axis=0).repeat(times, axis=1)
        filter_ = Image.Resampling.BOX
    return np.array(Image.fromarray(picture).resize((width, height), filter_))


def _spacing(bands: int, rows: int) -> Spacing:
    pictures = PAGE_INCHES - BETWEEN_INCHES * (bands - 1) - GAP_INCHES * bands * (rows - 1)
    max_height = min(MAX_HEIGHT_INCHES, pictures / (bands * rows))
    return Spacing(
        width=int(TEXT_WIDTH * DOTS_PER_INCH),
        margin=round(MARGIN_INCHES * DOTS_PER_INCH),
        gap=round(GAP_INCHES * DOTS_PER_INCH),
        between=round(BETWEEN_INCHES * DOTS_PER_INCH),
        max_height=int(max_height * DOTS_PER_INCH),
    )


def _draw(figure: Figure, picture: Picture, panel: Panel, width: int, height: int) -> None:
    # At the exact printed size, so that matplotlib does not resample.
    axes = figure.add_axes(
        (
            panel.left / width,
            1 - (panel.top + panel.height) / height,
            panel.width / width,
            panel.height / height,
        )
    )
    shown = resize_to_print(picture, panel.width, panel.height)
    axes.imshow(shown, aspect="auto", interpolation="none")
    axes.set(xticks=[], yticks=[])
    # Transparent masks need a frame to show their extent.
    see_through = shown.shape[2] == 4 and bool((shown[..., 3] < 255).any())
    axes.spines[:].set(visible=see_through, color=RULE, linewidth=0.3)


def _write_title(figure: Figure, title: str, panel: Panel, width: int, height: int) -> None:
    room = 72 * panel.height / DOTS_PER_INCH / (LETTER_WIDTH * len(title))
    figure.text(
        panel.left * 0.42 / width,
        1 - (panel.top + panel.height / 2) / height,
        title,
        rotation=90,
        ha="center",
        va="center",
        fontsize=max(MIN_TITLE_SIZE, min(TITLE_SIZE, room)),
        parse_math=False,
    )

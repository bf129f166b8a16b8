"""Comparison figure: one column per image, with labels and segments below it."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from segdistill.figures.colouring import Picture
from segdistill.figures.style import DOTS_PER_INCH, RULE, TEXT_WIDTH, new_figure

TITLE_SIZE = 7.5
SMALLEST_TITLE = 4.0
LETTER_WIDTH = 0.62
"""Approximate width of a letter relative to its size."""

TALLEST_INCHES = 2.2
PAGE_INCHES = 9.0
"""Maximum height of the figure; images are shrunk to fit."""

WIDTH = int(TEXT_WIDTH * DOTS_PER_INCH)
MARGIN = round(0.17 * DOTS_PER_INCH)
GAP = round(0.03 * DOTS_PER_INCH)
BETWEEN = round(0.12 * DOTS_PER_INCH)
"""Pixels: of the figure, left of the pictures, between pictures, between rows of images."""


class Panel(NamedTuple):
    """Position and size of an image, in pixels from the top left corner of the figure."""

    left: int
    top: int
    width: int
    height: int


def comparison_figure(
    rows: Sequence[tuple[str, Sequence[Picture | None]]], *, columns: int
) -> Figure:
    """Draw images with their labels and segments below.

    Images in a row have the same height and fill the width of the page.

    Args:
        rows: title and pictures of each row, shape (height, width, 3 or 4); the first row holds
            the images. ``None`` leaves a place empty.
        columns: images side by side; more images go into further bands below.

    Example:
        >>> picture = np.zeros((30, 40, 3), np.uint8)
        >>> figure = comparison_figure([("Image", [picture, picture])], columns=2)
        >>> [axes.images[0].get_size() for axes in figure.axes]
        [(660, 880), (660, 880)]
    """
    aspects = [image.shape[1] / image.shape[0] for image in rows[0][1] if image is not None]
    starts = range(0, len(aspects), columns)
    gaps = BETWEEN * (len(starts) - 1) + GAP * len(starts) * (len(rows) - 1)
    room = (PAGE_INCHES - gaps / DOTS_PER_INCH) / (len(starts) * len(rows))
    tallest = int(min(TALLEST_INCHES, room) * DOTS_PER_INCH)
    bands = [aspects[start : start + columns] for start in starts]
    places = grid_panels(bands, len(rows), tallest)
    panels = [panel for band in places for line in band for panel in line]
    width = max(panel.left + panel.width for panel in panels)
    height = max(panel.top + panel.height for panel in panels)
    figure = new_figure(width / DOTS_PER_INCH, height / DOTS_PER_INCH)
    for start, band in zip(starts, places, strict=True):
        for (title, pictures), line in zip(rows, band, strict=True):
            largest = 72 * line[0].height / DOTS_PER_INCH / (LETTER_WIDTH * len(title))
            figure.text(
                line[0].left * 0.42 / width,
                1 - (line[0].top + line[0].height / 2) / height,
                title,
                rotation=90,
                ha="center",
                va="center",
                fontsize=max(SMALLEST_TITLE, min(TITLE_SIZE, largest)),
                parse_math=False,
            )
            for picture, panel in zip(pictures[start:], line, strict=False):
                if picture is not None:
                    _draw(figure, picture, panel, width, height)
    return figure


def grid_panels(
    bands: Sequence[Sequence[float]], rows: int, tallest: int
) -> list[list[list[Panel]]]:
    """Return the panels of several bands, from top to bottom.

    Images side by side have the same height and fill the width.

    Args:
        bands: aspect ratios (width / height) of the images in each band.
        rows: number of rows in a band.
        tallest: maximum height of an image in pixels.

    Returns:
        For each band and each of its rows, one panel per image.

    Example:
        >>> grid_panels([[1.0, 0.5]], 1, 100)
        [[[Panel(left=51, top=0, width=100, height=100), Panel(left=160, top=0, width=50, \
height=100)]]]
    """
    found = []
    top = 0
    for aspects in bands:
        room = WIDTH - MARGIN - GAP * (len(aspects) - 1)
        height = max(1, min(int(room / sum(aspects)), tallest))
        widths = [max(1, round(height * aspect)) for aspect in aspects]
        lefts = [MARGIN + sum(widths[:i]) + GAP * i for i in range(len(widths))]
        tops = [top + row * (height + GAP) for row in range(rows)]
        found.append(
            [
                [Panel(left, y, width, height) for left, width in zip(lefts, widths, strict=True)]
                for y in tops
            ]
        )
        top = tops[-1] + height + BETWEEN
    return found


def fitted(picture: Picture, width: int, height: int) -> Picture:
    """Resize a picture to its printed size.

    Mask edges are antialiased and do not move.

    Args:
        picture: shape (rows, columns, 3) for an image, (rows, columns, 4) for a painted mask.
        width: in pixels.
        height: in pixels.

    Example:
        >>> fitted(np.zeros((4, 4, 4), np.uint8), 9, 6).shape
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


def _draw(figure: Figure, picture: Picture, panel: Panel, width: int, height: int) -> None:
    left, bottom = panel.left / width, 1 - (panel.top + panel.height) / height
    axes = figure.add_axes((left, bottom, panel.width / width, panel.height / height))
    # At the exact printed size, so that matplotlib does not resample.
    shown = fitted(picture, panel.width, panel.height)
    axes.imshow(shown, aspect="auto", interpolation="none")
    axes.set(xticks=[], yticks=[])
    # Transparent masks need a frame to show their extent.
    see_through = shown.shape[2] == 4 and bool((shown[..., 3] < 255).any())
    axes.spines[:].set(visible=see_through, color=RULE, linewidth=0.3)

"""Layout of an image grid, with equal heights in a row and widths by aspect ratio."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Panel:
    """Position and size of an image, in pixels from the top left corner of the figure."""

    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True)
class Spacing:
    """Sizes and spacing of a grid, in pixels.

    Attributes:
        width: maximum width of the figure.
        margin: left margin for the row titles.
        gap: space between neighbouring images.
        between: space between bands; a band is a row of images with all of their masks.
        max_height: maximum height of an image.
    """

    width: int
    margin: int
    gap: int
    between: int
    max_height: int


def common_height(aspects: Sequence[float], spacing: Spacing) -> int:
    """Return the height at which images side by side fill the width.

    Args:
        aspects: aspect ratio (width / height) of each image.
        spacing: spacing of the grid.

    Example:
        >>> common_height([2.0, 1.0], Spacing(420, 20, 10, 30, 500))
        130
    """
    room = spacing.width - spacing.margin - spacing.gap * (len(aspects) - 1)
    return max(1, min(int(room / sum(aspects)), spacing.max_height))


def band_panels(
    aspects: Sequence[float], rows: int, spacing: Spacing, *, top: int = 0
) -> list[list[Panel]]:
    """Return the panels of a band: one row each for the images, their labels, and so on.

    Args:
        aspects: aspect ratio (width / height) of each image.
        rows: number of rows in the band.
        spacing: spacing of the grid.
        top: top of the first row, in pixels.

    Returns:
        A list of panels for each row, with one panel per image.
    """
    height = common_height(aspects, spacing)
    widths = [max(1, round(height * aspect)) for aspect in aspects]
    lefts = [spacing.margin + sum(widths[:i]) + spacing.gap * i for i in range(len(widths))]
    return [
        [
            Panel(left, top + row * (height + spacing.gap), width, height)
            for left, width in zip(lefts, widths, strict=True)
        ]
        for row in range(rows)
    ]


def grid_panels(
    bands: Sequence[Sequence[float]], rows: int, spacing: Spacing
) -> list[list[list[Panel]]]:
    """Return the panels of several bands, from top to bottom.

    Args:
        bands: aspect ratios of the images in each band.
        rows: number of rows in a band.
        spacing: spacing of the grid.

    Returns:
        The output of :func:`band_panels` for each band.
    """
    found: list[list[list[Panel]]] = []
    top = 0
    for aspects in bands:
        panels = band_panels(aspects, rows, spacing, top=top)
        found.append(panels)
        last = panels[-1][0]
        top = last.top + last.height + spacing.between
    return found

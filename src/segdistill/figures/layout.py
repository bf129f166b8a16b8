"""Where the pictures of a grid lie: all of one height in a row, as wide as their shape asks."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Panel:
    """A place for a picture, in pixels from the upper left corner of the figure."""

    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True)
class Spacing:
    """Distances in a grid, in pixels.

    Attributes:
        width: of the whole figure, at most.
        margin: left of the pictures, for what the rows are called.
        gap: between two pictures.
        between: between two rows of images, each with all that belongs to it.
        tallest: height of a picture, at most.
    """

    width: int
    margin: int
    gap: int
    between: int
    tallest: int


def common_height(aspects: Sequence[float], spacing: Spacing) -> int:
    """Return the height at which pictures side by side fill the width.

    Args:
        aspects: width over height of each picture.
        spacing: of the grid.

    Example:
        >>> common_height([2.0, 1.0], Spacing(420, 20, 10, 30, 500))
        130
    """
    room = spacing.width - spacing.margin - spacing.gap * (len(aspects) - 1)
    return max(1, min(int(room / sum(aspects)), spacing.tallest))


def band_panels(
    aspects: Sequence[float], rows: int, spacing: Spacing, *, top: int = 0
) -> list[list[Panel]]:
    """Return a place for each picture of a row: the images, their labels, and so on.

    Args:
        aspects: width over height of each image.
        rows: pictures of each image, one below the other.
        spacing: of the grid.
        top: of the first row.

    Returns:
        For each row, a place for each image.
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
    """Return the places of several rows of images, one below the other.

    Args:
        bands: for each row of images, width over height of each.
        rows: pictures of each image.
        spacing: of the grid.

    Returns:
        For each row of images what :func:`band_panels` returns.
    """
    found: list[list[list[Panel]]] = []
    top = 0
    for aspects in bands:
        panels = band_panels(aspects, rows, spacing, top=top)
        found.append(panels)
        last = panels[-1][0]
        top = last.top + last.height + spacing.between
    return found

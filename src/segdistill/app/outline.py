"""Outlines of regions of grid cells, as paths of SVG."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Point = tuple[float, float]
Corner = tuple[int, int]


def borders(inside: NDArray[np.bool_]) -> list[list[Corner]]:
    """Return the closed lines around the cells of a region.

    Args:
        inside: which cells belong to the region, shape (height, width).

    Returns:
        For each line the corners of cells that it passes, x and y in cells from the top left corner
        of the grid. Seen along the line, the region is on the right; holes have lines of their own.

    Example:
        >>> borders(np.array([[False, True]]))
        [[(1, 0), (2, 0), (2, 1), (1, 1)]]
    """
    padded = np.pad(inside, 1)
    steps: dict[Corner, list[Corner]] = defaultdict(list)
    # Offset of the neighbour outside, and of the ends of the side between, from a cell.
    sides = (
        ((-1, 0), (0, 0), (1, 0)),
        ((0, 1), (1, 0), (1, 1)),
        ((1, 0), (1, 1), (0, 1)),
        ((0, -1), (0, 1), (0, 0)),
    )
    height, width = inside.shape
    for (down, right), start, end in sides:
        beside = padded[1 + down : 1 + down + height, 1 + right : 1 + right + width]
        for row, column in np.argwhere(inside & ~beside).tolist():
            corner = (column + start[0], row + start[1])
            steps[corner].append((column + end[0], row + end[1]))
    lines = []
    while steps:
        first = min(steps)
        line, at = [], first
        while True:
            line.append(at)
            following = steps[at].pop()
            if not steps[at]:
                del steps[at]
            at = following
            if at == first:
                break
        lines.append(line)
    return lines


def smoothed(line: Sequence[Point], rounds: int = 2) -> list[Point]:
    """Return a closed line through the middles of the sides of another, with rounded turns.

    Stairs become slopes, so that a region looks less like its cells.

    Args:
        line: its corners.
        rounds: how often corners are cut.
    """
    points = np.asarray(line, np.float64)
    points = (points + np.roll(points, -1, axis=0)) / 2
    for _ in range(rounds):  # Chaikin's corner cutting
        following = np.roll(points, -1, axis=0)
        cut = np.stack([0.75 * points + 0.25 * following, 0.25 * points + 0.75 * following], axis=1)
        points = cut.reshape(-1, 2)
    return [(x, y) for x, y in points.tolist()]


def outline_path(inside: NDArray[np.bool_], size: tuple[int, int]) -> str:
    """Return the outline of a region as a path of SVG.

    Args:
        inside: which cells belong to the region, shape (height, width).
        size: height and width of the image that the grid covers, in the units of the path.
    """
    down, right = size[0] / inside.shape[0], size[1] / inside.shape[1]
    lines = [[(x * right, y * down) for x, y in smoothed(line)] for line in borders(inside)]
    return "".join(line_path(line) + "Z" for line in lines)


def line_path(points: Sequence[Point]) -> str:
    """Return a line as a path of SVG; a single point becomes a dot where line ends are round.

    Example:
        >>> line_path([(1.25, 2), (3, 4)]), line_path([(5, 6)])
        ('M1.2 2L3 4', 'M5 6h0.01')
    """
    shown = [f"{round(x, 1):g} {round(y, 1):g}" for x, y in points]
    return f"M{shown[0]}h0.01" if len(shown) == 1 else "M" + "L".join(shown)

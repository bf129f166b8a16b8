"""From answers to the cells that the classifier learns from."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from segdistill.teaching.answers import Answer, Region, Stroke
from segdistill.teaching.cells import CellPool, Cells

CLICK_WEIGHT = 3.0
"""A click weighs as much as a region of nine cells: it was aimed."""


@dataclass(frozen=True)
class Examples:
    """Cells whose class is known.

    Attributes:
        cells: indices of the cells, shape (examples,).
        classes: class of each, shape (examples,).
        weights: weight of each, shape (examples,).
        answers: index of the answer that each comes from, shape (examples,).
    """

    cells: Cells
    classes: NDArray[np.int64]
    weights: NDArray[np.float32]
    answers: NDArray[np.int64]

    def chosen(self, which: NDArray[np.bool_]) -> "Examples":
        """Return some of the examples."""
        return Examples(
            self.cells[which], self.classes[which], self.weights[which], self.answers[which]
        )

    def targets(self, classes: int) -> torch.Tensor:
        """Return the classes as probabilities, shape (examples, classes)."""
        return torch.eye(classes)[torch.from_numpy(self.classes)]


def place_cells(answer: Answer, grid: tuple[int, int]) -> NDArray[np.int64]:
    """Return the cells that an answer is about, as indices into a grid in row-major order.

    Args:
        answer: the answer.
        grid: height and width of the grid that covers the image; it may differ from the one that
            a region was asked about.

    Returns:
        At least one index, in ascending order.

    Example:
        >>> click = Answer("a.png", 40, 30, "", stroke=Stroke(((39.0, 0.5),)), name="sky")
        >>> place_cells(click, (3, 4)).tolist()
        [3]
    """
    if answer.region is not None:
        return _region_cells(answer.region, grid)
    if answer.stroke is None:  # pragma: no cover - an answer has either
        raise AssertionError
    return _stroke_cells(answer.stroke, (answer.height, answer.width), grid)


def _region_cells(region: Region, grid: tuple[int, int]) -> NDArray[np.int64]:
    inside = region.inside
    height, width = grid
    rows = (np.arange(height) * 2 + 1) * region.height // (2 * height)
    columns = (np.arange(width) * 2 + 1) * region.width // (2 * width)
    cells = np.flatnonzero(inside[np.ix_(rows, columns)])
    if len(cells):
        return cells
    # Between the centres of a coarser grid's cells.
    row, column = (int(axis.mean()) for axis in np.nonzero(inside))
    return np.array([row * height // region.height * width + column * width // region.width])


def _stroke_cells(
    stroke: Stroke, size: tuple[int, int], grid: tuple[int, int]
) -> NDArray[np.int64]:
    scale = np.array([grid[1] / size[1], grid[0] / size[0]])
    corners = np.array(stroke.points, dtype=np.float64) * scale  # x, y in cells
    points = [corners[:1]]
    for start, end in itertools.pairwise(corners):
        # Two points a cell, so that none on the way is missed by much.
        steps = max(1, math.ceil(2 * float(np.abs(end - start).max())))
        points.append(start + (end - start) * (np.arange(1, steps + 1)[:, None] / steps))
    columns, rows = np.floor(np.concatenate(points)).astype(np.int64).T
    inside = np.clip(rows, 0, grid[0] - 1) * grid[1] + np.clip(columns, 0, grid[1] - 1)
    return np.unique(inside)


def pool_cells(answer: Answer, pool: CellPool, image: int) -> Cells:
    """Return the cells of a pool that an answer about one of its images is about."""
    cells = place_cells(answer, pool.grids[image]) + pool.starts[image]
    valid: Cells = cells[pool.valid[cells]]
    return valid


def examples_of(
    answers: Sequence[Answer], places: Sequence[Cells | None], classes: Mapping[str, int]
) -> Examples:
    """Return what answers say about cells; where they contradict each other, the later counts.

    A region or stroke of n cells weighs the square root of n, since its cells are much alike.

    Args:
        answers: the answers, in the order in which they were given.
        places: the cells that each is about; ``None`` if its image is not among those taught.
        classes: index of each class name.
    """
    cells, known, weights, sources = [], [], [], []
    for index, (answer, place) in enumerate(zip(answers, places, strict=True)):
        if answer.verdict != "class" or place is None or not len(place):
            continue
        total = CLICK_WEIGHT if answer.stroke is not None else 1.0
        cells.append(place)
        known.append(np.full(len(place), classes[answer.name]))
        weights.append(np.full(len(place), total / math.sqrt(len(place)), np.float32))
        sources.append(np.full(len(place), index))
    if not cells:
        none = np.zeros(0, np.int64)
        return Examples(none, none, np.zeros(0, np.float32), none)
    every = Examples(*map(np.concatenate, (cells, known, weights, sources)))
    # The last occurrence of each cell.
    _, last = np.unique(every.cells[::-1], return_index=True)
    return every.chosen(np.isin(np.arange(len(every.cells)), len(every.cells) - 1 - last))


def contradictions(answers: Sequence[Answer], places: Sequence[Cells | None]) -> dict[int, int]:
    """Return the answers of which a later one contradicts more than half.

    Returns:
        For the index of each such answer, the index of the later one.
    """
    spoken: dict[int, int] = {}
    overruled: dict[int, int] = {}
    named = [
        (index, place)
        for index, (answer, place) in enumerate(zip(answers, places, strict=True))
        if answer.verdict == "class" and place is not None
    ]
    for index, place in reversed(named):
        later = [spoken[cell] for cell in place.tolist() if cell in spoken]
        against = [each for each in later if answers[each].name != answers[index].name]
        if 2 * len(against) > len(place):
            overruled[index] = max(against)
        for cell in place.tolist():
            spoken.setdefault(cell, index)
    return overruled

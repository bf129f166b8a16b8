"""Relations between classes in images, and proposals of classes to merge.

Two classes are likely to be the same kind of thing if one turns into the other when only the
lighting changes and if they have the same surroundings, that is, the same classes above and below.
The distance between their centres alone would propose neighbours in feature space, such as sky and
trees.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DISTANCE = 3
"""Vertical distance, in cells, at which the surroundings of a cell are sampled."""

BINS = 6
"""Number of parts per side into which an image is divided to compare positions."""

SMOOTHING = 1e-3

MIN_SCORE = 0.04
"""Minimum score of a proposal.

Of the first five pairs at each level of six runs (CamVid and toy scenes), 28 of 33 with this score
or more have the same label, but only 17 of 51 with less. Coarse classes rarely reach it."""


@dataclass(frozen=True)
class ClassRelations:
    """Counts of relations between classes over some images.

    Attributes:
        relit: number of cells of class i that become class j under changed lighting, shape
            (classes, classes).
        above: number of cells of class i with class j above them, the same shape.
        below: number of cells of class i with class j below them, the same shape.
        beside: number of adjacent cell pairs of classes i and j, the same shape, symmetric.
        positions: number of cells of each class in each part of the image, shape
            (classes, BINS ** 2).
    """

    relit: NDArray[np.float64]
    above: NDArray[np.float64]
    below: NDArray[np.float64]
    beside: NDArray[np.float64]
    positions: NDArray[np.float64]


@dataclass(frozen=True)
class MergeProposal:
    """Two classes that are likely to be the same kind of thing; all values in 0..1.

    Attributes:
        classes: class indices, the smaller first.
        score: product of ``relit`` and ``surroundings``.
        relit: share of their cells that change from one to the other when the lighting changes.
        surroundings: similarity of the classes above and below them.
        positions: similarity of their positions in the image.
        beside: border between them, relative to the geometric mean of their total borders.
    """

    classes: tuple[int, int]
    score: float
    relit: float
    surroundings: float
    positions: float
    beside: float


def class_relations(
    maps: Iterable[NDArray[np.int64]],
    relit: Iterable[tuple[NDArray[np.int64], NDArray[np.int64]]],
    classes: int,
) -> ClassRelations:
    """Count the relations between classes.

    Args:
        maps: class index maps of images, each of shape (height, width).
        relit: pairs of maps of the same image, in its original lighting and in another.

    Example:
        >>> day = np.array([[0, 0], [1, 1]])
        >>> relations = class_relations([day], [(day, np.array([[0, 2], [1, 1]]))], 3)
        >>> relations.relit.tolist()
        [[1.0, 0.0, 1.0], [0.0, 2.0, 0.0], [0.0, 0.0, 0.0]]
    """
    above, below, beside = (np.zeros((classes, classes)) for _ in range(3))
    positions = np.zeros((classes, BINS**2))
    for image in maps:
        distance = min(DISTANCE, len(image) - 1)
        if distance:
            _count(above, image[distance:], image[:-distance])
            _count(below, image[:-distance], image[distance:])
        for one, other in ((image[1:], image[:-1]), (image[:, 1:], image[:, :-1])):
            _count(beside, one, other)
            _count(beside, other, one)
        rows, columns = (np.arange(size) * BINS // size for size in image.shape)
        parts = rows[:, None] * BINS + columns
        _count(positions, image, parts)
    changed = np.zeros((classes, classes))
    for before, after in relit:
        _count(changed, before, after)
    return ClassRelations(changed, above, below, beside, positions)


def merge_proposals(relations: ClassRelations, count: int | None = 5) -> list[MergeProposal]:
    """Return up to ``count`` pairs of classes that are likely the same kind of thing, best first.

    Pairs with a score below :data:`MIN_SCORE` are left out, so there may be none. ``None`` returns
    all others.

    Example:
        >>> bright, dusk = np.array([[0, 0], [1, 1]]), np.array([[2, 2], [1, 1]])
        >>> relations = class_relations([bright, dusk], [(bright, dusk)], 3)
        >>> [each.classes for each in merge_proposals(relations)]
        [(0, 2)]
    """
    relit = _shares(relations.relit)
    light = (relit + relit.T) / 2
    positions = np.sqrt(_shares(relations.positions))
    position = positions @ positions.T
    borders = relations.beside.sum(axis=1)
    proposals = []
    for first, second in np.argwhere(np.triu(np.ones(light.shape, bool), 1)).tolist():
        if light[first, second] <= 0:
            continue
        surroundings = _surroundings(relations, first, second)
        touching = relations.beside[first, second] / max(
            1.0, np.sqrt(borders[first] * borders[second])
        )
        proposals.append(
            MergeProposal(
                (first, second),
                float(light[first, second] * surroundings),
                float(light[first, second]),
                surroundings,
                float(position[first, second]),
                float(touching),
            )
        )
    likely = [each for each in proposals if each.score >= MIN_SCORE]
    return sorted(likely, key=lambda each: -each.score)[:count]


def _surroundings(relations: ClassRelations, first: int, second: int) -> float:
    """Return the mean Bhattacharyya coefficient of the classes above and below two classes."""
    others = np.ones(len(relations.above), bool)
    others[[first, second]] = False
    if not others.any():
        return 1.0
    alike = []
    for counts in (relations.above, relations.below):
        pair = counts[[first, second]][:, others] + SMOOTHING
        one, other = pair / pair.sum(axis=1, keepdims=True)
        alike.append(np.sqrt(one * other).sum())
    return float(np.mean(alike))


def _shares(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    shares: NDArray[np.float64] = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return shares


def _count(table: NDArray[np.float64], rows: NDArray[np.int64], columns: NDArray[np.int64]) -> None:
    pairs = rows.ravel() * table.shape[1] + columns.ravel()
    table += np.bincount(pairs, minlength=table.size).reshape(table.shape)

"""How classes relate in images, and which of them a person would merge.

Two classes are likely to be one kind of thing if one turns into the other when only the light
changes, and if they have the same surroundings: the same classes above and below. Distance of
their centres alone proposes neighbours in feature space, such as sky and trees.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DISTANCE = 3
"""Cells up and down at which the surroundings of a cell are looked up."""

BINS = 6
"""Parts of the image, per side, by which positions are compared."""

SMOOTHING = 1e-3


@dataclass(frozen=True)
class ClassRelations:
    """Counts of what happens between classes, over some images.

    Attributes:
        relit: cells of class i that are of class j under changed light, shape (classes, classes).
        above: cells of class i that have class j above them.
        below: cells of class i that have class j below them.
        beside: pairs of adjacent cells of classes i and j, symmetric.
        positions: cells of each class in each part of the image, shape (classes, BINS ** 2).
    """

    relit: NDArray[np.float64]
    above: NDArray[np.float64]
    below: NDArray[np.float64]
    beside: NDArray[np.float64]
    positions: NDArray[np.float64]


@dataclass(frozen=True)
class MergeProposal:
    """Two classes that are likely to be one kind of thing; all numbers in 0..1.

    Attributes:
        classes: their indices, the smaller first.
        score: product of ``relit`` and ``surroundings``.
        relit: share of their cells that changes from one to the other when the light changes.
        surroundings: how alike the classes above and below them are.
        positions: how alike their positions in the image are.
        beside: how often they lie side by side, relative to what either borders on.
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
    """Count how classes relate.

    Args:
        maps: class indices of images, each of shape (height, width).
        relit: pairs of maps of one image, in its own light and under another.
        classes: number of classes.

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


def merge_proposals(relations: ClassRelations, count: int = 5) -> list[MergeProposal]:
    """Return at most ``count`` pairs of classes that are likely one kind of thing, best first.

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
    return sorted(proposals, key=lambda each: -each.score)[:count]


def _surroundings(relations: ClassRelations, first: int, second: int) -> float:
    """Return how alike the classes above and below two others are: Bhattacharyya coefficients."""
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

"""Consistent colours for labels, baseline clusters and segments."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segdistill.evaluation.confusion import ConfusionMatrix, score
from segdistill.images.labels import VOID, Colour, distinct_colours
from segdistill.model.description import SegmentClass

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class ClassStyle:
    """Display style of a class: its colour, and whether it is hidden."""

    colour: Colour
    hidden: bool = False


def class_styles(classes: Sequence[SegmentClass]) -> tuple[ClassStyle, ...]:
    """Return the display styles of classes."""
    return tuple(ClassStyle(each.colour, each.hidden) for each in classes)


def unused_colours(count: int, taken: Collection[Colour]) -> list[Colour]:
    """Return distinct colours that are not in use.

    Example:
        >>> first = distinct_colours(3)
        >>> unused_colours(1, first)[0] in first
        False
    """
    free = [each for each in distinct_colours(count + len(taken)) if each not in taken]
    return free[:count]


def matched_styles(
    match: Sequence[int | None], styles: Sequence[ClassStyle], taken: Collection[Colour] = ()
) -> tuple[ClassStyle, ...]:
    """Give classes the styles of their matches, and unmatched ones new colours.

    Args:
        match: index of the match of each class; ``None`` or negative if unmatched.
        styles: display styles of the matches.
        taken: colours to avoid, in addition to those of ``styles``.

    Example:
        >>> styles = (ClassStyle((9, 9, 9)), ClassStyle((0, 0, 200)))
        >>> [each.colour for each in matched_styles([1, None, 0], styles)]
        [(0, 0, 200), (47, 136, 218), (9, 9, 9)]
    """
    alone = sum(each is None or each < 0 for each in match)
    own = iter(unused_colours(alone, [*taken, *(each.colour for each in styles)]))
    return tuple(
        ClassStyle(next(own)) if each is None or each < 0 else styles[each] for each in match
    )


def match_masks(
    masks: Sequence[Picture], others: Sequence[Picture], classes: int, other_classes: int
) -> tuple[int, ...]:
    """Match the classes of two sets of masks one to one, by Hungarian matching.

    Args:
        masks: class indices, each of shape (height, width).
        others: other masks of the same images.
        classes: number of classes in ``masks``.
        other_classes: number of classes in ``others``.

    Returns:
        The match in ``others`` of each class in ``masks``, or -1.

    Example:
        >>> match_masks([np.uint8([[0, 1, 1]])], [np.uint8([[2, 0, 0]])], 2, 3)
        (2, 0)
    """
    matrix = ConfusionMatrix(classes, other_classes)
    for mask, other in zip(masks, others, strict=True):
        matrix.update(mask, other.astype(np.int64))
    return score(matrix.counts).match


def shares_within(
    masks: Sequence[Picture], others: Sequence[Picture], classes: int, chosen: Sequence[bool]
) -> NDArray[np.float64]:
    """Return the share of each class that is inside chosen classes of other masks.

    Args:
        masks: class indices, each of shape (height, width).
        others: other masks of the same images.
        classes: number of classes in ``masks``.
        chosen: whether each class in ``others`` is chosen.

    Returns:
        Shares in 0..1, shape (classes,); 0 for classes without pixels.

    Example:
        >>> shares_within([np.uint8([[0, 0, 1]])], [np.uint8([[2, 0, 2]])], 2, [False, True, True])
        array([0.5, 1. ])
    """
    counts = np.zeros((classes, 2))
    inside = np.array(chosen, bool)
    for mask, other in zip(masks, others, strict=True):
        np.add.at(counts, (mask.ravel(), inside[other.ravel()].astype(int)), 1)
    shares: NDArray[np.float64] = counts[:, 1] / np.maximum(counts.sum(axis=1), 1)
    return shares


def colour_mask(indices: NDArray[np.integer], styles: Sequence[ClassStyle]) -> Picture:
    """Return a mask or labels as an RGBA image.

    Args:
        indices: class indices, shape (height, width); 255 and unknown classes are transparent.
        styles: display styles of the classes.

    Returns:
        RGBA image of shape (height, width, 4).

    Example:
        >>> colour_mask(np.array([[0, 255]]), [ClassStyle((1, 2, 3))]).tolist()
        [[[1, 2, 3, 255], [255, 255, 255, 0]]]
    """
    table = np.full((VOID + 1, 4), (255, 255, 255, 0), np.uint8)
    for index, style in enumerate(styles[:VOID]):
        if not style.hidden:
            table[index] = (*style.colour, 255)
    picture: Picture = table[np.where((indices >= 0) & (indices <= VOID), indices, VOID)]
    return picture

"""Colours by which labels, clusters of features and segments can be compared at a glance."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segdistill.evaluation.confusion import ConfusionMatrix, score
from segdistill.images.labels import VOID, Colour, distinct_colours
from segdistill.model.description import SegmentClass

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Shade:
    """How the pixels of a class are shown: in a colour, or not at all."""

    colour: Colour
    hidden: bool = False


def shades_of(classes: Sequence[SegmentClass]) -> tuple[Shade, ...]:
    """Return how classes are shown."""
    return tuple(Shade(each.colour, each.hidden) for each in classes)


def further_colours(count: int, taken: Collection[Colour]) -> list[Colour]:
    """Return distinct colours that are not taken.

    Example:
        >>> first = distinct_colours(3)
        >>> further_colours(1, first)[0] in first
        False
    """
    free = [each for each in distinct_colours(count + len(taken)) if each not in taken]
    return free[:count]


def matched_shades(
    match: Sequence[int | None], shades: Sequence[Shade], taken: Collection[Colour] = ()
) -> tuple[Shade, ...]:
    """Show classes as the ones that they are matched to, others in colours of their own.

    Args:
        match: for each class the index of the one that it is matched to; ``None`` or below 0 for
            none.
        shades: of those.
        taken: colours that nothing else may have, beside those of ``shades``.

    Example:
        >>> shades = (Shade((9, 9, 9)), Shade((0, 0, 200)))
        >>> [each.colour for each in matched_shades([1, None, 0], shades)]
        [(0, 0, 200), (47, 136, 218), (9, 9, 9)]
    """
    alone = sum(each is None or each < 0 for each in match)
    own = iter(further_colours(alone, [*taken, *(each.colour for each in shades)]))
    return tuple(Shade(next(own)) if each is None or each < 0 else shades[each] for each in match)


def match_masks(
    masks: Sequence[Picture], others: Sequence[Picture], classes: int, other_classes: int
) -> tuple[int, ...]:
    """Match the classes of some masks one to one to those of others, by the Hungarian method.

    Args:
        masks: class indices, each of shape (height, width).
        others: of the same images.
        classes: number of classes in ``masks``.
        other_classes: number of classes in ``others``.

    Returns:
        For each class in ``masks`` the one in ``others``, or -1.

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
    """Return how much of each class of some masks lies in chosen classes of others.

    Args:
        masks: class indices, each of shape (height, width).
        others: of the same images.
        classes: number of classes in ``masks``.
        chosen: whether each class in ``others`` is chosen.

    Returns:
        Shares from 0 to 1, shape (classes,); 0 for a class without a pixel.

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


def painted(indices: NDArray[np.integer], shades: Sequence[Shade]) -> Picture:
    """Return a picture of a mask or of labels.

    Args:
        indices: of classes, shape (height, width); 255 and what has no shade is transparent.
        shades: of the classes.

    Returns:
        Array of shape (height, width, 4): red, green, blue, opacity.

    Example:
        >>> painted(np.array([[0, 255]]), [Shade((1, 2, 3))]).tolist()
        [[[1, 2, 3, 255], [255, 255, 255, 0]]]
    """
    table = np.full((VOID + 1, 4), (255, 255, 255, 0), np.uint8)
    for index, shade in enumerate(shades[:VOID]):
        if not shade.hidden:
            table[index] = (*shade.colour, 255)
    picture: Picture = table[np.where((indices >= 0) & (indices <= VOID), indices, VOID)]
    return picture

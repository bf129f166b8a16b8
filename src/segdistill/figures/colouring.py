"""Colours that make labels, clusters of features and segments comparable at a glance."""

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from segdistill.evaluation.confusion import ConfusionMatrix
from segdistill.images.labels import VOID, distinct_colours
from segdistill.model.description import SegmentClass

Picture = NDArray[np.uint8]
Shade = tuple[int, int, int, int]
"""Red, green, blue and opacity, 0..255."""


def shades_of(classes: Sequence[SegmentClass]) -> list[Shade]:
    """Return the colours of classes; hidden ones are transparent."""
    return [(*each.colour, 0 if each.hidden else 255) for each in classes]


def matched_shades(
    match: Sequence[int | None], shades: Sequence[Shade], taken: Collection[Shade] = ()
) -> list[Shade]:
    """Give classes the colours of the ones they are matched to, and the others new colours.

    Args:
        match: for each class the index of the matched one; ``None`` or -1 for none.
        shades: of the matched ones.
        taken: further colours that new ones must differ from.

    Example:
        >>> matched_shades([1, None, 0], [(9, 9, 9, 255), (0, 0, 200, 255)])
        [(0, 0, 200, 255), (47, 136, 218, 255), (9, 9, 9, 255)]
    """
    used = {shade[:3] for shade in (*taken, *shades)}
    free = (each for each in distinct_colours(len(match) + len(used)) if each not in used)
    return [(*next(free), 255) if i is None or i < 0 else shades[i] for i in match]


def overlaps(
    masks: Sequence[Picture], others: Sequence[Picture], classes: int, other_classes: int
) -> NDArray[np.int64]:
    """Count the pixels that classes of masks share with those of others.

    Args:
        masks: class indices, each of shape (height, width).
        others: of the same images.
        classes: number of classes in ``masks``.
        other_classes: number of classes in ``others``.

    Returns:
        Array of shape (classes, other classes).

    Example:
        >>> overlaps([np.uint8([[0, 1, 1]])], [np.uint8([[2, 0, 0]])], 2, 3).tolist()
        [[0, 0, 1], [2, 0, 0]]
    """
    matrix = ConfusionMatrix(classes, other_classes)
    for mask, other in zip(masks, others, strict=True):
        matrix.update(mask, other.astype(np.int64))
    return matrix.counts


def painted(indices: NDArray[np.integer], shades: Sequence[Shade]) -> Picture:
    """Return a picture of a mask or of labels.

    Args:
        indices: of classes, shape (height, width); 255 and classes without a shade are
            transparent.
        shades: of the classes.

    Returns:
        Array of shape (height, width, 4): red, green, blue, opacity.

    Example:
        >>> painted(np.array([[0, 255]]), [(1, 2, 3, 255)]).tolist()
        [[[1, 2, 3, 255], [255, 255, 255, 0]]]
    """
    table = np.full((VOID + 1, 4), (255, 255, 255, 0), np.uint8)
    for index, shade in enumerate(shades[:VOID]):
        if shade[3]:
            table[index] = shade
    picture: Picture = table[np.where((indices >= 0) & (indices <= VOID), indices, VOID)]
    return picture

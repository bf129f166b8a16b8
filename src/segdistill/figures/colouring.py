"""Consistent colours for labels, baseline clusters and segments."""

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from segdistill.images.palette import VOID, distinct_colours
from segdistill.model.description import SegmentClass

Picture = NDArray[np.uint8]
Rgba = tuple[int, int, int, int]
"""Red, green, blue and opacity, 0..255."""


def class_colours(classes: Sequence[SegmentClass]) -> list[Rgba]:
    """Return the colours of classes; hidden ones are transparent."""
    return [(*each.colour, 0 if each.hidden else 255) for each in classes]


def matched_colours(
    match: Sequence[int | None], colours: Sequence[Rgba], taken: Collection[Rgba] = ()
) -> list[Rgba]:
    """Give classes the colours of their matches, and unmatched ones new colours.

    Args:
        match: index of the match of each class; ``None`` or negative if unmatched.
        colours: of the matches.
        taken: colours to avoid, in addition to ``colours``.

    Example:
        >>> matched_colours([1, None, 0], [(9, 9, 9, 255), (0, 0, 200, 255)])
        [(0, 0, 200, 255), (47, 136, 218, 255), (9, 9, 9, 255)]
    """
    used = {colour[:3] for colour in (*taken, *colours)}
    free = (each for each in distinct_colours(len(match) + len(used)) if each not in used)
    return [(*next(free), 255) if i is None or i < 0 else colours[i] for i in match]


def painted(indices: NDArray[np.integer], colours: Sequence[Rgba]) -> Picture:
    """Return a mask or labels as an RGBA image.

    Args:
        indices: class indices, shape (height, width); 255 and unknown classes are transparent.

    Returns:
        RGBA image of shape (height, width, 4).

    Example:
        >>> painted(np.array([[0, 255]]), [(1, 2, 3, 255)]).tolist()
        [[[1, 2, 3, 255], [255, 255, 255, 0]]]
    """
    table = np.full((VOID + 1, 4), (255, 255, 255, 0), np.uint8)
    for index, colour in enumerate(colours[:VOID]):
        if colour[3]:
            table[index] = colour
    picture: Picture = table[np.where((indices >= 0) & (indices <= VOID), indices, VOID)]
    return picture

"""What a Segmenter is, beside its weights: its classes, its resolution, how it came to be."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segdistill.images.labels import Colour, distinct_colours


@dataclass(frozen=True)
class SegmentClass:
    """One kind of thing that was found.

    Attributes:
        index: its value in masks.
        name: shown to people; ``class 3`` until somebody names it.
        colour: red, green, blue, 0..255.
    """

    index: int
    name: str
    colour: Colour


def numbered_classes(count: int) -> tuple[SegmentClass, ...]:
    """Return classes without names yet, in distinct colours."""
    return tuple(
        SegmentClass(index, f"class {index}", colour)
        for index, colour in enumerate(distinct_colours(count))
    )


def renamed_classes(
    former: Sequence[SegmentClass], overlap: NDArray[np.float64]
) -> tuple[SegmentClass, ...]:
    """Return classes that replace others, with the names and colours of those they are much alike.

    Two classes are much alike if what both hold is more than half of what either holds. A class
    without a name of its own is numbered anew.

    Args:
        former: the classes that are replaced.
        overlap: share of all places that each former class and each new class have in common, shape
            (former classes, new classes).

    Example:
        >>> classes = renamed_classes(
        ...     [SegmentClass(0, "sky", (9, 9, 255)), SegmentClass(1, "class 1", (0, 99, 0))],
        ...     np.array([[0.0, 0.1, 0.3], [0.4, 0.2, 0.0]]),
        ... )
        >>> [each.name for each in classes], classes[0].colour
        (['class 0', 'class 1', 'sky'], (0, 99, 0))
    """
    either = overlap.sum(axis=1)[:, None] + overlap.sum(axis=0) - overlap
    alike = np.argwhere(overlap > either / 2)
    kept = {int(new): former[int(old)] for old, new in alike}
    taken = {each.colour for each in kept.values()}
    count = overlap.shape[1]
    free = [each for each in distinct_colours(count + len(former)) if each not in taken]
    classes = []
    for index in range(count):
        before = kept.get(index)
        if before is None:
            classes.append(SegmentClass(index, f"class {index}", free.pop(0)))
        else:
            numbered = before.name == f"class {before.index}"
            name = f"class {index}" if numbered else before.name
            classes.append(SegmentClass(index, name, before.colour))
    return tuple(classes)


@dataclass(frozen=True)
class SegmenterSettings:
    """What a Segmenter needs to know beside its weights.

    Attributes:
        resolution: shorter side, in pixels, of an image as the backbone sees it.
        classes: in the order of their indices.
        training: facts on how it came to be, for people.
    """

    resolution: int
    classes: tuple[SegmentClass, ...]
    training: dict[str, Any] = field(default_factory=dict)

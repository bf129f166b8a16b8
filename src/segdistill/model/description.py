"""What a Segmenter is, beside its weights: its classes, its resolution, how it came to be."""

from dataclasses import dataclass, field
from typing import Any

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

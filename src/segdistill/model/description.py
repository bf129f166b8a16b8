"""The metadata of a Segmenter: its classes, its resolution and facts about its training."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from segdistill.decoding.image_reading import AS_EACH_FILE_SAYS, ImageReading
from segdistill.images.palette import distinct_colours

Byte = Annotated[int, Meta(ge=0, le=255)]
Index = Annotated[int, Meta(ge=0, le=2**20)]
Name = Annotated[str, Meta(max_length=1000, pattern="^[^\ud800-\udfff]*$")]
"""A name without lone surrogates, which cannot be printed."""


@dataclass(frozen=True)
class SegmentClass:
    """A discovered class.

    Attributes:
        index: its value in masks.
        name: the display name; ``class 3``, for instance, until it is named.
        colour: red, green and blue, 0..255.
        clusters: the numbers of the code clusters it consists of; empty if it is the single
            cluster with its own index, as before any merge.
        hidden: whether it is omitted from overlays and exports; masks always include it.

    Example:
        >>> SegmentClass(2, "road", (90, 90, 90)).members
        (2,)
    """

    index: Byte
    name: Name
    colour: tuple[Byte, Byte, Byte]
    clusters: tuple[Index, ...] = ()
    hidden: bool = False

    @property
    def members(self) -> tuple[int, ...]:
        """The clusters the class consists of, at least one."""
        return self.clusters or (self.index,)

    @property
    def is_named(self) -> bool:
        """Whether the class has been named."""
        return re.fullmatch(r"class \d+", self.name) is None

    def at(self, index: int) -> "SegmentClass":
        """Return the class with a new index; if it is unnamed, it is renumbered."""
        name = self.name if self.is_named else f"class {index}"
        return replace(self, index=index, name=name, clusters=self.members)


def numbered_classes(count: int) -> tuple[SegmentClass, ...]:
    """Return unnamed classes in distinct colours."""
    return tuple(
        SegmentClass(index, f"class {index}", colour)
        for index, colour in enumerate(distinct_colours(count))
    )


def inherit_names(
    former: Sequence[SegmentClass], overlap: NDArray[np.float64]
) -> tuple[SegmentClass, ...]:
    """Return new classes that inherit the names and colours of the former classes they match.

    Two classes match if their intersection over union is more than 0.5. Unnamed classes are
    renumbered.

    Args:
        former: the classes to replace.
        overlap: share of all locations that lie in both a former and a new class, shape (former
            classes, new classes).

    Example:
        >>> classes = inherit_names(
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
    return tuple(
        replace(kept[index].at(index), clusters=())
        if index in kept
        else SegmentClass(index, f"class {index}", free.pop(0))
        for index in range(count)
    )


def check_members(classes: Sequence[SegmentClass], clusters: int) -> None:
    """Check that every cluster belongs to exactly one class.

    Raises:
        ValueError: the indices are not 0, 1, 2 and so on, or a cluster is in no class or in two.
    """
    if [each.index for each in classes] != list(range(len(classes))):
        raise ValueError("the indices of classes are not 0, 1, 2 and so on")
    members = sorted(cluster for each in classes for cluster in each.members)
    if members != list(range(clusters)):
        raise ValueError(f"{len(classes)} classes, but {clusters} cluster centres")


@dataclass(frozen=True)
class SegmenterSettings:
    """The settings of a Segmenter, apart from its weights.

    Attributes:
        resolution: shorter side, in pixels, of the backbone's input.
        classes: the classes, ordered by index.
        training: facts about its training, for display.
        reading: how the training images were read, and others are.
        scale: median factor, per side, by which training images were resized for the backbone.
            GeoTIFFs of any size are resized by this factor.
        detail: how much of a cell's own score guided upsampling keeps, in 0..1. Classifiers trained
            with labels have scores that can be relied on cell by cell; similarities to clusters are
            better averaged.
    """

    resolution: int
    classes: tuple[SegmentClass, ...]
    training: dict[str, Any] = field(default_factory=dict)
    reading: ImageReading = AS_EACH_FILE_SAYS
    scale: float | None = None
    detail: float = 0.0

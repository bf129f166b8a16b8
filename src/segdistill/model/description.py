"""What a Segmenter is, beside its weights: its classes, its resolution, how it came to be."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from segdistill.images.labels import distinct_colours
from segdistill.images.raster_reading import RasterReading

Byte = Annotated[int, Meta(ge=0, le=255)]
Index = Annotated[int, Meta(ge=0, le=2**20)]


@dataclass(frozen=True)
class SegmentClass:
    """One kind of thing that was found.

    Attributes:
        index: its value in masks.
        name: shown; ``class 3`` until somebody names it.
        colour: red, green, blue, 0..255.
        clusters: the clusters of codes that it is made of, by their number; empty where it is the
            cluster of its own index, as long as nobody has merged classes.
        hidden: left out of overlays and exports; masks hold it all the same.

    Example:
        >>> SegmentClass(2, "road", (90, 90, 90)).members
        (2,)
    """

    index: Byte
    name: Annotated[str, Meta(max_length=1000)]
    colour: tuple[Byte, Byte, Byte]
    clusters: tuple[Index, ...] = ()
    hidden: bool = False

    @property
    def members(self) -> tuple[int, ...]:
        """The clusters that it is made of, at least one."""
        return self.clusters or (self.index,)

    @property
    def is_named(self) -> bool:
        """Whether somebody has named it."""
        return re.fullmatch(r"class \d+", self.name) is None

    def at(self, index: int) -> "SegmentClass":
        """Return the same class under an index; without a name of its own it is numbered again."""
        name = self.name if self.is_named else f"class {index}"
        return replace(self, index=index, name=name, clusters=self.members)


def numbered_classes(count: int) -> tuple[SegmentClass, ...]:
    """Return classes without names yet, in distinct colours."""
    return tuple(
        SegmentClass(index, f"class {index}", colour)
        for index, colour in enumerate(distinct_colours(count))
    )


def inherit_names(
    former: Sequence[SegmentClass], overlap: NDArray[np.float64]
) -> tuple[SegmentClass, ...]:
    """Return classes that replace others, with the names and colours of those they are much alike.

    Two classes are much alike if what both hold is more than half of what either holds. A class
    without a name of its own is numbered again.

    Args:
        former: the classes that are replaced.
        overlap: share of all locations that each former class and each new class have in common,
            shape (former classes, new classes).

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
    """Check that classes share out a number of clusters.

    Raises:
        ValueError: indices are not 0, 1, 2 and so on, or a cluster is in no class, or in two.
    """
    if [each.index for each in classes] != list(range(len(classes))):
        raise ValueError("the indices of classes are not 0, 1, 2 and so on")
    members = sorted(cluster for each in classes for cluster in each.members)
    if members != list(range(clusters)):
        raise ValueError(f"{len(classes)} classes, but {clusters} cluster centres")


@dataclass(frozen=True)
class SegmenterSettings:
    """What a Segmenter needs to know beside its weights.

    Attributes:
        resolution: shorter side, in pixels, of an image as the backbone sees it.
        classes: in the order of their indices.
        training: facts on how it came to be, for display.
        raster: how GeoTIFFs among the training images were read.
        scale: pixels that the backbone saw for a pixel of a training image, along per side; the
            median. GeoTIFFs of any size are seen at this scale.
    """

    resolution: int
    classes: tuple[SegmentClass, ...]
    training: dict[str, Any] = field(default_factory=dict)
    raster: RasterReading | None = None
    scale: float | None = None

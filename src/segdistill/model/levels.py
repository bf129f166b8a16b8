"""Levels of granularity: the same fine clusters grouped into few, some or many classes.

A fit finds fine clusters and three nested groupings of them. Coarse classes are unions of medium
ones, which are unions of fine ones, so changing the level never moves a boundary that both levels
share.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from segdistill.config.settings import LevelName
from segdistill.images.palette import Colour, shades
from segdistill.model.description import SegmentClass, numbered_classes

LEVEL_NAMES: tuple[LevelName, ...] = ("coarse", "medium", "fine")

Grouping = tuple[tuple[int, ...], ...]
"""The clusters of each class, ordered by class."""


@dataclass(frozen=True)
class Levels:
    """Three nested groupings of the same clusters.

    Attributes:
        coarse: clusters of each coarse class.
        medium: clusters of each medium class.
        fine: clusters of each fine class, one each.

    Example:
        >>> levels = Levels(((0, 1, 2),), ((0, 2), (1,)), ((0,), (1,), (2,)))
        >>> levels.counts
        {'coarse': 1, 'medium': 2, 'fine': 3}
    """

    coarse: Grouping
    medium: Grouping
    fine: Grouping

    def __post_init__(self) -> None:
        """Check that every level groups the same clusters.

        Raises:
            ValueError: a level omits a cluster or contains it twice.
        """
        clusters = list(range(len(self.fine)))
        for name in LEVEL_NAMES:
            if sorted(cluster for group in self.grouping(name) for cluster in group) != clusters:
                raise ValueError(f"level {name} does not group {len(clusters)} clusters")

    def grouping(self, name: LevelName) -> Grouping:
        """Return the grouping of a level."""
        return {"coarse": self.coarse, "medium": self.medium, "fine": self.fine}[name]

    @property
    def counts(self) -> dict[LevelName, int]:
        """Number of classes at each level."""
        return {name: len(self.grouping(name)) for name in LEVEL_NAMES}

    def level_of(self, classes: Sequence[SegmentClass]) -> LevelName | None:
        """Return the level that has these classes; ``None`` if they were merged or split."""
        groups = {frozenset(each.members) for each in classes}
        for name in LEVEL_NAMES:
            if {frozenset(group) for group in self.grouping(name)} == groups:
                return name
        return None


def grouped_classes(grouping: Grouping) -> tuple[SegmentClass, ...]:
    """Return unnamed classes of these clusters in distinct colours.

    Example:
        >>> [(each.name, each.members) for each in grouped_classes(((0, 2), (1,)))]
        [('class 0', (0, 2)), ('class 1', (1,))]
    """
    return tuple(
        replace(each, clusters=tuple(group))
        for each, group in zip(numbered_classes(len(grouping)), grouping, strict=True)
    )


def regrouped_classes(
    former: Sequence[SegmentClass], grouping: Grouping, shares: NDArray[np.float64]
) -> tuple[SegmentClass, ...]:
    """Return classes for another grouping of the same clusters, inheriting from the former ones.

    An unchanged class keeps its name, its colour and whether it is hidden. A part of a class is
    hidden if the class is, gets a shade of its colour, and a numbered name if the class is named
    ("road 1", "road 2"). A union takes the colour of its largest part, and its name if no other
    part is named.

    Args:
        former: the classes in use so far.
        grouping: clusters of each new class.
        shares: share of the training codes in each cluster, shape (clusters,).

    Example:
        >>> road = SegmentClass(0, "road", (100, 100, 100), (0, 1))
        >>> sky = SegmentClass(1, "sky", (0, 0, 200), (2,))
        >>> split = regrouped_classes([road, sky], ((0,), (1,), (2,)), np.array([0.5, 0.3, 0.2]))
        >>> [each.name for each in split]
        ['road 1', 'road 2', 'sky']
    """
    owner = {cluster: each.index for each in former for cluster in each.members}
    parts: dict[int, list[int]] = {}
    for index, group in enumerate(grouping):
        owners = {owner[cluster] for cluster in group}
        if len(owners) == 1:
            parts.setdefault(owners.pop(), []).append(index)
    classes = list(grouped_classes(grouping))
    for index, group in enumerate(grouping):
        held = np.zeros(len(former))
        for cluster in group:
            held[owner[cluster]] += shares[cluster]
        main = former[int(held.argmax())]
        siblings = parts.get(main.index, [])
        if index in siblings:
            same = set(group) == set(main.members)
            number = siblings.index(index)
            name = main.name if same else f"{main.name} {number + 1}"
            colour = main.colour if same else shades(main.colour, len(siblings))[number]
            hidden, inherits = main.hidden, main.is_named
        else:
            named = [each for each in former if each.is_named and held[each.index]]
            name, colour, hidden = main.name, main.colour, False
            inherits = named == [main]
        classes[index] = replace(
            classes[index],
            name=name if inherits else f"class {index}",
            colour=colour,
            hidden=hidden,
        )
    return _made_distinct(classes)


def _made_distinct(classes: Sequence[SegmentClass]) -> tuple[SegmentClass, ...]:
    """Slightly change duplicate colours, and renumber classes with duplicate names."""
    colours: set[Colour] = set()
    names: set[str] = set()
    distinct = []
    for each in classes:
        name = f"class {each.index}" if each.name in names else each.name
        red, green, blue = each.colour
        while (red, green, blue) in colours:
            blue = (blue + 1) % 256
        colours.add((red, green, blue))
        names.add(name)
        distinct.append(replace(each, name=name, colour=(red, green, blue)))
    return tuple(distinct)

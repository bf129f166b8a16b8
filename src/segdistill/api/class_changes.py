"""A change of the classes of a run, and what it was in words."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segdistill.clustering.code_clusters import prototype_classes
from segdistill.model.class_sets import ClassSet
from segdistill.model.description import SegmentClass
from segdistill.model.prototypes import Prototypes


@dataclass(frozen=True, eq=False)
class ClassChange:
    """A change of the classes of a run.

    Attributes:
        before: the classes before it.
        after: the classes after it.
        overlap: share of the training codes in each former and each new class, shape (former
            classes, new classes); ``None`` if unknown.
    """

    before: ClassSet
    after: ClassSet
    overlap: NDArray[np.float64] | None

    def __bool__(self) -> bool:
        """Whether anything changed, so that it can be undone."""
        return self.before.classes != self.after.classes or self.before.tensor != self.after.tensor

    @property
    def summary(self) -> str:
        """What was done, such as ``renamed class 1 to road``."""
        former, now = self.before.classes, self.after.classes
        same_clusters = self.before.tensor == self.after.tensor
        if same_clusters and [each.members for each in former] == [each.members for each in now]:
            edits = [edit for pair in zip(former, now, strict=True) for edit in _edits(*pair)]
            return ", ".join(edits) or "changed nothing"
        unions = [each for each in now if each.members not in {old.members for old in former}]
        if same_clusters and len(unions) == 1 and len(now) < len(former):
            parts = [old.name for old in former if set(old.members) <= set(unions[0].members)]
            return f"merged {', '.join(parts[:-1])} and {parts[-1]} into {unions[0].name}"
        levels = self.after.levels if same_clusters else None
        level = None if levels is None else levels.level_of(now)
        what = "the number of classes" if level is None else f"to level {level}"
        return f"changed {what}: {len(now)} instead of {len(former)} classes"


def class_change(prototypes: Prototypes | None, before: ClassSet, after: ClassSet) -> ClassChange:
    """Return the change from one set of classes to another."""
    overlap = None if prototypes is None else overlap_of(prototypes, before, after)
    return ClassChange(before, after, overlap)


def overlap_of(prototypes: Prototypes, one: ClassSet, other: ClassSet) -> NDArray[np.float64]:
    """Return the share of the training codes in each pair of classes of two sets."""
    table = np.zeros((len(one.classes), len(other.classes)))
    pair = tuple(prototype_classes(prototypes, each) for each in (one, other))
    np.add.at(table, pair, prototypes.shares.double().numpy())
    return table


def _edits(old: SegmentClass, new: SegmentClass) -> list[str]:
    """Describe how a class that keeps its clusters was edited."""
    edits = []
    if new.name != old.name:
        edits.append(f"renamed {old.name} to {new.name}")
    if new.colour != old.colour:
        edits.append(f"changed the colour of {new.name}")
    if new.hidden != old.hidden:
        hid = f"hid {new.name} in overlays and exports"
        edits.append(hid if new.hidden else f"showed {new.name} again")
    return edits

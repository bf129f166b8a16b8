"""The classes of a run folder: those in use, and those that were in use before.

``segmenter.safetensors`` holds the centres of every set of classes, ``segmenter.json`` says which
set is in use. A set is added to the first file before the second names it, and never taken away: at
each moment the folder holds a whole model, and each change can be undone.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import torch

from segdistill.files import remove_leftovers
from segdistill.model.description import SegmentClass, check_members
from segdistill.model.files import (
    CENTRES,
    ClassesRecord,
    code_maps_from,
    levels_from,
    prototypes_from,
    read_description,
    read_tensors,
    translate_mismatches,
    write_description,
    write_tensors,
)
from segdistill.model.levels import Levels
from segdistill.model.prototypes import CodeMaps, Prototypes


@dataclass(frozen=True)
class ClassSet:
    """Classes and their centres.

    Attributes:
        classes: in the order of their indices.
        centres: of the clusters, shape (clusters, code channels).
        tensor: name of the centres in the file; none if they are not in it yet.
        levels: how the clusters are grouped into few, some or many classes, if that is known.
    """

    classes: tuple[SegmentClass, ...]
    centres: torch.Tensor
    tensor: str | None = None
    levels: Levels | None = None


@dataclass(frozen=True)
class ClassSets:
    """All classes that a run folder knows.

    Attributes:
        current: those in use.
        former: those that were in use before, the last first: what undoing leads to.
        undone: those that were undone, the last first: what redoing leads to.
        others: those to which neither leads, since something else was done after undoing.
        prototypes: from which other numbers of classes can be made; older models have none.
        training: facts on how the model came to be.
        code_maps: prototypes in some of the training images; older models have none.
    """

    current: ClassSet
    former: tuple[ClassSet, ...]
    undone: tuple[ClassSet, ...]
    others: tuple[ClassSet, ...]
    prototypes: Prototypes | None
    training: dict[str, Any]
    code_maps: CodeMaps | None = None

    @property
    def known(self) -> tuple[ClassSet, ...]:
        """All of them, those in use first."""
        return (self.current, *self.former, *self.undone, *self.others)


def read_class_sets(folder: Path) -> ClassSets:
    """Read the classes of a run folder; the backbone is not needed.

    Raises:
        UserError: the folder holds no model, or a damaged one.
    """
    description = read_description(folder)
    tensors = read_tensors(folder)

    def class_set(classes: tuple[SegmentClass, ...], tensor: str) -> ClassSet:
        check_members(classes, len(tensors[tensor]))
        levels = levels_from(description, tensor, tensors)
        return ClassSet(classes, tensors[tensor], tensor, levels)

    def class_sets(records: Iterable[ClassesRecord]) -> tuple[ClassSet, ...]:
        return tuple(class_set(each.classes, each.centres) for each in records)

    with translate_mismatches(folder):
        return ClassSets(
            class_set(description.classes, description.centres),
            class_sets(description.former),
            class_sets(description.undone),
            class_sets(description.others),
            prototypes_from(tensors),
            description.training,
            code_maps_from(tensors),
        )


def change_classes(folder: Path, sets: ClassSets, chosen: ClassSet) -> None:
    """Let a run folder use other classes; what was undone before can then not be done again.

    Args:
        folder: the run folder.
        sets: all that it knows now.
        chosen: one of those, or a new one.

    Raises:
        UserError: the folder holds no model, or cannot be written.
    """
    if chosen is sets.current:
        return
    # One that is taken again stays among the former, so that undoing goes back step by step.
    former = (sets.current, *sets.former)
    others = tuple(each for each in (*sets.undone, *sets.others) if each is not chosen)
    _write(folder, replace(sets, current=chosen, former=former, undone=(), others=others))


def undo_change(folder: Path, sets: ClassSets) -> None:
    """Let a run folder use the last of its former classes again, of which there is at least one."""
    current, *former = sets.former
    undone = (sets.current, *sets.undone)
    _write(folder, replace(sets, current=current, former=tuple(former), undone=undone))


def redo_change(folder: Path, sets: ClassSets) -> None:
    """Let a run folder use the classes again that were undone last, of which there are some."""
    current, *undone = sets.undone
    former = (sets.current, *sets.former)
    _write(folder, replace(sets, current=current, former=former, undone=tuple(undone)))


def _write(folder: Path, sets: ClassSets) -> None:
    remove_leftovers(folder)
    description = read_description(folder)
    current, levels = sets.current, description.levels
    if current.tensor is None:
        tensors = read_tensors(folder)
        names = (f"{CENTRES}.{number}" for number in range(1, len(tensors) + 2))
        free = next(name for name in names if name not in tensors)
        write_tensors({**tensors, free: current.centres}, folder)
        current = replace(current, tensor=free)
        if current.levels is not None:
            levels = {**levels, free: current.levels}
    changed = msgspec.structs.replace(
        description,
        classes=current.classes,
        centres=current.tensor or CENTRES,
        levels=levels,
        former=_records(sets.former),
        undone=_records(sets.undone),
        others=_records(sets.others),
    )
    write_description(changed, folder)


def _records(sets: Iterable[ClassSet]) -> tuple[ClassesRecord, ...]:
    return tuple(ClassesRecord(each.tensor or CENTRES, each.classes) for each in sets)

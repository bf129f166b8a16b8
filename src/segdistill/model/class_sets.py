"""The classes of a run folder, with their undo history.

``segmenter.safetensors`` holds the centres of every set of classes; ``segmenter.json`` says which
set is in use. A set is added to the first file before the second refers to it, and is never
removed: the folder holds a complete model at all times, and every change can be undone.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import torch

from segdistill.files import remove_leftovers
from segdistill.locks import only_writer
from segdistill.model.description import SegmentClass, check_members
from segdistill.model.files import (
    CENTRES,
    ClassesRecord,
    check_codes,
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

EDIT_SECONDS = 10.0
"""How long an edit waits for another one, which takes far less."""


@dataclass(frozen=True)
class ClassSet:
    """Classes and the centres of their clusters.

    Attributes:
        classes: the classes, ordered by index.
        centres: cluster centres of shape (clusters, code channels).
        tensor: name of the centres in the file; ``None`` if they have not been written yet.
        levels: groupings of the clusters into few, some or many classes, if known.
    """

    classes: tuple[SegmentClass, ...]
    centres: torch.Tensor
    tensor: str | None = None
    levels: Levels | None = None


@dataclass(frozen=True)
class ClassSets:
    """All sets of classes in a run folder.

    Attributes:
        current: the set in use.
        former: the undo history, latest first.
        undone: the redo history, latest first.
        others: sets in neither history, because another change followed an undo.
        prototypes: prototypes for re-clustering into another number of classes; older models have
            none.
        training: facts about the training of the model.
        code_maps: prototype maps of some training images; older models have none.
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
        """All sets, the current one first."""
        return (self.current, *self.former, *self.undone, *self.others)


def read_class_sets(folder: Path) -> ClassSets:
    """Read the classes of a run folder without loading the backbone.

    Raises:
        UserError: the folder contains no model or a damaged one.
    """
    description = read_description(folder)
    tensors = read_tensors(folder)

    def class_set(classes: tuple[SegmentClass, ...], tensor: str) -> ClassSet:
        check_members(classes, len(tensors[tensor]))
        levels = levels_from(description, tensor, tensors)
        check_codes(tensors[description.centres].shape[1], tensors[tensor], None)
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


@contextmanager
def editing_class_sets(folder: Path) -> Iterator[ClassSets]:
    """Yield the classes of a run folder, which no other process changes during the block.

    Raises:
        UserError: the folder contains no model or a damaged one, or another command writes to it.
    """
    read_description(folder)  # before a folder that does not exist is created
    with only_writer(folder, seconds=EDIT_SECONDS):
        yield read_class_sets(folder)


def change_classes(folder: Path, sets: ClassSets, chosen: ClassSet) -> None:
    """Switch a run folder to other classes; this clears the redo history.

    Args:
        folder: the run folder.
        sets: all sets of classes it currently holds.
        chosen: the set to use, either one of those or a new one.

    Raises:
        UserError: the folder contains no model or cannot be written.
    """
    if chosen is sets.current:
        return
    # A former set that is chosen again stays in the history, so that undo goes back step by step.
    former = (sets.current, *sets.former)
    others = tuple(each for each in (*sets.undone, *sets.others) if each is not chosen)
    _write(folder, replace(sets, current=chosen, former=former, undone=(), others=others))


def undo_change(folder: Path, sets: ClassSets) -> None:
    """Undo the last change of classes; the undo history must not be empty."""
    current, *former = sets.former
    undone = (sets.current, *sets.undone)
    _write(folder, replace(sets, current=current, former=tuple(former), undone=undone))


def redo_change(folder: Path, sets: ClassSets) -> None:
    """Redo the change of classes undone last; the redo history must not be empty."""
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

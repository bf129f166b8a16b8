"""Naming, merging and hiding the classes of a run folder; every change can be undone."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segdistill.api.common import Source
from segdistill.errors import UserError
from segdistill.images.labels import Colour
from segdistill.model import class_edits
from segdistill.model.class_sets import (
    ClassSet,
    ClassSets,
    change_classes,
    read_class_sets,
    step_back,
    step_on,
)
from segdistill.model.description import SegmentClass
from segdistill.objective.class_relations import MergeProposal
from segdistill.training.clustering import classes_of_codes
from segdistill.training.proposals import PROPOSALS, proposals_for

Classes = tuple[SegmentClass, ...]


def classes_of(run: Source) -> Classes:
    """Return the classes of a run folder, without loading its backbone.

    Raises:
        UserError: the folder holds no model, or a damaged one.
    """
    return read_class_sets(Path(run)).current.classes


def class_shares(run: Source) -> NDArray[np.float64] | None:
    """Return the share of the training codes in each class, shape (classes,), if it is known.

    Raises:
        UserError: the folder holds no model, or a damaged one.
    """
    sets = read_class_sets(Path(run))
    return _shares(sets, sets.current)


def name_classes(run: Source, names: Mapping[int, str]) -> Classes:
    """Give classes names; later masks, reports and exports bear them.

    Args:
        run: a run folder.
        names: by class index; an empty name takes the class's number for a name again.

    Returns:
        The classes as they are now.

    Raises:
        UserError: the folder holds no model or cannot be written, there is no such class, or two
            would have the same name.
    """
    return _changed(run, lambda classes: class_edits.named(classes, names))


def colour_classes(run: Source, colours: Mapping[int, Colour]) -> Classes:
    """Give classes colours: red, green, blue, 0..255, by class index; see :func:`name_classes`.

    Raises:
        UserError: as there.
    """
    return _changed(run, lambda classes: class_edits.coloured(classes, colours))


def merge_classes(run: Source, indices: Collection[int]) -> Classes:
    """Make one class of several.

    The classes are renumbered by their share of the training codes, the largest first, so that
    indices have no gaps.

    Args:
        run: a run folder.
        indices: of the classes to merge, at least two.

    Returns:
        The classes as they are now.

    Raises:
        UserError: as for :func:`name_classes`.
    """
    folder = Path(run)
    sets = read_class_sets(folder)
    merged = replace(sets.current, classes=class_edits.merged(sets.current.classes, indices))
    shares = _shares(sets, merged)
    if shares is not None:
        merged = replace(
            merged, classes=class_edits.ordered_by_share(merged.classes, shares.tolist())
        )
    change_classes(folder, sets, merged)
    return merged.classes


def proposed_merges(run: Source, *, count: int = PROPOSALS) -> list[MergeProposal]:
    """Return the pairs of classes that a person is likely to merge, the likeliest first.

    They turn into each other when only the light changes, and have the same surroundings; see
    :mod:`segdistill.objective.class_relations`. Nothing is changed.

    Args:
        run: a run folder; one of an older version, or with fewer than three classes, has none.
        count: number of proposals, at most.

    Raises:
        UserError: the folder holds no model, or a damaged one.
    """
    sets = read_class_sets(Path(run))
    return proposals_for(sets.prototypes, sets.code_maps, sets.current, count=count)


def hide_classes(run: Source, indices: Collection[int], *, hide: bool = True) -> Classes:
    """Leave classes out of overlays and exports, or take them in again; masks hold them always.

    Args:
        run: a run folder.
        indices: of the classes that are meant.
        hide: ``False`` shows them again.

    Returns:
        The classes as they are now.

    Raises:
        UserError: as for :func:`name_classes`.
    """
    return _changed(run, lambda classes: class_edits.hidden(classes, indices, hide=hide))


def undo_classes(run: Source) -> Classes:
    """Take back the last change of the classes, be it of names or of their number.

    Raises:
        UserError: the folder holds no model or cannot be written, or there is nothing to undo.
    """
    sets = read_class_sets(Path(run))
    if not sets.former:
        raise UserError(f"{run}: its classes have never been changed; nothing to undo")
    step_back(Path(run), sets)
    return sets.former[0].classes


def redo_classes(run: Source) -> Classes:
    """Make again the change that was taken back last.

    Raises:
        UserError: the folder holds no model or cannot be written, or there is nothing to redo.
    """
    sets = read_class_sets(Path(run))
    if not sets.undone:
        raise UserError(f"{run}: no change of its classes was undone; nothing to redo")
    step_on(Path(run), sets)
    return sets.undone[0].classes


def _shares(sets: ClassSets, classes: ClassSet) -> NDArray[np.float64] | None:
    if sets.prototypes is None:
        return None
    shares = np.zeros(len(classes.classes))
    owners = classes_of_codes(sets.prototypes, classes)
    np.add.at(shares, owners, sets.prototypes.shares.double().numpy())
    return shares


def _changed(run: Source, edit: Callable[[Classes], Classes]) -> Classes:
    folder = Path(run)
    sets: ClassSets = read_class_sets(folder)
    classes = edit(sets.current.classes)
    if classes != sets.current.classes:
        change_classes(folder, sets, replace(sets.current, classes=classes))
    return classes

"""Naming, merging and hiding the classes of a run; every change can be undone.

The parameters after ``run`` of functions that the app may use are the content of its requests.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segdistill.api.class_changes import ClassChange, class_change
from segdistill.api.common import Source
from segdistill.clustering.code_clusters import prototype_classes
from segdistill.clustering.proposals import PROPOSALS, proposals_for
from segdistill.errors import UserError
from segdistill.images.palette import Colour
from segdistill.model import class_edits
from segdistill.model.class_sets import (
    ClassSet,
    ClassSets,
    change_classes,
    editing_class_sets,
    read_class_sets,
    redo_change,
    undo_change,
)
from segdistill.model.description import SegmentClass
from segdistill.objective.class_relations import MergeProposal

Classes = tuple[SegmentClass, ...]


def classes_of(run: Source) -> Classes:
    """Return the classes of a run, without loading its backbone.

    Raises:
        UserError: the folder contains no model, or a damaged one.
    """
    return read_class_sets(Path(run)).current.classes


def class_shares(run: Source) -> NDArray[np.float64] | None:
    """Return the share of training codes in each class, shape (classes,), or ``None`` if unknown.

    Raises:
        UserError: the folder contains no model, or a damaged one.
    """
    sets = read_class_sets(Path(run))
    return _shares(sets, sets.current)


def name_classes(run: Source, names: Mapping[int, str]) -> ClassChange:
    """Name classes; later masks, reports and exports use the new names.

    Args:
        run: a run folder.
        names: names by class index; an empty name resets the class to its number.

    Returns:
        What was changed.

    Raises:
        UserError: the folder contains no model or cannot be written, there is no such class, or two
            classes would have the same name.
    """
    return _edit(run, lambda classes: class_edits.named(classes, names))


def colour_classes(run: Source, colours: Mapping[int, Colour]) -> ClassChange:
    """Set the colours of classes, RGB in 0..255, by class index; see :func:`name_classes`.

    Raises:
        UserError: as for :func:`name_classes`.
    """
    return _edit(run, lambda classes: class_edits.coloured(classes, colours))


def merge_classes(run: Source, indices: Collection[int | str]) -> ClassChange:
    """Merge several classes into one.

    The remaining classes are renumbered without gaps, by decreasing share of the training codes.

    Args:
        run: a run folder.
        indices: indices or names of the classes to merge, at least two.

    Returns:
        What was changed.

    Raises:
        UserError: as for :func:`name_classes`.

    Example:
        >>> merge_classes("runs/photos", [4, "road"])  # doctest: +SKIP
    """
    with editing_class_sets(Path(run)) as sets:
        known = sets.current.classes
        together = class_edits.indices_of(known, indices)
        merged = replace(sets.current, classes=class_edits.merged(known, together))
        shares = _shares(sets, merged)
        if shares is not None:
            merged = replace(
                merged, classes=class_edits.ordered_by_share(merged.classes, shares.tolist())
            )
        change_classes(Path(run), sets, merged)
    return class_change(sets.prototypes, sets.current, merged)


def proposed_merges(run: Source, *, count: int = PROPOSALS) -> list[MergeProposal]:
    """Propose pairs of classes to merge, the best first; nothing is changed.

    The classes of a pair swap when only the lighting changes and occur in the same surroundings;
    see :mod:`segdistill.objective.class_relations`.

    Args:
        run: a run folder; runs of older versions, or with fewer than three classes, give none.
        count: maximum number of proposals.

    Raises:
        UserError: the folder contains no model, or a damaged one.
    """
    sets = read_class_sets(Path(run))
    return proposals_for(sets.prototypes, sets.code_maps, sets.current, count=count)


def hide_classes(run: Source, indices: Collection[int | str], *, hide: bool = True) -> ClassChange:
    """Hide classes in overlays and exports, or show them again; masks always contain them.

    Args:
        run: a run folder.
        indices: indices or names of the classes.
        hide: ``False`` shows hidden classes again.

    Returns:
        What was changed.

    Raises:
        UserError: as for :func:`name_classes`.
    """

    def edit(classes: Classes) -> Classes:
        return class_edits.hidden(classes, class_edits.indices_of(classes, indices), hide=hide)

    return _edit(run, edit)


def undo_classes(run: Source) -> ClassChange:
    """Undo the last change of the classes, of any kind, and return what was undone.

    Raises:
        UserError: the folder contains no model or cannot be written, or there is nothing to undo.
    """
    with editing_class_sets(Path(run)) as sets:
        if not sets.former:
            raise UserError(f"{run}: its classes have never been changed; nothing to undo")
        undo_change(Path(run), sets)
    return class_change(sets.prototypes, sets.former[0], sets.current)


def redo_classes(run: Source) -> ClassChange:
    """Redo the change that was undone last, and return it.

    Raises:
        UserError: the folder contains no model or cannot be written, or there is nothing to redo.
    """
    with editing_class_sets(Path(run)) as sets:
        if not sets.undone:
            raise UserError(f"{run}: no change of its classes was undone; nothing to redo")
        redo_change(Path(run), sets)
    return class_change(sets.prototypes, sets.current, sets.undone[0])


def _shares(sets: ClassSets, classes: ClassSet) -> NDArray[np.float64] | None:
    if sets.prototypes is None:
        return None
    shares = np.zeros(len(classes.classes))
    owners = prototype_classes(sets.prototypes, classes)
    np.add.at(shares, owners, sets.prototypes.shares.double().numpy())
    return shares


def _edit(run: Source, edit: Callable[[Classes], Classes]) -> ClassChange:
    with editing_class_sets(Path(run)) as sets:
        changed = replace(sets.current, classes=edit(sets.current.classes))
        if changed.classes != sets.current.classes:
            change_classes(Path(run), sets, changed)
    return class_change(sets.prototypes, sets.current, changed)

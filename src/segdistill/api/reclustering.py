"""Changing the number of classes of a model without training again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from segdistill.api.common import Source, image_files, loaded
from segdistill.config.settings import DeviceName, LevelName, PrecisionName
from segdistill.config.validation import refuse
from segdistill.errors import UserError
from segdistill.images.folder import ImageFile
from segdistill.model.class_sets import (
    ClassSet,
    ClassSets,
    change_classes,
    read_class_sets,
    step_back,
)
from segdistill.model.description import SegmentClass, renamed_classes
from segdistill.model.levels import grouped_classes, regrouped_classes
from segdistill.model.prototypes import Prototypes
from segdistill.model.segmenter import Segmenter
from segdistill.report.page import write_report
from segdistill.training.clustering import (
    classes_of_codes,
    classes_of_prototypes,
    group_shares,
)
from segdistill.training.levels import levels_of_prototypes
from segdistill.training.run_folder import REPORT_FILE, RunFolder

MOST_CLASSES = 255


@dataclass(frozen=True)
class Reclustered:
    """What a change of the classes did.

    Attributes:
        before: the classes that were in use.
        after: those that are now.
        overlap: share of the training codes that each class before and each class after have in
            common, shape (classes before, classes after); ``None`` where that is not known.
        levels: number of classes of each level, for :func:`recluster`; empty for older runs.
    """

    before: tuple[SegmentClass, ...]
    after: tuple[SegmentClass, ...]
    overlap: NDArray[np.float64] | None
    levels: Mapping[LevelName, int] = field(default_factory=dict)


def recluster(
    run: Source,
    classes: int | None = None,
    *,
    level: LevelName | None = None,
    undo: bool = False,
) -> Reclustered:
    """Change the classes of a run folder, from what it keeps of the training codes.

    Neither images nor the backbone are needed. Levels are nested: a class that has a name gives it
    to its parts ("road 1", "road 2"). With another number, classes that stay much as they were
    keep their name and colour. The classes that were in use are kept, and come back with their
    level or number, or with ``undo``. Masks and reports made before stay unchanged.

    Args:
        run: a run folder.
        classes: number wanted.
        level: ``coarse``, ``medium`` or ``fine``, in place of a number.
        undo: restore the classes that were in use before, in place of a number.

    Raises:
        UserError: the folder holds no model, or one that kept no codes; or the number is out of
            range; or there is nothing to undo.
    """
    folder = Path(run)
    sets = read_class_sets(folder)
    given = {"--classes": classes is not None, "--level": level is not None, "--undo": undo}
    if sum(given.values()) > 1:
        raise UserError(
            f"{' and '.join(name for name, is_given in given.items() if is_given)}: give only one"
        )
    if undo:
        if not sets.former:
            raise UserError(f"{folder}: its classes have never been changed; nothing to undo")
        chosen = sets.former[0]
        step_back(folder, sets)
    elif level is not None:
        chosen = _at_level(sets, level, folder)
        change_classes(folder, sets, chosen)
    elif classes is not None:
        chosen = _with_number(sets, classes, folder)
        change_classes(folder, sets, chosen)
    else:
        raise UserError("give --level, --classes or --undo")
    return Reclustered(
        sets.current.classes,
        chosen.classes,
        _overlap(sets.prototypes, sets.current, chosen),
        {} if chosen.levels is None else chosen.levels.counts,
    )


def reclustered(segmenter: Segmenter, classes: int) -> Segmenter:
    """Return a model with another number of classes; all else is shared with the given one.

    Args:
        segmenter: a model that keeps prototypes, as all do that :func:`fit` made.
        classes: number wanted.

    Raises:
        UserError: the model keeps no prototypes, or too few for so many classes.
    """
    settings = segmenter.settings
    current = ClassSet(settings.classes, segmenter.centres.cpu(), levels=segmenter.levels)
    made = _made(segmenter.prototypes, current, classes, "the model", settings.training)
    return segmenter.with_classes(made.classes, made.centres, made.levels)


def at_level(segmenter: Segmenter, level: LevelName) -> Segmenter:
    """Return a model with coarse, medium or fine classes; all else is shared with the given one.

    Args:
        segmenter: a model that keeps prototypes, as all do that :func:`fit` made.
        level: of the classes wanted.

    Raises:
        UserError: the model has neither levels nor prototypes to make them from.
    """
    settings = segmenter.settings
    current = ClassSet(settings.classes, segmenter.centres.cpu(), levels=segmenter.levels)
    made = _level_of(segmenter.prototypes, current, level, "the model", settings.training)
    return segmenter.with_classes(made.classes, made.centres, made.levels)


def renew_report(
    run: Source,
    images: Source | Sequence[ImageFile],
    *,
    backbone: str | None = None,
    device: DeviceName = "auto",
    precision: PrecisionName = "auto",
    progress: bool = False,
) -> None:
    """Write a run folder's report again, with the classes that are in use now.

    Args:
        run: a run folder.
        images: those that it was fitted on, or any others.
        backbone: where the backbone lies now, if it has moved.
        device: where to compute.
        precision: of matrix products.
        progress: show a progress bar.

    Raises:
        UserError: invalid input; the message says what is wrong.
    """
    folder = RunFolder(Path(run))
    files = image_files(images)
    segmenter = loaded(run, backbone, device, precision)
    write_report(
        folder.path / REPORT_FILE,
        segmenter,
        files,
        history=folder.read_history(),
        settings=folder.read_settings() | {"classes": len(segmenter.classes)},
        facts=folder.read_facts(),
        progress=progress,
    )


def _with_number(sets: ClassSets, classes: int, folder: Path) -> ClassSet:
    """Return the set with a number of classes: one that was made before, or a new one."""
    if not 2 <= classes <= MOST_CLASSES:
        refuse("classes", str(classes), f"from 2 to {MOST_CLASSES}")
    for known in sets.known:
        if len(known.classes) == classes:
            return known
    return _made(sets.prototypes, sets.current, classes, str(folder), sets.training)


def _at_level(sets: ClassSets, level: LevelName, folder: Path) -> ClassSet:
    """Return the set of a level: one that was in use before, with its names, or a new one."""
    levels = sets.current.levels
    if levels is not None:
        for known in sets.known:
            if known.tensor == sets.current.tensor and levels.level_of(known.classes) == level:
                return known
    return _level_of(sets.prototypes, sets.current, level, str(folder), sets.training)


def _level_of(
    prototypes: Prototypes | None,
    current: ClassSet,
    level: LevelName,
    name: str,
    training: dict[str, Any],
) -> ClassSet:
    kept = _prototypes_of(prototypes, name, training)
    if current.levels is None:
        # A run of an older version, or a baseline: its classes become the medium level.
        base = _levelled(kept, F.normalize(current.centres, dim=1), current)
    else:
        base = current
    levels = base.levels
    if levels is None:  # pragma: no cover - _levelled always has them
        raise AssertionError
    shares = group_shares(kept, base.centres).numpy()
    classes = regrouped_classes(base.classes, levels.grouping(level), shares)
    return replace(base, classes=classes)


def _levelled(prototypes: Prototypes, medium: torch.Tensor, current: ClassSet) -> ClassSet:
    """Return medium classes as unions of fine clusters, with the names they had."""
    centres, levels = levels_of_prototypes(prototypes, medium)
    made = ClassSet(grouped_classes(levels.medium), centres, levels=levels)
    overlap = _overlap(prototypes, current, made)
    renamed = renamed_classes(current.classes, overlap)
    return replace(
        made,
        classes=tuple(
            replace(each, clusters=group.clusters)
            for each, group in zip(renamed, made.classes, strict=True)
        ),
    )


def _prototypes_of(
    prototypes: Prototypes | None, name: str, training: dict[str, Any]
) -> Prototypes:
    if prototypes is None:
        origin = training.get("converted_from")
        why = "an older version made it" if origin is None else f"it was converted from {origin}"
        raise UserError(
            f"{name}: keeps no codes to make other classes from ({why}); fit again with"
            " `segdistill fit IMAGES`"
        )
    return prototypes


def _made(
    prototypes: Prototypes | None,
    current: ClassSet,
    classes: int,
    name: str,
    training: dict[str, Any],
) -> ClassSet:
    kept = _prototypes_of(prototypes, name, training)
    if classes > len(kept.shares):
        raise UserError(
            f"--classes {classes}: {name} keeps codes of only {len(kept.shares)} prototypes; ask"
            " for fewer classes"
        )
    return _levelled(kept, classes_of_prototypes(kept, classes), current)


def _overlap(prototypes: Prototypes | None, one: ClassSet, other: ClassSet) -> Any:
    """Return the share of codes that classes of two sets have in common."""
    if prototypes is None:
        return None
    table = np.zeros((len(one.classes), len(other.classes)))
    pair = tuple(classes_of_codes(prototypes, each) for each in (one, other))
    np.add.at(table, pair, prototypes.shares.double().numpy())
    return table

"""Changing the number of classes of a model without retraining."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from segdistill.api.class_changes import ClassChange, class_change, overlap_of
from segdistill.api.common import Source, image_files, load_segmenter
from segdistill.clustering.code_clusters import (
    classes_of_prototypes,
    group_shares,
)
from segdistill.clustering.levels import levels_of_prototypes
from segdistill.config.settings import DeviceName, LevelName, PrecisionName
from segdistill.config.validation import refuse
from segdistill.errors import UserError
from segdistill.images.folder import ImageFile
from segdistill.layout import REPORT_FILE
from segdistill.model.class_sets import (
    ClassSet,
    ClassSets,
    change_classes,
    editing_class_sets,
)
from segdistill.model.description import inherit_names
from segdistill.model.levels import grouped_classes, regrouped_classes
from segdistill.model.prototypes import Prototypes
from segdistill.model.segmenter import Segmenter
from segdistill.report.page import write_report
from segdistill.runs.folder import RunFolder

MAX_CLASSES = 255


def recluster(
    run: Source,
    classes: int | None = None,
    *,
    level: LevelName | None = None,
) -> ClassChange:
    """Change the classes of a run, using the prototypes of its training codes.

    Neither the images nor the backbone are needed. Levels are nested: the parts of a named class
    inherit its name ("road 1", "road 2"). With another number of classes, those that change little
    keep their name and colour. Previous classes are saved; select their level or number again, or
    use :func:`segdistill.undo_classes`, to restore them. Existing masks and reports do not change.

    Args:
        run: a run folder.
        classes: number of classes; one that the run has not had before becomes its level medium.
        level: ``coarse``, ``medium`` or ``fine``, in place of a number.

    Raises:
        UserError: the folder contains no model, or one without prototypes; or the number is out of
            range.
    """
    folder = Path(run)
    with editing_class_sets(folder) as sets:
        if level is not None and classes is None:
            chosen = _at_level(sets, level, folder)
        elif classes is not None and level is None:
            chosen = _with_class_count(sets, classes, folder)
        else:
            raise UserError("give either --classes or --level")
        change_classes(folder, sets, chosen)
    return class_change(sets.prototypes, sets.current, chosen)


def at_level(segmenter: Segmenter, level: LevelName) -> Segmenter:
    """Return a model with coarse, medium or fine classes; all else is shared with the original.

    Args:
        segmenter: a model with prototypes, as made by :func:`fit`.
        level: level of the classes.

    Raises:
        UserError: the model has no prototypes.
    """
    settings = segmenter.settings
    current = ClassSet(settings.classes, segmenter.centres.cpu(), levels=segmenter.levels)
    made = _classes_at_level(segmenter.prototypes, current, level, "the model", settings.training)
    return segmenter.with_classes(made.classes, made.centres, made.levels)


def rewrite_report(
    run: Source,
    images: Source | Sequence[ImageFile],
    *,
    backbone: str | None = None,
    device: DeviceName = "auto",
    precision: PrecisionName = "auto",
    progress: bool = False,
) -> None:
    """Rewrite the report of a run with its current classes.

    Args:
        run: a run folder.
        images: images to show; those that the run was fitted on, or others.
        backbone: new location of the run's backbone, if it has moved.
        device: device to compute on.
        precision: precision of matrix products.
        progress: show a progress bar.

    Raises:
        UserError: invalid input; the message says what is wrong and suggests a fix.
    """
    folder = RunFolder(Path(run))
    files = image_files(images)
    segmenter = load_segmenter(run, backbone, device, precision)
    write_report(
        folder.path / REPORT_FILE,
        segmenter,
        files,
        history=folder.read_history(),
        settings=replace(folder.read_settings(), classes=len(segmenter.classes)),
        facts=folder.read_facts(),
        progress=progress,
    )


def _with_class_count(sets: ClassSets, classes: int, folder: Path) -> ClassSet:
    """Return the set with a number of classes: an earlier one if there is one, or a new one."""
    if not 2 <= classes <= MAX_CLASSES:
        refuse("classes", str(classes), f"from 2 to {MAX_CLASSES}")
    for known in sets.known:
        if len(known.classes) == classes:
            return known
    return _recluster_prototypes(sets.prototypes, sets.current, classes, str(folder), sets.training)


def _at_level(sets: ClassSets, level: LevelName, folder: Path) -> ClassSet:
    """Return the set of a level: an earlier one with its names if there is one, or a new one."""
    levels = sets.current.levels
    if levels is not None:
        for known in sets.known:
            if known.tensor == sets.current.tensor and levels.level_of(known.classes) == level:
                return known
    return _classes_at_level(sets.prototypes, sets.current, level, str(folder), sets.training)


def _classes_at_level(
    prototypes: Prototypes | None,
    current: ClassSet,
    level: LevelName,
    name: str,
    training: dict[str, Any],
) -> ClassSet:
    kept = _require_prototypes(prototypes, name, training)
    if current.levels is None:
        # For runs of older versions and baselines, the classes become the medium level.
        base = _with_levels(kept, F.normalize(current.centres, dim=1), current)
    else:
        base = current
    levels = base.levels
    if levels is None:  # pragma: no cover - _with_levels always has them
        raise AssertionError
    shares = group_shares(kept, base.centres).numpy()
    classes = regrouped_classes(base.classes, levels.grouping(level), shares)
    return replace(base, classes=classes)


def _with_levels(prototypes: Prototypes, medium: torch.Tensor, current: ClassSet) -> ClassSet:
    """Return the medium classes as unions of fine clusters, keeping their names."""
    centres, levels = levels_of_prototypes(prototypes, medium)
    made = ClassSet(grouped_classes(levels.medium), centres, levels=levels)
    overlap = overlap_of(prototypes, current, made)
    renamed = inherit_names(current.classes, overlap)
    return replace(
        made,
        classes=tuple(
            replace(each, clusters=group.clusters)
            for each, group in zip(renamed, made.classes, strict=True)
        ),
    )


def _require_prototypes(
    prototypes: Prototypes | None, name: str, training: dict[str, Any]
) -> Prototypes:
    if prototypes is None:
        origin = training.get("converted_from")
        why = "made by an older version" if origin is None else f"converted from {origin}"
        raise UserError(
            f"{name}: no prototypes to recluster ({why}); fit again with `segdistill fit IMAGES`"
        )
    return prototypes


def _recluster_prototypes(
    prototypes: Prototypes | None,
    current: ClassSet,
    classes: int,
    name: str,
    training: dict[str, Any],
) -> ClassSet:
    kept = _require_prototypes(prototypes, name, training)
    if classes > len(kept.shares):
        raise UserError(
            f"--classes {classes}: {name} has only {len(kept.shares)} prototypes; choose fewer"
            " classes"
        )
    return _with_levels(kept, classes_of_prototypes(kept, classes), current)

"""Changing the number of classes of a model without training again."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segdistill.api.common import Source, image_files, loaded
from segdistill.config.settings import DeviceName, PrecisionName
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
from segdistill.model.description import SegmentClass, numbered_classes, renamed_classes
from segdistill.model.prototypes import Prototypes
from segdistill.model.segmenter import Segmenter
from segdistill.report.page import write_report
from segdistill.training.clustering import classes_of_codes, classes_of_prototypes
from segdistill.training.run_folder import REPORT_FILE, RunFolder

MOST_CLASSES = 255


@dataclass(frozen=True)
class Reclustered:
    """What a change of the number of classes did.

    Attributes:
        before: the classes that were in use.
        after: those that are now.
        overlap: share of the training codes that each class before and each class after have in
            common, shape (classes before, classes after); ``None`` where that is not known.
    """

    before: tuple[SegmentClass, ...]
    after: tuple[SegmentClass, ...]
    overlap: NDArray[np.float64] | None


def recluster(run: Source, classes: int | None = None, *, undo: bool = False) -> Reclustered:
    """Change the number of classes of a run folder, from what it keeps of the training codes.

    Neither images nor the backbone are needed. Classes that stay much as they were keep their name
    and colour. The classes that were in use are kept, and come back with their number or ``undo``.
    Masks and reports made before stay as they are.

    Args:
        run: a run folder.
        classes: number wanted.
        undo: take the classes that were in use before, in place of a number.

    Raises:
        UserError: the folder holds no model, or one that kept no codes; or the number is out of
            range; or there is nothing to undo.
    """
    folder = Path(run)
    sets = read_class_sets(folder)
    if undo:
        if classes is not None:
            raise UserError("--classes and --undo: give one or the other")
        if not sets.former:
            raise UserError(f"{folder}: its classes have never been changed; nothing to undo")
        chosen = sets.former[0]
        step_back(folder, sets)
    elif classes is None:
        raise UserError("--classes is missing: give the number of classes, or --undo")
    else:
        chosen = _with_number(sets, classes, folder)
        change_classes(folder, sets, chosen)
    return Reclustered(
        sets.current.classes, chosen.classes, _overlap(sets.prototypes, sets.current, chosen)
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
    current = ClassSet(settings.classes, segmenter.centres.cpu())
    made = _made(segmenter.prototypes, current, classes, "the model", settings.training)
    changed = Segmenter(
        segmenter.backbone,
        segmenter.preparation,
        segmenter.head,
        made.centres,
        replace(settings, classes=made.classes),
        segmenter.prototypes,
    ).to(segmenter.centres.device)
    changed.compute, changed.budget = segmenter.compute, segmenter.budget
    return changed


def renew_report(
    run: Source,
    images: Source | Sequence[ImageFile],
    *,
    backbone: str | None = None,
    device: DeviceName = "auto",
    precision: PrecisionName = "auto",
    progress: bool = False,
) -> None:
    """Write a run folder's report anew, with the classes that are in use now.

    Args:
        run: a run folder.
        images: those that it was fitted on, or any others.
        backbone: where the backbone lies now, if it has moved.
        device: where to compute.
        precision: of matrix products.
        progress: show a progress bar.

    Raises:
        UserError: something given cannot be used.
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


def _made(
    prototypes: Prototypes | None,
    current: ClassSet,
    classes: int,
    name: str,
    training: dict[str, Any],
) -> ClassSet:
    if prototypes is None:
        origin = training.get("converted_from")
        why = "an older version made it" if origin is None else f"it was converted from {origin}"
        raise UserError(
            f"{name}: keeps no codes to make other classes from ({why});"
            f" `segdistill fit IMAGES --classes {classes}` makes a model that does"
        )
    if classes > len(prototypes.shares):
        raise UserError(
            f"--classes {classes}: {name} keeps codes of {len(prototypes.shares)} kinds only; ask"
            " for fewer classes"
        )
    made = ClassSet(numbered_classes(classes), classes_of_prototypes(prototypes, classes))
    overlap = _overlap(prototypes, current, made)
    return replace(made, classes=renamed_classes(current.classes, overlap))


def _overlap(prototypes: Prototypes | None, one: ClassSet, other: ClassSet) -> Any:
    """Return the share of codes that classes of two sets have in common."""
    if prototypes is None:
        return None
    table = np.zeros((len(one.classes), len(other.classes)))
    pair = tuple(classes_of_codes(prototypes, each) for each in (one, other))
    np.add.at(table, pair, prototypes.shares.double().numpy())
    return table

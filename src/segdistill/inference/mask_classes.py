"""The classes of a folder of masks, in its ``classes.json``."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from segdistill.decoding.decode import content_hash
from segdistill.errors import UserError
from segdistill.json_files import Count, Share, Text, as_json, from_json
from segdistill.layout import CLASSES_FILE
from segdistill.model.description import SegmentClass
from segdistill.objective.clusters import unit_vectors
from segdistill.storage import Folder, LocalFolder, read_text, write_text

MaskPixels = NDArray[np.int64]
"""Number of pixels of each class in a mask, shape (classes,)."""


@dataclass(frozen=True)
class MaskClass(SegmentClass):
    """A class of a folder of masks.

    Attributes:
        pixels: number of its pixels in all masks.
        share: its share of all pixels, 0..1.
        centres: fingerprint of the centres of its clusters, so that masks of another clustering
            are noticed; earlier versions wrote none.
    """

    pixels: Count = 0
    share: Share = 0.0
    centres: Text = ""


def mask_classes(classes: Sequence[SegmentClass], centres: torch.Tensor) -> tuple[MaskClass, ...]:
    """Return the classes of a model as classes of masks.

    Args:
        classes: classes of the model.
        centres: cluster centres of the model, shape (clusters, code channels).

    Example:
        >>> classes = [SegmentClass(0, "sea", (0, 9, 9)), SegmentClass(1, "sky", (0, 0, 9))]
        >>> sea, sky = mask_classes(classes, torch.eye(2))
        >>> sea.name, sea.centres == sky.centres
        ('sea', False)
    """
    kept = unit_vectors(centres).float().cpu()
    return tuple(
        MaskClass(**vars(each), centres=content_hash(kept[list(each.members)].numpy().tobytes()))
        for each in classes
    )


def write_classes(out: Folder | Path, classes: Sequence[MaskClass], pixels: MaskPixels) -> None:
    """Write ``classes.json``.

    Args:
        out: folder of the masks.
        classes: classes ordered by index.
        pixels: number of pixels of each class, shape (classes,).

    Raises:
        UserError: the folder cannot be written.
    """
    total = max(int(pixels.sum()), 1)
    counted = [
        replace(each, pixels=count, share=round(count / total, 6))
        for each, count in zip(classes, pixels.tolist(), strict=True)
    ]
    folder = LocalFolder(out) if isinstance(out, Path) else out
    write_text(folder, CLASSES_FILE, as_json(counted))


def ensure_classes_file(folder: Path, classes: Sequence[MaskClass]) -> None:
    """Write ``classes.json`` with zero pixel counts if it does not exist.

    The file marks the folder as masks. It is written before the first mask, so that searches for
    images skip the masks even if the process is killed.

    Args:
        folder: folder of the masks.
        classes: classes ordered by index.
    """
    if not (folder / CLASSES_FILE).exists():
        write_classes(folder, classes, np.zeros(len(classes), np.int64))


def read_classes(folder: Folder, *, fix: str) -> tuple[MaskClass, ...] | None:
    """Read ``classes.json``; ``None`` if there is none.

    Args:
        folder: folder of the masks.
        fix: what to do about an error.

    Raises:
        UserError: the file is damaged.
    """
    text = read_text(folder, CLASSES_FILE)
    if text is None:
        return None
    name = f"{folder.address}/{CLASSES_FILE}"
    classes = from_json(text, tuple[MaskClass, ...], name=name, what="classes of masks", fix=fix)
    if [each.index for each in classes] != list(range(len(classes))):
        raise UserError(f"{name}: the indices of classes are not 0, 1, 2 and so on; {fix}")
    return classes


def difference(masks: Sequence[MaskClass], current: Sequence[MaskClass]) -> str:
    """Return why masks do not have the classes of a model, whatever their names and colours.

    Args:
        masks: classes of the masks.
        current: classes of the model.

    Returns:
        What happened after the masks were written; empty if the classes are the same.
    """
    if [each.members for each in masks] != [each.members for each in current]:
        return "classes were merged or split"
    pairs = zip(masks, current, strict=True)
    if any(one.centres != other.centres for one, other in pairs if one.centres and other.centres):
        return "the run got other classes"
    return ""


def check_same_classes(out: Folder, classes: Sequence[MaskClass]) -> None:
    """Check that existing masks have the classes of the model, whatever their names and colours.

    Args:
        out: folder of the masks; without ``classes.json`` nothing is checked.
        classes: classes of the model.

    Raises:
        UserError: the classes differ: the masks belong to another run, or the classes were changed
            after they were written; or ``classes.json`` is damaged.
    """
    fix = "add --overwrite, or choose another --out"
    masks = read_classes(out, fix=fix)
    if masks is None:
        return
    if len(masks) != len(classes):
        raise UserError(
            f"{out.address}: existing masks have {len(masks)} classes, the run has {len(classes)};"
            f" {fix}"
        )
    reason = difference(masks, classes)
    if reason:
        raise UserError(f"{out.address}: {reason} after existing masks were written; {fix}")

"""Exporting small masks in tests."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from PIL import Image

from segdistill.export.folder import FORMATS, ExportedMasks, export_folder
from segdistill.export.options import ExportOptions, FormatName
from segdistill.images.palette import VOID
from segdistill.inference.mask_classes import MaskClass, mask_classes, write_classes
from segdistill.inference.masks import write_mask
from segdistill.model.description import SegmentClass

Mask = NDArray[np.uint8]

CLASSES = (
    SegmentClass(0, "sky", (70, 130, 180)),
    SegmentClass(1, "wet road", (128, 64, 128)),
    SegmentClass(2, "Straße & <Weg>", (107, 142, 35)),
)

small_masks = arrays.arrays(
    np.uint8,
    arrays.array_shapes(min_dims=2, max_dims=2, max_side=12),
    elements=st.sampled_from([0, 1, 2, 255]),
)

# A hole that holds another region, holes side by side, pixels that meet at corners alone, all edges
# of the image, and pixels of no class.
PATTERN: Mask = np.array(
    [
        [0, 0, 0, 0, 0, 0, 0, 2, 2],
        [0, 1, 1, 1, 0, 1, 0, 2, 1],
        [0, 1, 2, 1, 0, 0, 1, 1, 2],
        [0, 1, 1, 1, 0, 1, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 255, 255],
        [1, 0, 1, 0, 1, 0, 1, 255, 2],
    ],
    np.uint8,
)


def random_mask(seed: int, height: int = 30, width: int = 41) -> Mask:
    """Return a mask of blobs and specks of three classes."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 3, (height // 5 + 1, width // 5 + 1))
    mask = coarse.repeat(5, axis=0).repeat(5, axis=1)[:height, :width].astype(np.uint8)
    specks = random.random(mask.shape) < 0.05
    mask[specks] = random.integers(0, 3, specks.sum())
    return mask


def in_masks(classes: Sequence[SegmentClass]) -> tuple[MaskClass, ...]:
    """Return classes as those of masks, with some centre for each cluster."""
    return mask_classes(classes, torch.eye(8)[: sum(len(each.members) for each in classes)])


def write_masks(folder: Path, masks: Mapping[str, Mask]) -> Path:
    """Write masks and their classes, as ``segdistill segment`` does; returns the folder."""
    for name, mask in masks.items():
        if VOID in mask:
            # A palette of three colours has no number 255.
            Image.fromarray(mask).save(folder_for(folder / name))
        else:
            write_mask(folder / name, mask, CLASSES)
    write_classes(folder, in_masks(CLASSES), np.zeros(len(CLASSES), np.int64))
    return folder


def write_images(folder: Path, masks: Mapping[str, Mask], suffix: str = ".jpg") -> Path:
    """Write an image for each mask; returns the folder."""
    for name, mask in masks.items():
        path = folder_for((folder / name).with_suffix(suffix))
        Image.new("RGB", (mask.shape[1], mask.shape[0]), (9, 99, 199)).save(path)
    return folder


def folder_for(path: Path) -> Path:
    """Make the folder of a file; returns the file's path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def export(
    name: FormatName,
    masks: Path,
    out: Path,
    images: Path | None = None,
    classes: Sequence[SegmentClass] = CLASSES,
    **options: Any,
) -> ExportedMasks:
    """Export a folder of masks of :data:`CLASSES`, exactly unless asked otherwise."""
    exact = dict.fromkeys(FORMATS[name].supported_options & {"simplify", "min_region"}, 0.0)
    chosen = ExportOptions(**{**exact, **options})
    sources = None if images is None else [images]
    return export_folder(masks, in_masks(classes), name, out, images=sources, options=chosen)


def filled(rings: Sequence[NDArray[Any]], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Draw rings along pixels' edges by the even-odd rule, plainly.

    Returns:
        Array of the size given, height and width.
    """
    inside = np.zeros(size, bool)
    for ring in rings:
        for (x, y), (next_x, next_y) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
            if x == next_x:
                inside[min(y, next_y) : max(y, next_y), x:] ^= True
    return inside


def painted(parts: Sequence[tuple[int, NDArray[np.bool_]]], size: tuple[int, int]) -> Mask:
    """Lay regions together to a mask; none may lie over another."""
    mask = np.full(size, VOID, np.uint8)
    for class_index, pixels in parts:
        assert (mask[pixels] == VOID).all()
        mask[pixels] = class_index
    return mask

"""Labelled images, from two folders or from a benchmark data set."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segdistill.api.common import Source
from segdistill.datasets import get_dataset
from segdistill.errors import UserError
from segdistill.images.folder import ImageFile, find_images
from segdistill.images.labels import match_labels, read_labels

logger = logging.getLogger("segdistill")


@dataclass(frozen=True)
class LabelledSet:
    """Images with label files.

    Attributes:
        pairs: images and their label files.
        read: reads a label file as class indices, 255 for 'not labelled'.
        names: names of the label classes; empty if unknown.
    """

    pairs: list[tuple[ImageFile, Path]]
    read: Callable[[Path], NDArray[np.int64]]
    names: tuple[str, ...] = ()


def labelled_folders(images: Source, labels: Source) -> LabelledSet:
    """Match the images of one folder with the label files of another, by name.

    Class names are read from ``classes.txt`` in a parent folder of the labels, if it exists.

    Raises:
        UserError: a folder is missing or empty, or no names match.
    """
    return labelled_files(find_images(images), labels)


def labelled_files(images: Sequence[ImageFile], labels: Source) -> LabelledSet:
    """Match images with the label files of a folder; see :func:`labelled_folders`.

    Raises:
        UserError: the folder is missing or empty, or no names match.
    """
    pairs = match_labels(images, find_images(labels))
    if len(pairs) < len(images):
        logger.warning("%d of %d images have no labels", len(images) - len(pairs), len(images))
    return LabelledSet(
        [(image, label.path) for image, label in pairs], read_labels, _class_names(Path(labels))
    )


def _class_names(labels: Path) -> tuple[str, ...]:
    for above in list(labels.absolute().parents)[:2]:
        listing = above / "classes.txt"
        if listing.is_file():
            lines = listing.read_text(encoding="utf-8").splitlines()
            return tuple(line.strip() for line in lines if line.strip())
    return ()


def labelled_dataset(name: str, root: Source, split: str) -> LabelledSet:
    """Return the labelled images of a benchmark data set.

    Args:
        name: name of the data set.
        root: folder that contains the data set's folder.
        split: ``train`` or ``val``.

    Raises:
        UserError: there is no such data set or split, or files are missing.
    """
    dataset = get_dataset(name)
    items = dataset.items(Path(root), split)
    pairs = [(item.image, item.labels) for item in items if item.labels is not None]
    if not pairs:
        raise UserError(f"{name}: no labelled images in {split}")
    return LabelledSet(pairs, dataset.read_labels, dataset.classes)

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
from segdistill.images.matching import NothingMatchesError, find_suffixes, match_labels
from segdistill.labels.class_names import read_class_names
from segdistill.labels.label_files import find_labels
from segdistill.labels.label_map import LabelMap
from segdistill.labels.label_map_file import read_label_map
from segdistill.labels.label_survey import surveyed_reader

logger = logging.getLogger("segdistill")


@dataclass(frozen=True)
class LabelledSet:
    """Images with label files.

    Attributes:
        pairs: images and their label files.
        read: reads a label file as class indices, 255 for 'not labelled'.
        names: names of the label classes; empty if unknown.
        classes: number of label classes, up to the largest index; 0 if unknown.
        matching: how names were matched, in words, if not by equal names.
    """

    pairs: list[tuple[ImageFile, Path]]
    read: Callable[[Path], NDArray[np.int64]]
    names: tuple[str, ...] = ()
    classes: int = 0
    matching: str = ""


def labelled_folders(
    images: Source,
    labels: Source,
    *,
    label_map: Source | LabelMap | None = None,
    progress: bool = False,
) -> LabelledSet:
    """Match the images of one folder with the label files of another, by name.

    Class names are those of the label map or, without one, of ``classes.txt`` in a parent folder of
    the labels, if it exists. All label files are read once, to find mistakes early.

    Args:
        images: a folder or pattern.
        labels: a folder of label files: images, ``.npy`` or ``.mat``.
        label_map: what their numbers and colours mean, or a YAML file that says so; by default
            numbers are class indices and 255 means 'not labelled'. See ``docs/reading.md``.
        progress: show a progress bar.

    Raises:
        UserError: a folder is missing or empty, no names match, the map is wrong, or label files
            contain values of no class.
    """
    return labelled_files(find_images(images), labels, label_map=label_map, progress=progress)


def labelled_files(
    images: Sequence[ImageFile],
    labels: Source,
    *,
    label_map: Source | LabelMap | None = None,
    progress: bool = False,
) -> LabelledSet:
    """Match images with the label files of a folder; see :func:`labelled_folders`.

    Raises:
        UserError: as for :func:`labelled_folders`.
    """
    meaning = loaded_label_map(label_map)
    pairs, matching = _matched(images, find_labels(labels), meaning)
    if matching:
        logger.info("%s", matching)
    if len(pairs) < len(images):
        logger.warning("%d of %d images have no labels", len(images) - len(pairs), len(images))
    paths = [label.path for _, label in pairs]
    reader, classes = surveyed_reader(paths, meaning, where=str(labels), progress=progress)
    names = meaning.names if meaning is not None else ()
    return LabelledSet(
        pairs=[(image, label.path) for image, label in pairs],
        read=reader,
        names=names or _class_names(Path(labels)),
        classes=classes,
        matching=matching,
    )


def loaded_label_map(label_map: Source | LabelMap | None) -> LabelMap | None:
    """Return a label map, read if it is a file.

    Raises:
        UserError: the file is missing or wrong.
    """
    if label_map is None or isinstance(label_map, LabelMap):
        return label_map
    return read_label_map(Path(label_map))


def _matched(
    images: Sequence[ImageFile], labels: Sequence[ImageFile], label_map: LabelMap | None
) -> tuple[list[tuple[ImageFile, ImageFile]], str]:
    """Pair images with label files, and say by which suffixes if their names differ."""
    if label_map is not None and (label_map.image_suffix or label_map.label_suffix):
        return match_labels(images, labels, suffixes=label_map), ""
    try:
        return match_labels(images, labels), ""
    except NothingMatchesError as error:
        found = find_suffixes(images, labels)
        if len(found) == 1 and (len(images) > 1 or not found[0].image_suffix):
            pairs = match_labels(images, labels, suffixes=found[0])
            image, label = pairs[0][0].name, pairs[0][1].name
            return pairs, (
                f"Label files are matched by their suffix, such as {label} for {image}"
                f" (as with `suffix: {found[0]}` in a label map)"
            )
        if not found:
            raise
        ways = " or ".join(f"`suffix: {each}`" for each in found[:3])
        raise UserError(
            f"{error}; or choose the suffixes in a label map (--label-map): {ways}"
        ) from error


def _class_names(labels: Path) -> tuple[str, ...]:
    for above in list(labels.absolute().parents)[:2]:
        listing = above / "classes.txt"
        if listing.is_file():
            return read_class_names(listing)
    return ()


def labelled_dataset(
    name: str,
    root: Source,
    split: str,
    *,
    label_map: Source | LabelMap | None = None,
    progress: bool = False,
) -> LabelledSet:
    """Return the labelled images of a benchmark data set.

    Args:
        name: name of the data set.
        root: folder that contains the data set's folder.
        split: ``train`` or ``val``.
        label_map: for data sets whose label files are your own (``directory``): what their values
            mean; see :func:`labelled_folders`.
        progress: show a progress bar.

    Raises:
        UserError: there is no such data set or split, or files are missing.
    """
    dataset = get_dataset(name)
    meaning = loaded_label_map(label_map)
    if meaning is not None and dataset.label_values is not None:
        raise UserError(
            f"--label-map {meaning.source}: {name} defines its own classes; use --images and"
            " --labels for others"
        )
    items = dataset.items(Path(root), split)
    pairs = [(item.image, item.labels) for item in items if item.labels is not None]
    if not pairs:
        raise UserError(f"{name}: no labelled images in {split}")
    if dataset.label_values is not None:
        return LabelledSet(pairs, dataset.read_labels, dataset.classes, len(dataset.classes))
    paths = [path for _, path in pairs]
    reader, classes = surveyed_reader(paths, meaning, where=str(root), progress=progress)
    names = meaning.names if meaning is not None else dataset.classes
    return LabelledSet(pairs, reader, names, classes)

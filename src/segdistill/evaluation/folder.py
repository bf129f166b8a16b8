"""Confusion matrices over image and label files, in constant memory."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segdistill.errors import UserError
from segdistill.evaluation.boundary import (
    BoundaryCounts,
    boundary_map,
    compare_boundaries,
    labelled_mask,
)
from segdistill.evaluation.confusion import ConfusionMatrix
from segdistill.images.decode import read_image
from segdistill.images.folder import ImageFile, SkippedImage
from segdistill.images.labels import VOID
from segdistill.processes import SINGLE_PROCESS, Group
from segdistill.progress import progress_bar

logger = logging.getLogger("segdistill")

Picture = NDArray[np.uint8]
Labels = NDArray[np.int64]
View = Callable[[Picture, Labels], tuple[Picture, Labels]]
"""Map an image and its labels to the part that is scored."""
Read = Callable[[Path], Picture]
"""Read an image file."""
Predict = Callable[[Picture, tuple[int, int]], Mapping[str, Picture]]
"""Map an image and a size to masks of that size, by kind."""


@dataclass
class CountedFiles:
    """Counts over a set.

    Attributes:
        matrices: confusion matrix of each kind of mask.
        boundaries: boundary counts of each kind of mask.
        images: number of images counted.
        skipped: images skipped because they or their labels could not be used, with the reason.
    """

    matrices: dict[str, ConfusionMatrix]
    boundaries: dict[str, BoundaryCounts]
    images: int = 0
    skipped: list[SkippedImage] = field(default_factory=list)

    @classmethod
    def zeros(cls, clusters: Mapping[str, int], label_classes: int) -> "CountedFiles":
        """Return counts of zero.

        Args:
            clusters: number of classes in each kind of mask.
            label_classes: number of label classes, if known.
        """
        return cls(
            {name: ConfusionMatrix(count, label_classes) for name, count in clusters.items()},
            {name: BoundaryCounts.zeros(count, label_classes) for name, count in clusters.items()},
        )

    def add(self, other: "CountedFiles") -> None:
        """Add the counts of other images, with the same kinds of mask."""
        for name, matrix in other.matrices.items():
            self.matrices[name].add(matrix)
            self.boundaries[name] += other.boundaries[name]
        self.images += other.images
        self.skipped += other.skipped


@dataclass
class BinaryCheck:
    """Detect labels that are only 0 and 255, which usually means two classes.

    Example:
        >>> check = BinaryCheck()
        >>> check.update(np.array([[0, 255]]))
        >>> check.looks_binary
        True
        >>> check.update(np.array([[1]]))
        >>> check.looks_binary
        False
    """

    has_zero: bool = False
    has_void: bool = False
    has_others: bool = False

    def update(self, labels: Labels) -> None:
        """Add a label file, shape (height, width)."""
        if not self.has_others:
            zero, void = labels == 0, labels == VOID
            self.has_zero |= bool(zero.any())
            self.has_void |= bool(void.any())
            self.has_others = not bool((zero | void).all())

    def add(self, other: "BinaryCheck") -> None:
        """Add the findings of another check."""
        self.has_zero |= other.has_zero
        self.has_void |= other.has_void
        self.has_others |= other.has_others

    @property
    def looks_binary(self) -> bool:
        """Whether 0 and 255 have occurred, and no other value."""
        return self.has_zero and self.has_void and not self.has_others


def confusion_over_files(
    pairs: Sequence[tuple[ImageFile, Path]],
    read_labels: Callable[[Path], Labels],
    view: View,
    predict: Predict,
    clusters: Mapping[str, int],
    *,
    label_classes: int = 0,
    strict: bool = False,
    progress: bool = False,
    group: Group = SINGLE_PROCESS,
    read: Read = read_image,
) -> CountedFiles:
    """Count pixels by prediction and label over a set; only the counts are kept in memory.

    Boundary pixels are counted too; see :mod:`segdistill.evaluation.boundary`. Images and labels
    that cannot be read are skipped with a warning.

    Args:
        pairs: images and their label files.
        read_labels: reads a label file as class indices, 255 for 'not labelled'.
        view: chooses the part that is scored.
        predict: predicts masks of that part.
        clusters: number of classes in each kind of mask.
        label_classes: number of label classes, if known.
        strict: stop at the first file that cannot be read.
        progress: show a progress bar.
        group: processes that share the pairs; each one gets the total counts.
        read: reads an image.

    Raises:
        UserError: no pair can be read, or any cannot with ``strict``; labels and image have
            different aspect ratios; no pixel is labelled; or prediction fails.
    """

    def count(share: Sequence[tuple[ImageFile, Path]]) -> tuple[CountedFiles, BinaryCheck]:
        counts = CountedFiles.zeros(clusters, label_classes), BinaryCheck()
        readers = (read, read_labels)
        _count_all(share, readers, view, predict, counts, strict=strict, progress=progress)
        return counts

    parts = group.each(lambda: count(group.share(pairs)))
    done, binary = parts[0]
    for other, other_binary in parts[1:]:
        done.add(other)
        binary.add(other_binary)
    if not done.images:
        raise UserError(
            f"none of the {len(pairs)} images can be scored; first error: {done.skipped[0].reason}"
            if done.skipped
            else "there are no images to score"
        )
    if not any(matrix.counts.any() for matrix in done.matrices.values()):
        raise UserError("the label files contain no labelled pixels (255 means 'not labelled')")
    if binary.looks_binary:
        logger.warning(
            "the label files contain only 0 and 255, and 255 means 'not labelled', so only 0 was"
            " scored; if 255 is a class, save it as 1"
        )
    return done


def _count_all(
    pairs: Sequence[tuple[ImageFile, Path]],
    readers: tuple[Read, Callable[[Path], Labels]],
    view: View,
    predict: Predict,
    counts: tuple[CountedFiles, BinaryCheck],
    *,
    strict: bool,
    progress: bool,
) -> None:
    done, binary = counts
    read, read_labels = readers
    with progress_bar("Evaluating", len(pairs), shown=progress) as advance:
        for image_file, label_path in pairs:
            try:
                image, labels = read(image_file.path), read_labels(label_path)
            except UserError as error:
                if strict:
                    raise UserError(
                        f"{error}; fix or remove it, or omit --strict to skip it"
                    ) from error
                logger.warning("skipped: %s", error)
                done.skipped.append(SkippedImage(image_file, str(error)))
            else:
                _check_same_aspect(image, labels, image_file.path, label_path)
                binary.update(labels)
                _count(image_file.path, *view(image, labels), predict, done)
                done.images += 1
            advance(1)


def _count(
    path: Path,
    image: Picture,
    labels: Labels,
    predict: Predict,
    done: CountedFiles,
) -> None:
    try:
        masks = predict(image, (labels.shape[0], labels.shape[1]))
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    valid = labelled_mask(labels)
    label_boundaries = boundary_map(labels, valid)
    for name, matrix in done.matrices.items():
        matrix.update(masks[name], labels)
        mask_boundaries = boundary_map(masks[name], valid)
        done.boundaries[name] += compare_boundaries(
            mask_boundaries, label_boundaries, *matrix.counts.shape
        )


def _check_same_aspect(image: Picture, labels: Labels, image_path: Path, label_path: Path) -> None:
    # Labels at another scale are common; another aspect ratio means another image.
    ratio = (image.shape[0] / image.shape[1]) / (labels.shape[0] / labels.shape[1])
    if not 0.97 < ratio < 1.03:
        raise UserError(
            f"{label_path}: labels of {labels.shape[1]}x{labels.shape[0]} do not match the image"
            f" {image_path} of {image.shape[1]}x{image.shape[0]}"
        )

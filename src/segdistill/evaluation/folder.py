"""Confusion matrices over image and label files in constant memory."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segdistill.decoding.decode import read_picture
from segdistill.decoding.pictures import Picture as ReadPicture
from segdistill.errors import UserError
from segdistill.evaluation.boundary import BoundaryCounts, boundary_counts, boundary_map
from segdistill.evaluation.confusion import ConfusionMatrix, labelled_mask
from segdistill.images.folder import ImageFile, SkippedImage
from segdistill.images.palette import VOID
from segdistill.labels.label_map import VOID_AS_CLASS
from segdistill.processes import SINGLE_PROCESS, Group
from segdistill.progress import progress_bar

logger = logging.getLogger("segdistill")

Picture = NDArray[np.uint8]
Labels = NDArray[np.int64]
View = Callable[[Picture, Labels], tuple[Picture, Labels]]
"""Map an image and its labels to the part that is scored."""
Predict = Callable[[Picture, tuple[int, int]], Mapping[str, Picture]]
"""Map an image and a size to masks of that size, by kind."""


@dataclass
class CountedFiles:
    """Counts over a set.

    Attributes:
        matrices: confusion matrix of each kind of mask.
        halves: the same of every second image, to choose classes on one half and score the other.
        boundaries: boundary counts of each kind of mask.
        images: number of images counted.
        skipped: images skipped because they or their labels could not be used, with the reason.
        has_void: whether a label file contains 255.
    """

    matrices: dict[str, ConfusionMatrix]
    halves: dict[str, ConfusionMatrix]
    boundaries: dict[str, BoundaryCounts]
    images: int = 0
    skipped: list[SkippedImage] = field(default_factory=list)
    has_void: bool = False

    def add(self, other: "CountedFiles") -> None:
        """Add the counts of other images with the same kinds of mask."""
        for name, matrix in other.matrices.items():
            self.matrices[name].add(matrix)
            self.halves[name].add(other.halves[name])
            self.boundaries[name] += other.boundaries[name]
        self.images += other.images
        self.skipped += other.skipped
        self.has_void |= other.has_void


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
    read: Callable[[Path], ReadPicture] = read_picture,
) -> CountedFiles:
    """Count pixels by prediction and label over a set; only the counts are kept in memory.

    Boundary pixels are counted too; see :mod:`segdistill.evaluation.boundary`. Images and labels
    that cannot be read are skipped with a warning.

    Args:
        pairs: images and their label files.
        read_labels: reads a label file as class indices, with 255 for unlabelled pixels.
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

    def zeros() -> dict[str, ConfusionMatrix]:
        return {name: ConfusionMatrix(count, label_classes) for name, count in clusters.items()}

    def count(share: Sequence[tuple[int, tuple[ImageFile, Path]]]) -> CountedFiles:
        done = CountedFiles(
            zeros(),
            zeros(),
            {name: BoundaryCounts.zeros(count, label_classes) for name, count in clusters.items()},
        )
        with progress_bar("Evaluating", len(share), shown=progress) as advance:
            for number, (image_file, label_path) in share:
                try:
                    (image, valid, _), labels = read(image_file.path), read_labels(label_path)
                except UserError as error:
                    if strict:
                        raise UserError(
                            f"{error}; fix or remove it, or omit --strict to skip it"
                        ) from error
                    logger.warning("skipped: %s", error)
                    done.skipped.append(SkippedImage(image_file, str(error)))
                else:
                    _check_same_aspect(image, labels, image_file.path, label_path)
                    done.has_void |= bool((labels == VOID).any())
                    labels = _labels_with_value(labels, valid)
                    half = done.halves if number % 2 else {}
                    _count(image_file.path, *view(image, labels), predict, done, half)
                advance(1)
        return done

    done, *others = group.each(lambda: count(group.share(list(enumerate(pairs)))))
    for other in others:
        done.add(other)
    _check_counts(done, len(pairs))
    return done


def _check_counts(done: CountedFiles, pairs: int) -> None:
    """Check that there is something to score; warn of masks whose only class is 0."""
    if not done.images:
        if not done.skipped:
            raise UserError("there are no images to score")
        none = "the image cannot" if pairs == 1 else f"none of the {pairs} images can"
        raise UserError(f"{none} be scored; first error: {done.skipped[0].reason}")
    counts = next(iter(done.matrices.values())).counts
    if not counts.any():
        raise UserError("the label files contain no labelled pixels (255 means 'not labelled')")
    if done.has_void and not counts[:, 1:].any():
        logger.warning(
            "the label files contain only 0 and 255, and 255 means 'not labelled', so only 0 was"
            " scored; %s",
            VOID_AS_CLASS,
        )


def _count(
    path: Path,
    image: Picture,
    labels: Labels,
    predict: Predict,
    done: CountedFiles,
    half: Mapping[str, ConfusionMatrix],
) -> None:
    """Add an image and its labels to the counts, and to those of its half."""
    try:
        masks = predict(image, (labels.shape[0], labels.shape[1]))
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    valid = labelled_mask(labels)
    # Find the boundaries of the labels once for all kinds of mask.
    label_boundaries = boundary_map(labels, valid)
    for name, matrix in done.matrices.items():
        matrix.update(masks[name], labels)
        if name in half:
            half[name].update(masks[name], labels)
        done.boundaries[name] += boundary_counts(
            boundary_map(masks[name], valid), label_boundaries, *matrix.counts.shape
        )
    done.images += 1


def _labels_with_value(labels: Labels, valid: NDArray[np.bool_] | None) -> Labels:
    """Return labels with 255 where their image, of any size, has no value."""
    if valid is None:
        return labels
    size = (labels.shape[1], labels.shape[0])
    known = np.asarray(Image.fromarray(valid).resize(size, Image.Resampling.NEAREST))
    return np.where(known, labels, VOID)


def _check_same_aspect(image: Picture, labels: Labels, image_path: Path, label_path: Path) -> None:
    # Labels at another scale are common, but another aspect ratio means another image.
    size, other = (image.shape[0], image.shape[1]), (labels.shape[0], labels.shape[1])
    if not _same_aspect(size, other):
        turned = (
            "; they would match if width and height were swapped, so one of the two files lacks the"
            " orientation (EXIF) of the other: rotate the labels to match the image as shown"
        )
        raise UserError(
            f"{label_path}: labels of {labels.shape[1]}x{labels.shape[0]} do not match the image"
            f" {image_path} of {image.shape[1]}x{image.shape[0]}"
            f"{turned if _same_aspect(size, other[::-1]) else ''}"
        )


def _same_aspect(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return 0.97 < (one[0] / one[1]) / (other[0] / other[1]) < 1.03

"""Scoring masks against label files, in memory that does not grow with the set."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segdistill.errors import UserError
from segdistill.evaluation.confusion import ConfusionMatrix
from segdistill.images.decode import read_image
from segdistill.images.folder import ImageFile
from segdistill.progress import progress_bar

Picture = NDArray[np.uint8]
Labels = NDArray[np.int64]
View = Callable[[Picture, Labels], tuple[Picture, Labels]]
"""Image and labels to the part of them that is scored."""
Predict = Callable[[Picture, tuple[int, int]], Mapping[str, Picture]]
"""Image and size to masks of that size, by name."""


def confusion_over_files(
    pairs: Sequence[tuple[ImageFile, Path]],
    read_labels: Callable[[Path], Labels],
    view: View,
    predict: Predict,
    clusters: Mapping[str, int],
    *,
    progress: bool = False,
) -> dict[str, ConfusionMatrix]:
    """Count pixels by prediction and label over a set.

    Args:
        pairs: images and their label files.
        read_labels: reads a label file as class indices, 255 for 'not labelled'.
        view: chooses the part that is scored.
        predict: makes masks of that part.
        clusters: number of values in each kind of mask, by name.
        progress: show a progress bar.

    Returns:
        A confusion matrix for each name.

    Raises:
        UserError: a file cannot be read, labels are of another shape than their image, or no
            pixel is labelled.
    """
    matrices = {name: ConfusionMatrix(count) for name, count in clusters.items()}
    with progress_bar("Evaluating", len(pairs), shown=progress) as advance:
        for image_file, label_path in pairs:
            image, labels = read_image(image_file.path), read_labels(label_path)
            _check_same_aspect(image, labels, image_file.path, label_path)
            image, labels = view(image, labels)
            masks = predict(image, (labels.shape[0], labels.shape[1]))
            for name, matrix in matrices.items():
                matrix.update(masks[name], labels)
            advance(1)
    if not any(matrix.counts.any() for matrix in matrices.values()):
        raise UserError("the label files hold no labelled pixel (255 means 'not labelled')")
    return matrices


def _check_same_aspect(image: Picture, labels: Labels, image_path: Path, label_path: Path) -> None:
    # Labels at another scale are common; labels of another shape belong to another image.
    ratio = (image.shape[0] / image.shape[1]) / (labels.shape[0] / labels.shape[1])
    if not 0.97 < ratio < 1.03:
        raise UserError(
            f"{label_path}: {labels.shape[1]}x{labels.shape[0]} labels do not fit the"
            f" {image.shape[1]}x{image.shape[0]} image {image_path}"
        )

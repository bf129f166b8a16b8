"""Scoring a model's masks against label files."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segdistill.errors import UserError
from segdistill.evaluation.confusion import ConfusionMatrix
from segdistill.images.decode import read_image
from segdistill.images.folder import ImageFile
from segdistill.images.labels import read_labels
from segdistill.progress import progress_bar

Predict = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
"""Image (height, width, 3) to mask (height, width)."""


def confusion_over_files(
    pairs: Sequence[tuple[ImageFile, ImageFile]],
    predict: Predict,
    clusters: int,
    *,
    progress: bool = False,
) -> ConfusionMatrix:
    """Count pixels by cluster and label over a set, in memory that does not grow with it.

    Args:
        pairs: images and their label files.
        predict: makes the mask of an image.
        clusters: number of clusters.
        progress: show a progress bar.

    Raises:
        UserError: a file cannot be read, or labels are of another shape than their image.
    """
    matrix = ConfusionMatrix(clusters)
    with progress_bar("Evaluating", len(pairs), shown=progress) as advance:
        for image_file, label_file in pairs:
            image = read_image(image_file.path)
            labels = read_labels(label_file.path)
            _check_same_aspect(image, labels, image_file.path, label_file.path)
            mask = predict(image)
            if mask.shape != labels.shape:
                mask = resize_mask(mask, (labels.shape[0], labels.shape[1]))
            matrix.update(mask, labels)
            advance(1)
    if matrix.counts.sum() == 0:
        raise UserError("the label files hold no labelled pixel (255 means 'not labelled')")
    return matrix


def resize_mask(mask: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Bring a mask to another size, each pixel from the nearest.

    Args:
        mask: class indices, shape (height, width).
        size: wanted height and width.
    """
    resized = Image.fromarray(mask).resize((size[1], size[0]), Image.Resampling.NEAREST)
    return np.array(resized)


def _check_same_aspect(
    image: NDArray[np.uint8], labels: NDArray[np.int64], image_path: Path, label_path: Path
) -> None:
    # Labels at another scale are common; labels of another shape belong to another image.
    ratio = (image.shape[0] / image.shape[1]) / (labels.shape[0] / labels.shape[1])
    if not 0.97 < ratio < 1.03:
        raise UserError(
            f"{label_path}: {labels.shape[1]}x{labels.shape[0]} labels do not fit the"
            f" {image.shape[1]}x{image.shape[0]} image {image_path}"
        )

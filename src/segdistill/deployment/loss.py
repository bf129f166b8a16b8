"""The effect of 8-bit weights on a model, measured on images or labels."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from segdistill.decoding.decode import UnreadableImageError
from segdistill.deployment.checking import Runner
from segdistill.deployment.graph import graph_input
from segdistill.errors import UserError
from segdistill.evaluation.confusion import score
from segdistill.evaluation.folder import confusion_over_files
from segdistill.images.folder import ImageFile
from segdistill.images.resize import resize_image
from segdistill.model.segmenter import Segmenter
from segdistill.progress import progress_bar
from segdistill.refinement.upsampling import upsampled_mask

FULL, EIGHT_BIT = "full", "int8"


@dataclass(frozen=True)
class QuantisationLoss:
    """The effect of 8-bit weights.

    Attributes:
        images: number of images used.
        changed: share of pixels whose class changes, 0..1; ``None`` if labels were used.
        mean_iou: mean IoU before and after, 0..1; ``None`` without labels.
    """

    images: int
    changed: float | None = None
    mean_iou: tuple[float, float] | None = None


def loss_on_images(
    segmenter: Segmenter,
    full: Runner,
    eight_bit: Runner,
    files: Sequence[ImageFile],
    *,
    progress: bool = False,
) -> QuantisationLoss:
    """Measure the share of pixels whose class changes.

    Args:
        files: images; unreadable ones are skipped.

    Raises:
        UserError: no image can be read.
    """
    runners = {FULL: full, EIGHT_BIT: eight_bit}
    shares = []
    with progress_bar("Measuring int8", len(files), shown=progress) as advance:
        for file in files:
            with contextlib.suppress(UnreadableImageError):
                image = segmenter.read(file.path)
                masks = _masks(segmenter, runners, image, (image.shape[0], image.shape[1]))
                shares.append(float((masks[FULL] != masks[EIGHT_BIT]).mean()))
            advance(1)
    if not shares:
        raise UserError(f"none of the {len(files)} images for measuring int8 can be read")
    return QuantisationLoss(len(shares), changed=float(np.mean(shares)))


def loss_on_labels(
    segmenter: Segmenter,
    full: Runner,
    eight_bit: Runner,
    pairs: Sequence[tuple[ImageFile, Path]],
    read_labels: Callable[[Path], NDArray[np.int64]],
    *,
    progress: bool = False,
) -> QuantisationLoss:
    """Measure the mean IoU before and after, each with its own matching.

    As :func:`loss_on_images`, for pairs of images and label files; ``read_labels`` returns class
    indices, 255 for 'not labelled'.

    Raises:
        UserError: no pair can be read.
    """
    runners = {FULL: full, EIGHT_BIT: eight_bit}
    counted = confusion_over_files(
        pairs,
        read_labels,
        lambda image, labels: (image, labels),
        lambda image, size: _masks(segmenter, runners, image, size),
        dict.fromkeys(runners, len(segmenter.classes)),
        progress=progress,
        read=segmenter.read_picture,
    )
    before, after = (score(counted.matrices[kind].counts).mean_iou for kind in runners)
    return QuantisationLoss(counted.images, mean_iou=(before, after))


def _masks(
    segmenter: Segmenter,
    runners: Mapping[str, Runner],
    image: NDArray[np.uint8],
    size: tuple[int, int],
) -> dict[str, NDArray[np.uint8]]:
    inputs = graph_input(segmenter, image)
    guide = resize_image(image, size)
    return {
        kind: upsampled_mask(
            torch.from_numpy(run(inputs)[0]), guide, detail=segmenter.settings.detail
        )
        for kind, run in runners.items()
    }

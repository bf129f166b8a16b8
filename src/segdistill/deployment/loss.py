"""What a model loses by 8-bit weights, told from images, and from labels if there are some."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from segdistill.deployment.checking import Runner
from segdistill.deployment.quantisation import graph_input
from segdistill.errors import UserError
from segdistill.evaluation.confusion import score
from segdistill.evaluation.folder import confusion_over_files
from segdistill.images.decode import UnreadableImageError
from segdistill.images.folder import ImageFile
from segdistill.images.resize import resize_image
from segdistill.model.segmenter import Segmenter
from segdistill.model.upsampling import upsampled_mask
from segdistill.progress import progress_bar

FULL, EIGHT_BIT = "full", "int8"


@dataclass(frozen=True)
class QuantisationLoss:
    """What 8-bit weights change.

    Attributes:
        images: number of images it was measured on.
        changed: share of pixels that get another class; ``None`` where labels tell more.
        mean_iou: against labels, before and after; ``None`` without labels.
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
    """Return the share of pixels whose class changes.

    Args:
        segmenter: whose graphs they are.
        full: runs the graph in floating point.
        eight_bit: runs the other.
        files: the images; those that cannot be read are passed over.
        progress: show a progress bar.

    Raises:
        UserError: none can be read.
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
        raise UserError(f"none of {len(files)} images can be read, to measure int8 on")
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
    """Return the mean IoU before and after, each with its own matching.

    Args:
        segmenter: whose graphs they are.
        full: runs the graph in floating point.
        eight_bit: runs the other.
        pairs: images and their label files.
        read_labels: reads a label file as class indices, 255 for 'not labelled'.
        progress: show a progress bar.

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
        read=segmenter.read,
    )
    before, after = (score(counted.matrices[kind].counts).mean_iou for kind in runners)
    return QuantisationLoss(counted.images, mean_iou=(before, after))


def _masks(
    segmenter: Segmenter,
    runners: Mapping[str, Runner],
    image: NDArray[np.uint8],
    size: tuple[int, int],
) -> dict[str, NDArray[np.uint8]]:
    viewed = graph_input(segmenter, image)
    guide = resize_image(image, size)
    return {
        kind: upsampled_mask(torch.from_numpy(run(viewed)[0]), guide)
        for kind, run in runners.items()
    }

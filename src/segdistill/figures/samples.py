"""The images that figures show, segmented in each way that is compared."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segdistill.errors import UserError
from segdistill.figures.colouring import Picture
from segdistill.images.folder import ImageFile
from segdistill.images.resize import resize_image
from segdistill.inference.refinement import refined_mask
from segdistill.model.segmenter import Segmenter
from segdistill.model.upsampling import cleaned_mask
from segdistill.progress import progress_bar
from segdistill.report.examples import evenly_spread, reduced_size

logger = logging.getLogger("segdistill")

LONGEST_SIDE = 2048
"""Longer side, in pixels, to which images are reduced: no print shows more of one."""

CLUSTERED, SEGMENTED, REFINED = "k-means", "Segments", "Segments + CRF"

Labels = NDArray[np.int64]
ReadLabels = Callable[[Path], Labels]


@dataclass(frozen=True)
class Shown:
    """An image of a figure.

    Attributes:
        image: shape (height, width, 3).
        labels: class indices, shape (height, width), if it has any.
        masks: class indices by kind, each of shape (height, width).
    """

    image: Picture
    labels: Labels | None
    masks: Mapping[str, Picture]


def chosen_images(files: Sequence[ImageFile], show: Sequence[str], count: int) -> list[ImageFile]:
    """Choose the images to show: by name, or evenly from all.

    Args:
        files: to choose from.
        show: names, with or without folder and ending; all count if there are none.
        count: how many to take where none is named.

    Raises:
        UserError: no image has a name that is wanted, or several have.
    """
    if not show:
        return evenly_spread(files, count)
    return [_named(files, name) for name in show]


def _named(files: Sequence[ImageFile], name: str) -> ImageFile:
    def is_called(file: ImageFile) -> bool:
        bare = file.name.with_suffix("")
        return name in {file.name.as_posix(), bare.as_posix(), file.name.name, bare.name}

    found = [file for file in files if is_called(file)]
    if not found:
        raise UserError(f"--show {name}: no image of that name, such as {files[0].name}")
    if len(found) > 1:
        raise UserError(
            f"--show {name}: is {found[0].name} or {found[1].name}; give the folder, too"
        )
    return found[0]


def segment_shown(
    files: Sequence[ImageFile],
    segmenter: Segmenter,
    clustered: Segmenter | None,
    *,
    label_files: Mapping[Path, Path],
    read_labels: ReadLabels,
    crf: bool = False,
    progress: bool = False,
) -> list[Shown]:
    """Segment the images to show.

    An image that cannot be read, or whose labels cannot, is left out with a warning.

    Args:
        files: the images.
        segmenter: of the run.
        clustered: clusters of features to compare with, if any.
        label_files: by image file, as far as there are labels.
        read_labels: reads such a file.
        crf: also refine segments with the fully connected CRF.
        progress: show a progress bar.

    Raises:
        UserError: none of the images can be read.
    """
    shown = []
    with progress_bar("Segmenting", len(files), shown=progress) as advance:
        for file in files:
            try:
                image = segmenter.read(file.path)
                path = label_files.get(file.path)
                labels = None if path is None else read_labels(path)
            except UserError as error:
                logger.warning("the figures leave an image out: %s", error)
            else:
                shown.append(_shown(image, labels, segmenter, clustered, crf=crf))
            advance(1)
    if not shown:
        raise UserError("none of the images to show can be read; choose others with --show")
    return shown


def _shown(
    image: Picture,
    labels: Labels | None,
    segmenter: Segmenter,
    clustered: Segmenter | None,
    *,
    crf: bool,
) -> Shown:
    size = reduced_size(image.shape[0], image.shape[1], LONGEST_SIDE)
    reduced = resize_image(image, size)
    scores = segmenter.grid_scores(image)
    masks = {}
    if clustered is not None:
        masks[CLUSTERED] = cleaned_mask(clustered.grid_scores(image), reduced)
    masks[SEGMENTED] = cleaned_mask(scores, reduced)
    if crf:
        masks[REFINED] = refined_mask(scores, reduced)
    return Shown(reduced, None if labels is None else _nearest(labels, size), masks)


def _nearest(labels: Labels, size: tuple[int, int]) -> Labels:
    rows = np.arange(size[0]) * labels.shape[0] // size[0]
    columns = np.arange(size[1]) * labels.shape[1] // size[1]
    return labels[np.ix_(rows, columns)]

"""The images shown in figures, with all masks to compare."""

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
"""Maximum longer side of images in pixels, sufficient for print."""

CLUSTERED, SEGMENTED, REFINED = "k-means", "Segments", "Segments + CRF"

Labels = NDArray[np.int64]
ReadLabels = Callable[[Path], Labels]


@dataclass(frozen=True)
class FigureImage:
    """An image shown in a figure.

    Attributes:
        image: image, shape (height, width, 3).
        labels: class indices, shape (height, width); ``None`` without labels.
        masks: class indices by kind of mask, each of shape (height, width).
    """

    image: Picture
    labels: Labels | None
    masks: Mapping[str, Picture]


def choose_images(files: Sequence[ImageFile], show: Sequence[str], count: int) -> list[ImageFile]:
    """Choose the images to show, by name or evenly spaced.

    Args:
        files: images to choose from.
        show: names, with or without folder and suffix; empty to choose evenly spaced images.
        count: number of images to choose without names.

    Raises:
        UserError: a name matches no image, or several.
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
        raise UserError(f"--show {name}: no image with this name; names look like {files[0].name}")
    if len(found) > 1:
        raise UserError(
            f"--show {name}: matches {found[0].name} and {found[1].name}; include the folder"
        )
    return found[0]


def segment_images(
    files: Sequence[ImageFile],
    segmenter: Segmenter,
    clustered: Segmenter | None,
    *,
    label_files: Mapping[Path, Path],
    read_labels: ReadLabels,
    crf: bool = False,
    progress: bool = False,
) -> list[FigureImage]:
    """Segment the images to show.

    Images and labels that cannot be read are skipped with a warning.

    Args:
        files: the images.
        segmenter: model of the run.
        clustered: k-means baseline on backbone features, if any.
        label_files: label file of each image file that has one.
        read_labels: reads a label file.
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
                logger.warning("skipped in figures: %s", error)
            else:
                shown.append(_shown(image, labels, segmenter, clustered, crf=crf))
            advance(1)
    if not shown:
        raise UserError("none of the chosen images can be read; choose others with --show")
    return shown


def _shown(
    image: Picture,
    labels: Labels | None,
    segmenter: Segmenter,
    clustered: Segmenter | None,
    *,
    crf: bool,
) -> FigureImage:
    size = reduced_size(image.shape[0], image.shape[1], LONGEST_SIDE)
    reduced = resize_image(image, size)
    scores = segmenter.grid_scores(image)
    masks = {}
    if clustered is not None:
        masks[CLUSTERED] = cleaned_mask(clustered.grid_scores(image), reduced)
    masks[SEGMENTED] = cleaned_mask(scores, reduced)
    if crf:
        masks[REFINED] = refined_mask(scores, reduced)
    return FigureImage(reduced, None if labels is None else _nearest(labels, size), masks)


def _nearest(labels: Labels, size: tuple[int, int]) -> Labels:
    rows = np.arange(size[0]) * labels.shape[0] // size[0]
    columns = np.arange(size[1]) * labels.shape[1] // size[1]
    return labels[np.ix_(rows, columns)]

"""The images that figures show, segmented in each way that is compared."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from segdistill.clustering.code_clusters import spherical_kmeans
from segdistill.errors import UserError
from segdistill.figures.colouring import Picture
from segdistill.images.folder import ImageFile
from segdistill.images.resize import resize_image
from segdistill.inference.samples import evenly_spread, read_images, reduced_size
from segdistill.model.description import numbered_classes
from segdistill.model.segmenter import Segmenter
from segdistill.refinement.crf_refinement import refined_mask
from segdistill.refinement.upsampling import cleaned_mask

logger = logging.getLogger("segdistill")

LONGEST_SIDE = 2048
"""Maximum longer side of images in pixels, sufficient for print."""

LOCATIONS = 100_000
"""Maximum number of locations that the baseline clusters."""

MAX_IMAGES = 200

CLUSTERED, SEGMENTED, REFINED = "k-means", "Segments", "Segments + CRF"

Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Shown:
    """An image shown in a figure.

    Attributes:
        image: shape (height, width, 3).
        labels: class indices, shape (height, width), if it has any.
        masks: class indices by kind, each of shape (height, width).
    """

    image: Picture
    labels: Labels | None
    masks: Mapping[str, Picture]


def choose_images(files: Sequence[ImageFile], show: Sequence[str], count: int) -> list[ImageFile]:
    """Choose the images to show, by name or evenly spaced.

    Args:
        show: names, with or without folder and suffix; empty for evenly spaced images.

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
    read_labels: Callable[[Path], Labels],
    crf: bool = False,
    progress: bool = False,
) -> list[Shown]:
    """Segment the images to show.

    Images and labels that cannot be read are skipped with a warning.

    Args:
        clustered: k-means baseline on backbone features, if any.
        label_files: label file of each image file that has one.
        read_labels: reads a label file.
        crf: also refine segments with the fully connected CRF.

    Raises:
        UserError: none of the images can be read.
    """
    shown = []
    for file, image in read_images(segmenter, files, label="Segmenting", progress=progress):
        path = label_files.get(file.path)
        try:
            labels = None if path is None else read_labels(path)
        except UserError as error:
            logger.warning("skipped: %s", error)
            continue
        size = reduced_size(image.shape[0], image.shape[1], LONGEST_SIDE)
        reduced = resize_image(image, size)
        scores = segmenter.grid_scores(image)
        masks = {}
        if clustered is not None:
            masks[CLUSTERED] = cleaned_mask(clustered.grid_scores(image), reduced)
        masks[SEGMENTED] = cleaned_mask(scores, reduced, detail=segmenter.settings.detail)
        if crf:
            masks[REFINED] = refined_mask(scores, reduced)
        shown.append(Shown(reduced, None if labels is None else _nearest(labels, size), masks))
    if not shown:
        raise UserError("none of the chosen images can be read; choose others with --show")
    return shown


def _nearest(labels: Labels, size: tuple[int, int]) -> Labels:
    rows = np.arange(size[0]) * labels.shape[0] // size[0]
    columns = np.arange(size[1]) * labels.shape[1] // size[1]
    return labels[np.ix_(rows, columns)]


def cluster_features(
    segmenter: Segmenter,
    files: Sequence[ImageFile],
    *,
    progress: bool = False,
) -> Segmenter:
    """Cluster the backbone features of a model with k-means, as a baseline.

    The result has the same backbone, feature preparation, resolution and number of classes, but no
    head.

    Args:
        files: images to take features from; at most :data:`MAX_IMAGES` of them, evenly spaced.

    Raises:
        UserError: the images have fewer locations than there are classes.
    """
    chosen = evenly_spread(files, MAX_IMAGES)
    each = -(-LOCATIONS // len(chosen))
    generator = torch.Generator().manual_seed(0)
    features = []
    for _, image in read_images(segmenter, chosen, label="Clustering features", progress=progress):
        cells = segmenter.grid_features(image)[0].flatten(1).mT  # (c, h, w) -> (h * w, c)
        order = torch.randperm(len(cells), generator=generator)
        features.append(cells[order[:each]])
    count = len(segmenter.classes)
    if sum(map(len, features)) < count:
        raise UserError(
            f"the images have too few locations for {count} feature clusters; pass more images"
        )
    centres = spherical_kmeans(torch.cat(features), count, seed=0)
    settings = replace(
        segmenter.settings, classes=numbered_classes(count), training={"method": "kmeans"}
    )
    made = Segmenter(segmenter.backbone, segmenter.preparation, None, centres, settings)
    made.compute, made.budget = segmenter.compute, segmenter.budget
    return made.to(segmenter.centres.device)

"""The k-means baseline: clusters of the backbone features, without a trained head."""

import logging
from collections.abc import Sequence
from dataclasses import replace

import torch

from segdistill.errors import UserError
from segdistill.images.decode import UnreadableImageError
from segdistill.images.folder import ImageFile
from segdistill.model.description import numbered_classes
from segdistill.model.segmenter import Segmenter
from segdistill.progress import progress_bar
from segdistill.report.examples import evenly_spread
from segdistill.training.clustering import spherical_kmeans

logger = logging.getLogger("segdistill")

LOCATIONS = 100_000
MAX_IMAGES = 200


def cluster_features(
    segmenter: Segmenter,
    files: Sequence[ImageFile],
    *,
    locations: int = LOCATIONS,
    seed: int = 0,
    progress: bool = False,
) -> Segmenter:
    """Cluster the backbone features of a model with k-means.

    The result has the same backbone, feature preparation, resolution and number of classes, but no
    head.

    Args:
        segmenter: the model.
        files: images to take features from; at most ``MAX_IMAGES`` of them, evenly spaced.
        locations: maximum number of locations to cluster.
        seed: seed of the sampling and of k-means.
        progress: show a progress bar.

    Raises:
        UserError: the images have fewer locations than there are classes.
    """
    chosen = evenly_spread(files, MAX_IMAGES)
    each = -(-locations // len(chosen))
    generator = torch.Generator().manual_seed(seed)
    features = []
    with progress_bar("Clustering features", len(chosen), shown=progress) as advance:
        for file in chosen:
            try:
                image = segmenter.read(file.path)
            except UnreadableImageError as error:
                logger.warning("skipped: %s", error)
            else:
                cells = segmenter.grid_features(image)[0].flatten(1).mT  # (c, h, w) -> (h * w, c)
                order = torch.randperm(len(cells), generator=generator)
                features.append(cells[order[:each]])
            advance(1)
    count = len(segmenter.classes)
    if sum(map(len, features)) < count:
        raise UserError(
            f"the images have too few locations for {count} feature clusters; pass more images"
        )
    centres = spherical_kmeans(torch.cat(features), count, seed=seed)
    settings = replace(
        segmenter.settings, classes=numbered_classes(count), training={"method": "kmeans"}
    )
    made = Segmenter(segmenter.backbone, segmenter.preparation, None, centres, settings)
    made.compute, made.budget = segmenter.compute, segmenter.budget
    return made.to(segmenter.centres.device)

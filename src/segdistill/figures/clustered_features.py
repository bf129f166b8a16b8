"""What a run's training adds to its backbone: the clusters of the features themselves."""

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
MOST_IMAGES = 200


def cluster_features(
    segmenter: Segmenter,
    files: Sequence[ImageFile],
    *,
    locations: int = LOCATIONS,
    seed: int = 0,
    progress: bool = False,
) -> Segmenter:
    """Make a model that clusters the features of another's backbone, without its head.

    Backbone, preparation of features, resolution and number of classes stay the same.

    Args:
        segmenter: the model.
        files: images whose features are clustered; of very many, some are taken evenly.
        locations: of all images together that are clustered, at most.
        seed: of the choice of locations and of k-means.
        progress: show a progress bar.

    Raises:
        UserError: no image can be read, or they have fewer locations than there are classes.
    """
    chosen = evenly_spread(files, MOST_IMAGES)
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
            f"the images have too few locations for {count} clusters of features; give more images"
        )
    centres = spherical_kmeans(torch.cat(features), count, seed=seed)
    settings = replace(
        segmenter.settings, classes=numbered_classes(count), training={"method": "kmeans"}
    )
    made = Segmenter(segmenter.backbone, segmenter.preparation, None, centres, settings)
    made.compute, made.budget = segmenter.compute, segmenter.budget
    return made.to(segmenter.centres.device)

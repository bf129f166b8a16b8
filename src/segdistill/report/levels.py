"""The levels of a model in the report: every example image with few, some and many classes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segdistill.images.resize import resize_image
from segdistill.model.levels import LEVEL_NAMES, regrouped_classes
from segdistill.model.segmenter import Segmenter
from segdistill.model.upsampling import cleaned_mask
from segdistill.objective.clusters import class_similarity, cluster_similarity
from segdistill.report.examples import Sample, reduced_size
from segdistill.training.clustering import group_shares


@dataclass(frozen=True)
class ShownLevel:
    """A set of classes that the gallery can show.

    Attributes:
        name: ``coarse``, ``medium`` or ``fine``; ``in use`` for classes that are none of these.
        model: with these classes.
        is_in_use: whether these are the classes in use.
    """

    name: str
    model: Segmenter
    is_in_use: bool


def shown_levels(segmenter: Segmenter) -> list[ShownLevel]:
    """Return what the gallery can show, the classes in use among it.

    Args:
        segmenter: any model; one without levels shows the classes in use only.
    """
    levels, prototypes = segmenter.levels, segmenter.prototypes
    if levels is None or prototypes is None:
        return [ShownLevel("in use", segmenter, is_in_use=True)]
    in_use = levels.level_of(segmenter.classes)
    shares = group_shares(prototypes, segmenter.centres.cpu()).numpy()
    shown = []
    if in_use is None:
        shown.append(ShownLevel("in use", segmenter, is_in_use=True))
    for name in LEVEL_NAMES:
        classes = regrouped_classes(segmenter.classes, levels.grouping(name), shares)
        model = segmenter
        if name != in_use:
            model = segmenter.with_classes(classes, segmenter.centres, levels)
        shown.append(ShownLevel(name, model, is_in_use=name == in_use))
    return shown


def masks_of_levels(sample: Sample, levels: Sequence[ShownLevel]) -> dict[str, NDArray[np.uint8]]:
    """Return the mask of a sample at each level, by name; the backbone runs once.

    Args:
        sample: an image with its mask of the classes in use.
        levels: of :func:`shown_levels`.
    """
    masks = {level.name: sample.mask for level in levels if level.is_in_use}
    others = [level for level in levels if not level.is_in_use]
    if not others:
        return masks
    first = others[0].model
    image = first.read(sample.file.path)
    similarity = cluster_similarity(first.grid_codes(image), first.centres.cpu())
    reduced = resize_image(
        image, reduced_size(image.shape[0], image.shape[1], max(sample.mask.shape))
    )
    for level in others:
        scores = class_similarity(similarity, [each.members for each in level.model.classes])
        masks[level.name] = cleaned_mask(scores, reduced)
    return masks

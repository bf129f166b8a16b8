"""Image gallery of a report, with masks at every level."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segdistill.clustering.code_clusters import group_shares
from segdistill.images.palette import VOID, css_colour
from segdistill.inference.samples import Sample, evenly_spread, shares_of
from segdistill.model.description import SegmentClass
from segdistill.model.levels import LEVEL_NAMES, regrouped_classes
from segdistill.model.segmenter import Segmenter
from segdistill.objective.clusters import class_similarity
from segdistill.prefetch import in_threads, worker_threads
from segdistill.progress import progress_bar
from segdistill.refinement.upsampling import cleaned_mask
from segdistill.report import text
from segdistill.report.data_uri import image_uri, mask_uri

SHOWN_IMAGES = 12
NARROWEST, WIDEST = 0.5, 2.5
"""Bounds of the layout's aspect ratio; more extreme images get empty borders."""


@dataclass(frozen=True)
class ShownLevel:
    """A set of classes that the gallery can show.

    Attributes:
        name: ``coarse``, ``medium`` or ``fine``; ``in use`` for classes that are none of these.
        model: model with these classes.
        is_in_use: whether these are the classes in use.
    """

    name: str
    model: Segmenter
    is_in_use: bool

    @property
    def legend(self) -> list[tuple[str, str]]:
        """The colour and name of each class."""
        return [(css_colour(each.colour), each.name) for each in self.model.classes]


def shown_levels(segmenter: Segmenter) -> list[ShownLevel]:
    """Return the levels that the gallery can show, including the classes in use.

    Args:
        segmenter: any model; without levels, only the classes in use are shown.
    """
    levels, prototypes = segmenter.levels, segmenter.prototypes
    unnamed = ShownLevel("in use", segmenter, is_in_use=True)
    if levels is None or prototypes is None:
        return [unnamed]
    in_use = levels.level_of(segmenter.classes)
    shown = [] if in_use else [unnamed]
    shares = group_shares(prototypes, segmenter.centres.cpu()).numpy()
    for name in LEVEL_NAMES:
        model = segmenter
        if name != in_use:
            classes = regrouped_classes(segmenter.classes, levels.grouping(name), shares)
            model = segmenter.with_classes(classes, segmenter.centres, levels)
        shown.append(ShownLevel(name, model, is_in_use=name == in_use))
    return shown


def masks_of_levels(sample: Sample, levels: Sequence[ShownLevel]) -> list[NDArray[np.uint8]]:
    """Return the mask of a sample at each level, without running the backbone again.

    Args:
        sample: image with its mask of the classes in use, and its similarity to the clusters.
        levels: result of :func:`shown_levels`.
    """
    masks = []
    for level in levels:
        if level.is_in_use:
            masks.append(sample.mask)
            continue
        if sample.similarity is None:
            raise ValueError("masks of other levels need the similarity to the clusters")
        members = [each.members for each in level.model.classes]
        scores = class_similarity(sample.similarity, members)
        mask = cleaned_mask(scores, sample.image, detail=level.model.settings.detail)
        masks.append(np.where(sample.mask == VOID, VOID, mask).astype(np.uint8))
    return masks


def shown_images(
    samples: Sequence[Sample],
    pixels: NDArray[np.int64],
    classes: Sequence[SegmentClass],
    levels: Sequence[ShownLevel],
    *,
    progress: bool = False,
) -> list[dict[str, Any]]:
    """Return the name, description, URIs, size and class shares of each image of the gallery.

    Args:
        pixels: number of pixels of each class in each sample, shape (samples, classes).
        classes: classes in order of index.
        levels: result of :func:`shown_levels`.
        progress: show a progress bar.
    """
    chosen = evenly_spread(
        list(zip(samples, shares_of(pixels).tolist(), strict=True)), SHOWN_IMAGES
    )

    def drawn(each: tuple[Sample, list[float]]) -> dict[str, Any]:
        sample, shares = each
        name = sample.file.name.as_posix()
        height, width = sample.mask.shape
        masks = masks_of_levels(sample, levels)
        of_class = list(zip(classes, shares, strict=True))
        return {
            "name": name,
            "alt": text.description_of_shares(name, [(c.name, s) for c, s in of_class]),
            "photo": image_uri(sample.image),
            "masks": [
                (level, mask_uri(mask, level.model.classes))
                for level, mask in zip(levels, masks, strict=True)
            ],
            "height": height,
            "width": width,
            "ratio": round(min(max(width / height, NARROWEST), WIDEST), 4),
            "parts": [(css_colour(c.colour), round(s * 100, 2)) for c, s in of_class if s > 0],
        }

    shown = []
    threads = worker_threads()
    with progress_bar("Drawing all levels", len(chosen), shown=progress) as advance:
        for image in in_threads(drawn, chosen, threads=threads, ahead=len(chosen)):
            shown.append(image)
            advance(1)
    return shown

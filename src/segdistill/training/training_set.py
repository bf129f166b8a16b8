"""The training data of a fit: feature maps, with optional labels, saliency and depth."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from segdistill.config.settings import FitSettings
from segdistill.decoding.decode import read_image
from segdistill.features.depth_maps import DepthMaps
from segdistill.features.extract import FeatureMaps
from segdistill.features.preparation import FeaturePreparation
from segdistill.features.views import View, augmented_views
from segdistill.images.depth import DepthSettings
from segdistill.images.palette import VOID

ReadLabels = Callable[[Path], NDArray[np.int64]]


@dataclass(frozen=True)
class LabelFiles:
    """Label files of training images.

    Attributes:
        of_image: the label file of each image file that has one.
        read: a function that reads a label file as class indices, with 255 for 'not labelled'.
        classes: the number of label classes.
        names: their names, if known.
    """

    of_image: Mapping[Path, Path]
    read: ReadLabels
    classes: int
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class AuxiliaryInputs:
    """Optional inputs that accompany the training images, if the settings use them.

    Attributes:
        labels: label files.
        saliency: the greyscale saliency image of each image file that has one.
        depth: the depth map of each image file that has one.
        depth_settings: the meaning of the values in depth maps.
    """

    labels: LabelFiles | None = None
    saliency: Mapping[Path, Path] | None = None
    depth: Mapping[Path, Path] | None = None
    depth_settings: DepthSettings = field(default_factory=DepthSettings)


NO_AUXILIARY_INPUTS = AuxiliaryInputs()


@dataclass(frozen=True)
class ViewLabels:
    """Labels of views, read from label files."""

    views: Sequence[View]
    files: LabelFiles

    def at(self, index: int, shares: torch.Tensor) -> torch.Tensor:
        """Read the labels at locations of a view.

        Args:
            shares: locations as fractions of the view's width and height, from 0 to 1, shape
                (locations, 2).

        Returns:
            Labels of shape (locations,), int64; 255 everywhere without a label file.
        """
        view = self.views[index]
        path = self.files.of_image.get(view.image.file.path)
        if path is None:
            return torch.full((len(shares),), VOID)
        labels = view.cut(self.files.read(path))
        sides = torch.tensor([labels.shape[1], labels.shape[0]])
        columns, rows = (shares * sides).long().clamp_min(0).minimum(sides - 1).unbind(1)
        return torch.from_numpy(labels[rows.numpy(), columns.numpy()])


@dataclass(frozen=True)
class ViewSaliency:
    """Salient pixels of views: those that are not black in the saliency images."""

    views: Sequence[View]
    of_image: Mapping[Path, Path]

    def draw(self, index: int, count: int, generator: torch.Generator) -> torch.Tensor | None:
        """Draw salient pixels with replacement.

        Returns fractions of width and height, shape (count, 2); ``None`` if the view has no
        saliency image or no salient pixels.
        """
        view = self.views[index]
        path = self.of_image.get(view.image.file.path)
        if path is None:
            return None
        seen = view.cut(read_image(path)).max(axis=2) > 0
        salient = np.flatnonzero(seen)
        if not len(salient):
            return None
        drawn = salient[torch.randint(len(salient), (count,), generator=generator).numpy()]
        rows, columns = np.divmod(drawn, seen.shape[1])
        pixels = torch.from_numpy(np.stack([columns, rows], axis=1)).float()
        return (pixels + 0.5) / torch.tensor([seen.shape[1], seen.shape[0]])


MOST_COPIES = 1500
"""Maximum number of augmented copies, unless there are more images; each has at least one."""


@dataclass(frozen=True)
class TrainingSet:
    """The training data of a fit.

    Attributes:
        maps: raw feature maps.
        neighbours: indices of the nearest neighbours of each map, shape (maps, count).
        preparation: the feature preparation.
        copies: feature maps of augmented copies, the same number for each view, grouped by view,
            for the alignment term.
        labels: labels of the views.
        saliency: salient pixels of the views, for drawing locations.
        depth: depth of the views.
    """

    maps: FeatureMaps
    neighbours: torch.Tensor
    preparation: FeaturePreparation
    copies: FeatureMaps | None = None
    labels: ViewLabels | None = None
    saliency: ViewSaliency | None = None
    depth: DepthMaps | None = None


def training_set(
    maps: FeatureMaps,
    neighbours: torch.Tensor,
    preparation: FeaturePreparation,
    auxiliary: AuxiliaryInputs,
    settings: FitSettings,
) -> TrainingSet:
    """Assemble the training data of a fit."""
    views, copies, depth = maps.views, None, None
    if settings.objective.weight_alignment:
        each = max(1, min(settings.objective.augmentations, MOST_COPIES // len(views)))
        augmented = augmented_views(views, each)
        copies = FeatureMaps(augmented, maps.backbone, maps.store, maps.compute)
    if auxiliary.depth is not None:
        grids = [maps.grid(index) for index in range(len(maps))]
        depth = DepthMaps(views, grids, auxiliary.depth, auxiliary.depth_settings, maps.store)
    return TrainingSet(
        maps,
        neighbours,
        preparation,
        copies=copies,
        labels=None if auxiliary.labels is None else ViewLabels(views, auxiliary.labels),
        saliency=None if auxiliary.saliency is None else ViewSaliency(views, auxiliary.saliency),
        depth=depth,
    )

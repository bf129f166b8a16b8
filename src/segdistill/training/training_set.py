"""What a fit learns from: feature maps, and what else is known of the same views."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from segdistill.config.settings import FitSettings
from segdistill.features.depth_maps import DepthMaps
from segdistill.features.extract import FeatureMaps
from segdistill.features.preparation import FeaturePreparation
from segdistill.features.views import View, augmented_views
from segdistill.images.decode import read_image
from segdistill.images.depth import DepthSettings
from segdistill.images.labels import VOID

ReadLabels = Callable[[Path], NDArray[np.int64]]

DEFAULT_DEPTH_SETTINGS = DepthSettings()


@dataclass(frozen=True)
class LabelFiles:
    """Label files of training images, for what needs labels.

    Attributes:
        of_image: label file of each image file that has one.
        read: reads a label file as class indices, 255 for 'not labelled'.
        classes: number of label classes.
    """

    of_image: Mapping[Path, Path]
    read: ReadLabels
    classes: int


@dataclass(frozen=True)
class AuxiliaryInputs:
    """What comes with the training images, where the settings ask for it.

    Attributes:
        labels: label files.
        saliency: grey picture of each image file that has one.
        depth: depth map of each image file that has one.
        depth_settings: what the numbers in depth maps mean.
    """

    labels: LabelFiles | None = None
    saliency: Mapping[Path, Path] | None = None
    depth: Mapping[Path, Path] | None = None
    depth_settings: DepthSettings = DEFAULT_DEPTH_SETTINGS


NO_AUXILIARY_INPUTS = AuxiliaryInputs()


@dataclass(frozen=True)
class ViewLabels:
    """The labels of views, from label files."""

    views: Sequence[View]
    files: LabelFiles

    def at(self, index: int, shares: torch.Tensor) -> torch.Tensor:
        """Read the labels of a view, (locations,), int64; 255 everywhere without a label file.

        Locations are shares of the view's width and height, from 0 to 1, shape (locations, 2).
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
    """Where in views there is something to learn from: what is not black in grey pictures."""

    views: Sequence[View]
    of_image: Mapping[Path, Path]

    def draw(self, index: int, count: int, generator: torch.Generator) -> torch.Tensor | None:
        """Draw pixels that count, with repetition, as shares of width and height, shape (count, 2).

        Returns ``None`` if the view has no picture or nothing in it counts.
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


@dataclass(frozen=True)
class TrainingSet:
    """What is learned from.

    Attributes:
        maps: raw feature maps.
        neighbours: nearest neighbours of each map, shape (maps, count).
        preparation: preparation of the features.
        copies: maps of augmented copies, the same number of each view, for the alignment term.
        labels: labels of the views.
        saliency: where locations are drawn.
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
    """Put together what is learned from."""
    views, copies, depth = maps.views, None, None
    if settings.objective.weight_alignment:
        augmented = augmented_views(views, settings.objective.augmentations)
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

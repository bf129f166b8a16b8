"""What a fit learns from: feature maps, and what else is known of the same views."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from segdistill.features.depth_maps import DepthMaps
from segdistill.features.extract import FeatureMaps
from segdistill.features.preparation import FeaturePreparation
from segdistill.features.views import View
from segdistill.images.decode import read_image
from segdistill.images.labels import VOID

ReadLabels = Callable[[Path], NDArray[np.int64]]


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


class ViewLabels:
    """The labels of views.

    Args:
        views: whose labels are asked for.
        files: where the labels lie.
    """

    def __init__(self, views: Sequence[View], files: LabelFiles) -> None:
        self.views = views
        self.files = files

    @property
    def classes(self) -> int:
        """Number of label classes."""
        return self.files.classes

    def at(self, index: int, shares: torch.Tensor) -> torch.Tensor:
        """Read the labels of a view; 255 everywhere if it has no label file.

        Args:
            index: of the view.
            shares: of the view's width and height, from 0 to 1, shape (locations, 2).

        Returns:
            Class indices of shape (locations,), int64.
        """
        view = self.views[index]
        path = self.files.of_image.get(view.image.file.path)
        if path is None:
            return torch.full((len(shares),), VOID)
        labels = view.cut(self.files.read(path))
        sides = torch.tensor([labels.shape[1], labels.shape[0]])
        columns, rows = (shares * sides).long().clamp_min(0).minimum(sides - 1).unbind(1)
        return torch.from_numpy(labels[rows.numpy(), columns.numpy()])


class ViewSaliency:
    """Where in views there is something to learn from.

    Args:
        views: whose saliency is asked for.
        of_image: a grey picture for each image file that has one; what is not black counts.
    """

    def __init__(self, views: Sequence[View], of_image: Mapping[Path, Path]) -> None:
        self.views = views
        self.of_image = of_image

    def draw(self, index: int, count: int, generator: torch.Generator) -> torch.Tensor | None:
        """Draw pixels that count, with repetition.

        Args:
            index: of the view.
            count: number of pixels.
            generator: source of randomness.

        Returns:
            Centres of pixels as shares of the view's width and height, shape (count, 2), or
            ``None`` if the view has no picture or nothing in it counts.
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
        neighbours: of each map, shape (maps, count).
        preparation: of the features.
        copies: maps of augmented copies, the same number of each view, for the alignment term.
        labels: for what needs labels.
        saliency: where locations are drawn.
        depth: a guide in training.
    """

    maps: FeatureMaps
    neighbours: torch.Tensor
    preparation: FeaturePreparation
    copies: FeatureMaps | None = None
    labels: ViewLabels | None = None
    saliency: ViewSaliency | None = None
    depth: DepthMaps | None = None

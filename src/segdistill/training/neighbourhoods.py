"""Features around sampled locations, of which a training step reads nothing else."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from segdistill.features.extract import Features
from segdistill.features.preparation import FeaturePreparation
from segdistill.objective.portions import in_portions
from segdistill.objective.sampling import bilinear_neighbours


class Neighbourhoods(NamedTuple):
    """Features around sampled locations; cells shared by locations are stored once.

    Attributes:
        cells: features of all cells needed, shape (batch, cells, channels), padded with zeros for
            images that need fewer cells.
        nearest: indices of the four cells around each location, shape (batch, locations, 4), int64.
        weights: bilinear weights, shape (batch, locations, 4).
        is_prepared: whether the features have been prepared.
    """

    cells: torch.Tensor
    nearest: torch.Tensor
    weights: torch.Tensor
    is_prepared: bool = False

    def of_locations(self, chosen: slice) -> "Neighbourhoods":
        """Return the neighbourhoods of some of the locations; the cells are shared."""
        return self._replace(nearest=self.nearest[:, chosen], weights=self.weights[:, chosen])

    def prepared(self, preparation: FeaturePreparation) -> "Neighbourhoods":
        """Return the neighbourhoods with prepared features; the preparation is on their device."""
        if self.is_prepared:
            return self
        cells = self.cells
        result = torch.empty((*cells.shape[:2], preparation.channels), device=cells.device)
        prepared = in_portions(lambda images: preparation(cells[images].float()), cells)
        for images, features in prepared:
            result[images] = features
        return self._replace(cells=result, is_prepared=True)


def read_neighbourhoods(features: Sequence[Features], locations: torch.Tensor) -> Neighbourhoods:
    """Read the cells around locations, each cell once.

    Args:
        features: raw maps, one per entry of the batch; they may differ in size.
        locations: (x, y) in -1..1, shape (batch, locations, 2).
    """
    sizes = torch.tensor([raw.shape[:2] for raw in features])  # (batch, 2)
    around, weights = bilinear_neighbours(locations, *sizes.mT.unsqueeze(-1))
    read, nearest = [], []
    for raw, cells in zip(features, around, strict=True):
        needed, rows = np.unique(cells.flatten().numpy(), return_inverse=True)
        read.append(torch.from_numpy(raw.reshape(-1, raw.shape[2])[needed]))
        nearest.append(torch.from_numpy(rows).view(cells.shape))
    return Neighbourhoods(pad_sequence(read, batch_first=True), torch.stack(nearest), weights)

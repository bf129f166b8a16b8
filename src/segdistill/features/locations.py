"""Sampling of feature locations from the data set, for statistics and clustering."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch

from segdistill.features.extract import FeatureMaps
from segdistill.progress import progress_bar

MapFunction = Callable[[torch.Tensor], torch.Tensor]


class Locations(NamedTuple):
    """Sampled locations.

    Attributes:
        features: features of each location, or a function of them, shape (locations, channels).
        maps: map index of each location, shape (locations,), int64.
    """

    features: torch.Tensor
    maps: torch.Tensor


def sample_locations(
    maps: FeatureMaps,
    count: int,
    *,
    seed: int,
    max_maps: int | None = None,
    function: MapFunction | None = None,
    description: str = "Reading features",
    progress: bool = False,
) -> Locations:
    """Sample the same number of random locations with a value from each map, at least one.

    Args:
        count: total number of locations; small data sets may have fewer.
        max_maps: maximum number of maps to read, evenly spaced.
        function: applied to the locations of each map, (locations, channels) to (locations, any).
    """
    chosen = np.arange(len(maps))
    if max_maps is not None and len(maps) > max_maps:
        chosen = np.linspace(0, len(maps) - 1, max_maps).round().astype(int)
    each = max(1, -(-count // len(chosen)))
    random = np.random.default_rng(seed)
    taken = []
    with progress_bar(description, len(chosen), shown=progress) as advance:
        for index, features in zip(chosen.tolist(), maps.iterate(chosen.tolist()), strict=True):
            cells = features.reshape(-1, features.shape[-1])
            valid = maps.valid_cells(index)
            cells = cells if valid is None else cells[valid]
            rows = np.sort(random.permutation(len(cells))[:each])
            locations = torch.from_numpy(cells[rows]).float()
            taken.append(locations if function is None else function(locations))
            advance(1)
    sizes = torch.tensor([len(locations) for locations in taken])
    return Locations(torch.cat(taken), torch.from_numpy(chosen).repeat_interleave(sizes))

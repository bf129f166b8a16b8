"""Features of locations spread over the data set, for statistics and clustering."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch

from segdistill.features.extract import FeatureMaps
from segdistill.progress import progress_bar

MapFunction = Callable[[torch.Tensor], torch.Tensor]


class Locations(NamedTuple):
    """Locations of several maps.

    Attributes:
        features: of each location, or what a function made of them, shape (locations, channels).
        maps: number of the map of each location, shape (locations,), int64.
    """

    features: torch.Tensor
    maps: torch.Tensor


def spread_locations(
    maps: FeatureMaps,
    count: int,
    *,
    seed: int,
    max_maps: int | None = None,
    function: MapFunction | None = None,
    description: str = "Reading features",
    progress: bool = False,
) -> Locations:
    """Take the same number of random locations of each map.

    Args:
        maps: of the data set.
        count: locations wanted in all; a small data set has fewer.
        seed: of the choice.
        max_maps: bound on the maps read, taken evenly over the list.
        function: applied to the locations of a map, (locations, channels) to (locations, any).
        description: of the progress bar.
        progress: show a progress bar.

    Returns:
        Features in float32, at least one place of each map read.
    """
    chosen = np.arange(len(maps))
    if max_maps is not None and len(maps) > max_maps:
        chosen = np.linspace(0, len(maps) - 1, max_maps).round().astype(int)
    each = max(1, -(-count // len(chosen)))
    random = np.random.default_rng(seed)
    taken = []
    with progress_bar(description, len(chosen), shown=progress) as advance:
        for features in maps.in_turn(chosen.tolist()):
            cells = features.reshape(-1, features.shape[-1])
            rows = np.sort(random.permutation(len(cells))[:each])
            locations = torch.from_numpy(cells[rows]).float()
            taken.append(locations if function is None else function(locations))
            advance(1)
    sizes = torch.tensor([len(locations) for locations in taken])
    return Locations(torch.cat(taken), torch.from_numpy(chosen).repeat_interleave(sizes))

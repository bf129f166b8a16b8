"""One vector for each image: the mean of its features."""

import torch
import torch.nn.functional as F

from segdistill.features.extract import FeatureMaps
from segdistill.features.preparation import FeaturePreparation
from segdistill.progress import progress_bar

PLACES_AT_ONCE = 512
"""Locations whose features fit into a processor's cache: whole maps take about twice as long."""


def mean_descriptors(
    maps: FeatureMaps, preparation: FeaturePreparation, *, progress: bool = False
) -> torch.Tensor:
    """Return the mean of the normalised features of each map, brought to unit length.

    Without rotation: images are compared as STEGO does it (Hamilton et al., ICLR 2022), by the
    features themselves. Each map is read once, the next ones while it is worked on.

    Args:
        maps: raw features.
        preparation: of which the first two steps are taken.
        progress: show a progress bar.

    Returns:
        Tensor of shape (maps, channels), float32.
    """
    descriptors = torch.empty(len(maps), maps.channels)
    with progress_bar("Finding neighbours", len(maps), shown=progress) as advance:
        for index, raw in enumerate(maps.in_turn(range(len(maps)))):
            descriptors[index] = mean_feature(torch.from_numpy(raw), preparation)
            advance(1)
    return descriptors


def mean_feature(raw: torch.Tensor, preparation: FeaturePreparation) -> torch.Tensor:
    """Return the mean of the normalised features of one map, brought to unit length.

    Args:
        raw: features of shape (height, width, channels), of any floating type.
        preparation: of which the first two steps are taken.

    Returns:
        Tensor of shape (channels,), float32.

    Example:
        >>> mean_feature(torch.tensor([[[0.0, 3.0], [4.0, 1.0]]]), FeaturePreparation((2,)))
        tensor([0.7071, 0.7071])
    """
    locations = raw.flatten(0, 1)  # (height, width, channels) -> (locations, channels)
    total = torch.zeros(locations.shape[1])
    for part in torch.split(locations, PLACES_AT_ONCE):
        total += preparation.normalise(part.float()).sum(dim=0)
    return F.normalize(total, dim=0)

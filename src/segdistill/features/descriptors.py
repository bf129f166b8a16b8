"""Image descriptors: the mean feature of each image."""

import torch
import torch.nn.functional as F

from segdistill.features.extract import FeatureMaps
from segdistill.features.preparation import FeaturePreparation
from segdistill.progress import progress_bar

LOCATION_BLOCK = 512
"""Block size that fits into the CPU cache; processing whole maps takes about twice as long."""


def mean_descriptors(
    maps: FeatureMaps, preparation: FeaturePreparation, *, progress: bool = False
) -> torch.Tensor:
    """Return the unit-length mean of the normalised features of each map.

    Without PCA: as in STEGO (Hamilton et al., ICLR 2022), images are compared by their original
    features. Each map is read once, with read-ahead.

    Args:
        maps: raw feature maps.
        preparation: feature preparation, of which the first two steps are used.
        progress: show a progress bar.

    Returns:
        Tensor of shape (maps, channels), float32.
    """
    descriptors = torch.empty(len(maps), maps.channels)
    with progress_bar("Finding neighbours", len(maps), shown=progress) as advance:
        for index, raw in enumerate(maps.iterate(range(len(maps)))):
            descriptors[index] = mean_feature(torch.from_numpy(raw), preparation)
            advance(1)
    return descriptors


def mean_feature(raw: torch.Tensor, preparation: FeaturePreparation) -> torch.Tensor:
    """Return the unit-length mean of the normalised features of one map.

    Args:
        raw: raw features of any floating-point type, shape (height, width, channels).
        preparation: feature preparation, of which the first two steps are used.

    Returns:
        Tensor of shape (channels,), float32.

    Example:
        >>> mean_feature(torch.tensor([[[0.0, 3.0], [4.0, 1.0]]]), FeaturePreparation((2,)))
        tensor([0.7071, 0.7071])
    """
    locations = raw.flatten(0, 1)  # (height, width, channels) -> (locations, channels)
    total = torch.zeros(locations.shape[1])
    for part in torch.split(locations, LOCATION_BLOCK):
        total += preparation.normalise(part.float()).sum(dim=0)
    return F.normalize(total, dim=0)

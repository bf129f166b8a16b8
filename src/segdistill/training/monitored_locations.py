"""Locations whose neighbours in the features show, without labels, how good codes are."""

from dataclasses import dataclass

import torch

from segdistill.features.extract import FeatureMaps
from segdistill.features.locations import sample_locations
from segdistill.features.preparation import FeaturePreparation
from segdistill.model.head import SegmentationHead
from segdistill.objective.neighbour_agreement import nearest_in_other_images

MONITORED_LOCATIONS = 8_000
MONITORED_MAPS = 150
NEIGHBOURS = 10


@dataclass(frozen=True)
class MonitoredLocations:
    """Locations that are evaluated while training continues.

    Attributes:
        features: prepared, shape (locations, channels).
        neighbours: most similar locations in other images, shape (locations, neighbours).
    """

    features: torch.Tensor
    neighbours: torch.Tensor


def monitored_locations(
    maps: FeatureMaps, preparation: FeaturePreparation, *, seed: int
) -> MonitoredLocations:
    """Choose locations spread over the data set, and find their neighbours by all channels.

    Args:
        maps: raw feature maps.
        preparation: of the features, on the CPU.
        seed: of the choice.
    """
    with torch.no_grad():
        locations = sample_locations(maps, MONITORED_LOCATIONS, seed=seed, max_maps=MONITORED_MAPS)
        similar = nearest_in_other_images(
            preparation.normalise(locations.features), locations.maps, NEIGHBOURS
        )
        return MonitoredLocations(preparation(locations.features), similar)


def codes_of_locations(head: SegmentationHead, locations: MonitoredLocations) -> torch.Tensor:
    """Return the codes of the locations, shape (locations, code channels), on the CPU.

    Args:
        head: on any device; left in the mode it was in.
        locations: to encode.
    """
    training = head.training
    device = next(head.parameters()).device
    with torch.no_grad():
        codes: torch.Tensor = head.eval()(locations.features.to(device)).float().cpu()
    head.train(training)
    return codes

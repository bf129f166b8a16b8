"""Some places of the data set, by whose neighbours codes and clusters are judged without labels."""

from dataclasses import dataclass

import torch

from segdistill.features.extract import FeatureMaps
from segdistill.features.places import spread_places
from segdistill.features.preparation import FeaturePreparation
from segdistill.model.head import SegmentationHead
from segdistill.objective.neighbour_agreement import nearest_in_other_images

WATCHED_PLACES = 8_000
WATCHED_MAPS = 150
NEIGHBOURS = 10


@dataclass(frozen=True)
class WatchedPlaces:
    """Places that are looked at while training goes on.

    Attributes:
        features: prepared, shape (places, channels).
        neighbours: most similar places in other images, shape (places, neighbours).
    """

    features: torch.Tensor
    neighbours: torch.Tensor


def watched_places(
    maps: FeatureMaps, preparation: FeaturePreparation, *, seed: int
) -> WatchedPlaces:
    """Choose places spread over the data set, and find their neighbours by all channels.

    Args:
        maps: raw feature maps.
        preparation: of the features, on the CPU.
        seed: of the choice.
    """
    with torch.no_grad():
        places = spread_places(maps, WATCHED_PLACES, seed=seed, max_maps=WATCHED_MAPS)
        similar = nearest_in_other_images(
            preparation.normalise(places.features), places.maps, NEIGHBOURS
        )
        return WatchedPlaces(preparation(places.features), similar)


def codes_of_places(head: SegmentationHead, places: WatchedPlaces) -> torch.Tensor:
    """Return the codes of the places, shape (places, code channels), on the CPU.

    Args:
        head: on any device; left in the mode it was in.
        places: to encode.
    """
    training = head.training
    device = next(head.parameters()).device
    with torch.no_grad():
        codes: torch.Tensor = head.eval()(places.features.to(device)).float().cpu()
    head.train(training)
    return codes

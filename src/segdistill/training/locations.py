"""Locations in maps: drawn at random, where there is a value, and their labels."""

import numpy as np
import torch

from segdistill.features.extract import FeatureMaps
from segdistill.objective.sampling import (
    locations_of_shares,
    random_locations,
    shares_of_locations,
)
from segdistill.training.training_set import TrainingSet, ViewLabels

ANYWHERE_SHARE = 0.1
"""Share of locations drawn anywhere when the rest are drawn from salient pixels."""


def draw_locations(
    data: TrainingSet, images: list[int], count: int, generator: torch.Generator
) -> torch.Tensor:
    """Draw random locations, shape (batch, count, 2).

    With saliency, nine in ten are drawn from salient pixels; none where there is no value.
    """
    locations = random_locations(len(images), count, generator=generator)
    for entry, image in enumerate(images):
        shares = None if data.saliency is None else data.saliency.draw(image, count, generator)
        if shares is not None:
            anywhere = torch.rand(count, 1, generator=generator) < ANYWHERE_SHARE
            salient = locations_of_shares(shares, *data.maps.grid(image))
            locations[entry] = torch.where(anywhere, locations[entry], salient)
        locations[entry] = with_value(data.maps, image, locations[entry], generator)
    return locations


def with_value(
    maps: FeatureMaps, image: int, locations: torch.Tensor, generator: torch.Generator
) -> torch.Tensor:
    """Replace locations where a map has no value by random ones where it has.

    Args:
        maps: of the data set.
        image: index of the map.
        locations: shape (locations, 2).
        generator: a random number generator.
    """
    keeps = have_value(maps, image, locations)
    valid = maps.valid_cells(image)
    if keeps is None or valid is None:
        return locations
    height, width = maps.grid(image)
    cells = torch.from_numpy(np.flatnonzero(valid))
    drawn = cells[torch.randint(len(cells), (len(locations),), generator=generator)]
    within = torch.rand(len(locations), 2, generator=generator)
    shares = (torch.stack([drawn % width, drawn // width], dim=1) + within) / torch.tensor(
        [width, height]
    )
    others = locations_of_shares(shares, height, width)
    return torch.where(keeps[:, None], locations, others)


def have_value(maps: FeatureMaps, image: int, locations: torch.Tensor) -> torch.Tensor | None:
    """Return which locations (locations, 2) of a map have a value; ``None`` if all have."""
    valid = maps.valid_cells(image)
    if valid is None:
        return None
    height, width = maps.grid(image)
    sides = torch.tensor([width, height])
    at = (shares_of_locations(locations, height, width) * sides).long()
    columns, rows = at.clamp_min(0).minimum(sides - 1).unbind(1)
    return torch.from_numpy(valid)[rows * width + columns]


def read_labels(
    labels: ViewLabels, maps: FeatureMaps, images: list[int], locations: torch.Tensor
) -> torch.Tensor:
    """Return the labels at locations (batch, locations, 2) of images, shape (batch, locations)."""
    each = zip(images, locations, strict=True)
    return torch.stack(
        [labels.at(image, shares_of_locations(at, *maps.grid(image))) for image, at in each]
    )

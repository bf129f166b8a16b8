"""What an objective needs of each batch, and images on a regular grid."""

from collections.abc import Sequence
from typing import NamedTuple

import torch

from segdistill.decoding.decode import to_tensor
from segdistill.features.extract import FeatureMaps, Features
from segdistill.images.resize import resize_image
from segdistill.objective.sampling import regular_locations, shares_of_locations
from segdistill.training.locations import read_labels, with_value
from segdistill.training.neighbourhoods import Neighbourhoods, read_neighbourhoods
from segdistill.training.training_set import TrainingSet


class Needs(NamedTuple):
    """What an objective needs of each batch.

    Attributes:
        neighbours: positives from a nearest neighbour of each image; otherwise they are of the
            image itself, and no other map is read.
        grid: locations per side of a regular grid over each image; 0 reads none.
        colours: colours at the locations of the grid.
    """

    neighbours: bool = True
    grid: int = 0
    colours: bool = False


NEEDS_PAIRS = Needs()
"""Random locations of images and of their neighbours, as STEGO needs them."""


class Grid(NamedTuple):
    """Images on a regular grid of locations, in row-major order.

    Attributes:
        images: raw features of the images around the locations.
        positives: those of a neighbour of each image; ``None`` unless neighbours are needed and
            are not in the batch themselves.
        colours: colours of the images, from 0 to 1, shape (batch, locations, 3), if needed.
        positive_colours: those of the neighbours.
        labels: labels of the images, shape (batch, locations), if there are labels.
    """

    images: Neighbourhoods
    positives: Neighbourhoods | None = None
    colours: torch.Tensor | None = None
    positive_colours: torch.Tensor | None = None
    labels: torch.Tensor | None = None


def read_grid(
    data: TrainingSet,
    images: list[int],
    partners: list[int],
    features: tuple[Sequence[Features], Sequence[Features]],
    needs: Needs,
    generator: torch.Generator,
) -> Grid:
    """Read images, and their neighbours if needed, on a regular grid.

    Locations without a value are replaced by random ones that have one.

    Args:
        images: the images.
        partners: a neighbour of each.
        features: the raw maps of the images and of their neighbours.
    """
    maps = data.maps

    def located(which: list[int]) -> torch.Tensor:
        grid = regular_locations(needs.grid)
        return torch.stack([with_value(maps, image, grid, generator) for image in which])

    def colours(which: list[int], locations: torch.Tensor) -> torch.Tensor:
        seen = zip(which, locations, strict=True)
        return torch.stack([read_colours(maps, image, each, needs.grid) for image, each in seen])

    own = located(images)
    read = Grid(read_neighbourhoods(features[0], own))
    if needs.colours:
        read = read._replace(colours=colours(images, own))
    if needs.neighbours:
        theirs = located(partners)
        read = read._replace(positives=read_neighbourhoods(features[1], theirs))
        if needs.colours:
            read = read._replace(positive_colours=colours(partners, theirs))
    if data.labels is not None:
        read = read._replace(labels=read_labels(data.labels, maps, images, own))
    return read


def read_colours(maps: FeatureMaps, image: int, locations: torch.Tensor, side: int) -> torch.Tensor:
    """Read the colours of an image resized to a grid, from 0 to 1, shape (locations, 3).

    Args:
        locations: locations in the map of the image, shape (locations, 2).
        side: cells per side of the grid.
    """
    small = to_tensor(resize_image(maps.views[image].load(), (side, side)))[0]
    shares = shares_of_locations(locations, *maps.grid(image))
    columns, rows = (shares * side).long().clamp(0, side - 1).unbind(1)
    return small[:, rows, columns].mT  # (3, locations) -> (locations, 3)

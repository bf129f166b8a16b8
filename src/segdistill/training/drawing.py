"""Which images a batch holds, at which locations, and what is known there besides features."""

import random
from collections.abc import Sequence
from typing import Generic, NamedTuple, TypeVar

import torch

from segdistill.config.settings import FitSettings
from segdistill.objective.schedules import samples_per_side
from segdistill.processes import SINGLE_PROCESS, Group
from segdistill.training.depth_guidance import (
    SampledDepth,
    Scene,
    attention_between,
    locations_by_depth,
    read_scenes,
    sample_depth,
)
from segdistill.training.grid import Needs
from segdistill.training.locations import draw_locations, read_labels, with_value
from segdistill.training.training_set import TrainingSet

FEWEST_SHARED = 4
Part = TypeVar("Part")


class Parts(NamedTuple, Generic[Part]):
    """A value for each of the three parts that a step compares.

    With shared pairs there is a single set of locations, and neighbours are images of the batch.

    Attributes:
        anchors: the images at a first set of locations.
        positives: a neighbour of each image, at a second set of locations.
        negatives: the images at the second set of locations.
    """

    anchors: Part
    positives: Part
    negatives: Part


class DrawnImages(NamedTuple):
    """The images of a batch, as indices of maps, and their neighbours.

    Attributes:
        images: the images.
        positives: a neighbour of each image; without neighbours, the image itself.
        neighbour_of: with shared pairs, the position of each neighbour in ``images``, shape
            (batch,).
    """

    images: list[int]
    positives: list[int]
    neighbour_of: torch.Tensor | None = None


class SampledLocations(NamedTuple):
    """A set of locations in images, and labels and depth there if there are any.

    Attributes:
        locations: (x, y) in -1..1, shape (batch, locations, 2).
        labels: labels, shape (batch, locations); 255 means 'not labelled'.
        depth: depth and points.
    """

    locations: torch.Tensor
    labels: torch.Tensor | None
    depth: SampledDepth | None

    def of_images(self, chosen: torch.Tensor) -> "SampledLocations":
        """Return the locations in some images, given as positions in the batch."""
        return SampledLocations(
            self.locations[chosen],
            None if self.labels is None else self.labels[chosen],
            None if self.depth is None else self.depth.of_images(chosen),
        )


def draw_images(
    neighbours: torch.Tensor,
    settings: FitSettings,
    needs: Needs,
    chooser: random.Random,
    group: Group = SINGLE_PROCESS,
) -> DrawnImages:
    """Draw the images of this process, and one of the nearest neighbours of each.

    With shared pairs, half of the images are drawn at random and the others are neighbours of
    them, so that each image has a neighbour in the batch. No image is in it twice. Processes with
    fewer than :data:`FEWEST_SHARED` images have separate pairs, as no other image would be left to
    be a random partner.

    Args:
        neighbours: nearest neighbours of all images, shape (images, neighbours).
    """
    count, size = len(neighbours), settings.training.batch_size
    shared = (
        needs.neighbours
        and settings.training.pairs == "shared"
        and size >= FEWEST_SHARED * group.size
    )
    images = group.share(chooser.sample(range(count), min(size // 2 if shared else size, count)))
    if not needs.neighbours:
        return DrawnImages(images, images)
    near = neighbours[images].tolist()
    if not shared:
        return DrawnImages(images, [chooser.choice(each) for each in near])
    position_of = {image: position for position, image in enumerate(images)}
    neighbour_of = []
    brought_by = []
    for position, candidates in enumerate(near):
        new = [each for each in candidates if each not in position_of]
        # A small set may have no more.
        chosen = chooser.choice(new or candidates)
        if new:
            position_of[chosen] = len(position_of)
            brought_by.append(position)
        neighbour_of.append(position_of[chosen])
    images = list(position_of)
    index = torch.tensor([*neighbour_of, *brought_by])
    return DrawnImages(images, [images[position] for position in index.tolist()], index)


def draw_parts(
    data: TrainingSet,
    drawn: DrawnImages,
    settings: FitSettings,
    generator: torch.Generator,
    *,
    step: int,
) -> Parts[SampledLocations]:
    """Draw the locations of all parts of a batch, guided by depth if it is given."""
    side = settings.objective.samples
    if data.depth is not None:
        side = max(2, samples_per_side(settings, max(step, 0)))

    def unguided(images: list[int]) -> torch.Tensor:
        return draw_locations(data, images, side**2, generator)

    def scenes(images: list[int]) -> list[Scene | None] | None:
        return None if data.depth is None else read_scenes(data.depth, images, settings)

    def sampled(
        images: list[int], seen: list[Scene | None] | None, locations: torch.Tensor
    ) -> SampledLocations:
        return _sampled(data, images, seen, locations, settings, generator)

    images, positives, neighbour_of = drawn
    own = scenes(images)
    first = unguided(images)
    if neighbour_of is not None:
        found = sampled(images, own, first)
        return Parts(found, found.of_images(neighbour_of), found)
    second = unguided(images)
    return Parts(
        sampled(images, own, first),
        sampled(positives, scenes(positives), second),
        sampled(images, own, second),
    )


def _sampled(
    data: TrainingSet,
    images: list[int],
    scenes: Sequence[Scene | None] | None,
    locations: torch.Tensor,
    settings: FitSettings,
    generator: torch.Generator,
) -> SampledLocations:
    """Move locations by depth if there are scenes, and read labels and depth at them."""
    depth = None
    if scenes is not None:
        locations = locations_by_depth(
            scenes,
            locations,
            settings.depth,
            generator,
            maps=data.maps,
            images=images,
            preparation=data.preparation,
        )
        locations = torch.stack(
            [
                with_value(data.maps, image, each, generator)
                for image, each in zip(images, locations, strict=True)
            ]
        )
        depth = sample_depth(scenes, locations, settings.depth)
        if settings.depth.hidden_positives == "attention":
            depth = depth._replace(attention=attention_between(data.maps, images, locations))
    labels = None
    if data.labels is not None:
        labels = read_labels(data.labels, data.maps, images, locations)
    return SampledLocations(locations, labels, depth)

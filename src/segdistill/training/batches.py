"""Drawing training batches from stored features: only the places that a step looks at."""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch

from segdistill.config.settings import FitSettings
from segdistill.features.extract import FeatureMaps
from segdistill.objective.sampling import (
    bilinear_neighbours,
    permutation_without_fixed_points,
    random_places,
)


@dataclass(frozen=True)
class Neighbourhoods:
    """Raw features around sampled places.

    Attributes:
        features: of the four cells around each place, shape (batch, places, 4, channels).
        weights: bilinear weights, shape (batch, places, 4).
    """

    features: torch.Tensor
    weights: torch.Tensor

    def to(self, device: torch.device) -> "Neighbourhoods":
        """Return a copy on a device."""
        return Neighbourhoods(self.features.to(device), self.weights.to(device))


@dataclass(frozen=True)
class Batch:
    """What one step looks at.

    Attributes:
        anchors: images at a first set of places.
        positives: a neighbour of each image, at a second set of places.
        negatives: the images at the second set of places.
        partners: for each draw of random pairs, indices of shape (batch,).
    """

    anchors: Neighbourhoods
    positives: Neighbourhoods
    negatives: Neighbourhoods
    partners: tuple[torch.Tensor, ...]

    def to(self, device: torch.device) -> "Batch":
        """Return a copy on a device."""
        return Batch(
            self.anchors.to(device),
            self.positives.to(device),
            self.negatives.to(device),
            tuple(draw.to(device) for draw in self.partners),
        )


def draw_batch(
    maps: FeatureMaps, neighbours: torch.Tensor, settings: FitSettings, *, step: int
) -> Batch:
    """Draw the batch of a step.

    The draw depends on the seed and the step alone, so a run that is resumed sees the batches that
    it would have seen.

    Args:
        maps: raw feature maps.
        neighbours: of each map, shape (maps, count).
        settings: of the fit.
        step: number of the step.
    """
    chooser = random.Random(f"{settings.seed} {step}")  # noqa: S311 - nothing secret
    generator = torch.Generator().manual_seed(chooser.getrandbits(62))
    size = min(settings.training.batch_size, len(maps))
    images = chooser.sample(range(len(maps)), size)
    partners_of = [int(neighbours[i, chooser.randrange(neighbours.shape[1])]) for i in images]
    samples = settings.objective.samples**2
    first = random_places(size, samples, generator=generator)
    second = random_places(size, samples, generator=generator)
    return Batch(
        anchors=read_neighbourhoods(maps, images, first),
        positives=read_neighbourhoods(maps, partners_of, second),
        negatives=read_neighbourhoods(maps, images, second),
        partners=tuple(
            permutation_without_fixed_points(size, generator=generator)
            for _ in range(settings.objective.random_draws)
        ),
    )


def read_neighbourhoods(
    maps: FeatureMaps, images: list[int], places: torch.Tensor
) -> Neighbourhoods:
    """Read the cells around places.

    Args:
        maps: raw feature maps, which may differ in size.
        images: one map for each entry of the batch.
        places: (x, y) in -1..1, shape (batch, places, 2).
    """
    features, weights = [], []
    for image, image_places in zip(images, places, strict=True):
        height, width = maps.grid(image)
        cells, cell_weights = bilinear_neighbours(image_places, height, width)
        rows = maps[image].reshape(height * width, -1)[cells.flatten().numpy()]
        features.append(torch.from_numpy(rows).view(*cells.shape, -1))
        weights.append(cell_weights)
    return Neighbourhoods(torch.stack(features), torch.stack(weights))


def batches(
    maps: FeatureMaps, neighbours: torch.Tensor, settings: FitSettings, *, first_step: int
) -> Iterator[Batch]:
    """Yield the batches from a step to the last, each read while the one before is used."""

    def draw(step: int) -> Batch:
        return draw_batch(maps, neighbours, settings, step=step)

    last_step = settings.training.steps
    with ThreadPoolExecutor(1) as reader:
        if first_step >= last_step:
            return
        upcoming = reader.submit(draw, first_step)
        for step in range(first_step, last_step):
            batch = upcoming.result()
            if step + 1 < last_step:
                upcoming = reader.submit(draw, step + 1)
            yield batch

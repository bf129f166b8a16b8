"""Drawing training batches from stored features: only the places that a step looks at."""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch

from segdistill.backbones.protocol import IMAGENET_MEAN, IMAGENET_STD, normalise_images
from segdistill.config.settings import FitSettings
from segdistill.features.extract import FeatureMaps
from segdistill.images.decode import to_tensor
from segdistill.images.resize import resize_image
from segdistill.objective.sampling import (
    bilinear_neighbours,
    permutation_without_fixed_points,
    random_places,
)

GUIDANCE_SIDE = 56
GUIDANCE_PLACES = 1000


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
class Guidance:
    """What the contrastive CRF looks at: the images at 56 x 56, at random cells.

    Attributes:
        colours: normalised as for a network, shape (batch, places, 3).
        cells: row and column of each place, shape (places, 2).
        around: raw features around the places.
    """

    colours: torch.Tensor
    cells: torch.Tensor
    around: Neighbourhoods

    def to(self, device: torch.device) -> "Guidance":
        """Return a copy on a device."""
        return Guidance(self.colours.to(device), self.cells.to(device), self.around.to(device))


@dataclass(frozen=True)
class Batch:
    """What one step looks at.

    Attributes:
        anchors: images at a first set of places.
        positives: a neighbour of each image, at a second set of places.
        negatives: the images at the second set of places.
        partners: for each draw of random pairs, indices of shape (batch,).
        guidance: for the contrastive CRF, or ``None`` where it is left out.
    """

    anchors: Neighbourhoods
    positives: Neighbourhoods
    negatives: Neighbourhoods
    partners: tuple[torch.Tensor, ...]
    guidance: Guidance | None = None

    def to(self, device: torch.device) -> "Batch":
        """Return a copy on a device."""
        return Batch(
            self.anchors.to(device),
            self.positives.to(device),
            self.negatives.to(device),
            tuple(draw.to(device) for draw in self.partners),
            None if self.guidance is None else self.guidance.to(device),
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
        guidance=read_guidance(maps, images, generator) if settings.objective.weight_crf else None,
    )


def read_guidance(maps: FeatureMaps, images: list[int], generator: torch.Generator) -> Guidance:
    """Read colours and features at random cells of the images at 56 x 56.

    Args:
        maps: raw feature maps.
        images: one map for each entry of the batch.
        generator: source of randomness.
    """
    drawn = torch.randperm(GUIDANCE_SIDE**2, generator=generator)[:GUIDANCE_PLACES]
    cells = torch.stack([drawn // GUIDANCE_SIDE, drawn % GUIDANCE_SIDE], dim=1)
    colours, places = [], []
    for image in images:
        small = resize_image(maps.views[image].load(), (GUIDANCE_SIDE, GUIDANCE_SIDE))
        pixels = normalise_images(to_tensor(small), IMAGENET_MEAN, IMAGENET_STD)
        colours.append(pixels[0].flatten(1).mT[drawn])  # (1, 3, h, w) -> (places, 3)
        # Where a cell's centre lies in the feature map, whose outermost centres are -1 and 1.
        sides = torch.tensor(maps.grid(image))
        centres = (cells + 0.5) / GUIDANCE_SIDE * sides - 0.5
        places.append((centres / (sides - 1).clamp_min(1) * 2 - 1).flip(dims=(1,)))
    return Guidance(
        torch.stack(colours), cells, read_neighbourhoods(maps, images, torch.stack(places))
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

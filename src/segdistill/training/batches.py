"""Drawing training batches from stored features: only the locations that a step looks at."""

import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from segdistill.backbones.protocol import IMAGENET_MEAN, IMAGENET_STD, normalise_images
from segdistill.config.settings import FitSettings
from segdistill.features.extract import FeatureMaps, Features
from segdistill.images.decode import to_tensor
from segdistill.images.resize import resize_image
from segdistill.objective.contrastive_crf import GUIDANCE_SIDE
from segdistill.objective.sampling import (
    bilinear_neighbours,
    locations_of_shares,
    permutation_without_fixed_points,
    random_locations,
    shares_of_locations,
)
from segdistill.objective.schedules import count_at
from segdistill.processes import SINGLE_PROCESS, Group
from segdistill.training.batch import (
    AlignedCopies,
    Batch,
    BatchDepth,
    Guidance,
    Neighbourhoods,
    SampledDepth,
    SampledLabels,
)
from segdistill.training.depth_guidance import (
    Scene,
    attention_between,
    depth_schedules,
    locations_by_depth,
    read_scenes,
    sample_depth,
)
from segdistill.training.training_set import TrainingSet, ViewLabels

GUIDANCE_LOCATIONS = 1000
ANYWHERE_SHARE = 0.1
"""Share of locations drawn anywhere when the others are drawn where images are salient."""


def draw_batch(
    data: TrainingSet, settings: FitSettings, *, step: int, group: Group = SINGLE_PROCESS
) -> Batch:
    """Draw the batch of a step.

    The draw depends on the seed and the step alone, so a run that is resumed sees the batches that
    it would have seen.

    Args:
        data: what to draw from.
        settings: of the fit.
        step: number of the step.
        group: processes that take a step together; each draws its share of the images.
    """
    maps = data.maps
    chooser = random.Random(f"{settings.seed} {step}")  # noqa: S311 - nothing secret
    generator = torch.Generator().manual_seed(chooser.getrandbits(62) ^ group.rank)
    drawn = chooser.sample(range(len(maps)), min(settings.training.batch_size, len(maps)))
    images = group.share(drawn)
    size = len(images)
    count = data.neighbours.shape[1]
    partners_of = [int(data.neighbours[i, chooser.randrange(count)]) for i in images]
    locations, depth = draw_guided_locations(
        data, images, partners_of, settings, generator, step=step
    )
    # All at once: what the store does not hold goes through the backbone together.
    features = maps.read([*images, *partners_of])
    own, partners_own = features[:size], features[size:]
    return Batch(
        images=read_neighbourhoods(own, torch.cat([locations.anchors, locations.negatives], dim=1)),
        positives=read_neighbourhoods(partners_own, locations.positives),
        partners=tuple(
            permutation_without_fixed_points(size, generator=generator)
            for _ in range(settings.objective.random_draws)
        ),
        guidance=read_guidance(maps, images, own, generator)
        if settings.objective.weight_crf
        else None,
        aligned=None
        if data.copies is None
        else read_copies(own, data.copies, images, settings, generator),
        labels=None
        if data.labels is None
        else SampledLabels(
            anchors=read_labels(data.labels, maps, images, locations.anchors),
            positives=read_labels(data.labels, maps, partners_of, locations.positives),
            negatives=read_labels(data.labels, maps, images, locations.negatives),
        ),
        depth=depth,
    )


class BatchLocations(NamedTuple):
    """Locations of the three parts of a batch, each of shape (batch, locations, 2)."""

    anchors: torch.Tensor
    positives: torch.Tensor
    negatives: torch.Tensor


def draw_guided_locations(
    data: TrainingSet,
    images: list[int],
    partners_of: list[int],
    settings: FitSettings,
    generator: torch.Generator,
    *,
    step: int,
) -> tuple[BatchLocations, BatchDepth | None]:
    """Draw all locations of a batch, by depth if it guides, and read depth there.

    Args:
        data: what to draw from.
        images: one map for each entry of the batch.
        partners_of: a neighbour of each.
        settings: of the fit.
        generator: source of randomness.
        step: number of the step, on which the number of locations may depend.
    """
    side = settings.objective.samples
    if data.depth is not None:
        early = settings.depth.as_released
        side = max(2, count_at(depth_schedules(settings)["samples"], max(step, 0), early=early))
    first = draw_locations(data, images, side**2, generator)
    second = draw_locations(data, images, side**2, generator)
    if data.depth is None:
        return BatchLocations(first, second, second), None
    scenes = read_scenes(data.depth, images, settings)
    partner_scenes = read_scenes(data.depth, partners_of, settings)

    def drawn(
        scenes: list[Scene | None], images: list[int], locations: torch.Tensor
    ) -> tuple[torch.Tensor, SampledDepth]:
        guided = locations_by_depth(
            scenes,
            locations,
            settings.depth,
            generator,
            maps=data.maps,
            images=images,
            preparation=data.preparation,
        )
        sampled = sample_depth(scenes, guided, settings.depth)
        if settings.depth.hidden_positives == "attention":
            sampled = replace(sampled, attention=attention_between(data.maps, images, guided))
        return guided, sampled

    anchors, anchor_depth = drawn(scenes, images, first)
    positives, positive_depth = drawn(partner_scenes, partners_of, second)
    negatives, negative_depth = drawn(scenes, images, second)
    return (
        BatchLocations(anchors, positives, negatives),
        BatchDepth(anchor_depth, positive_depth, negative_depth),
    )


def draw_locations(
    data: TrainingSet, images: list[int], count: int, generator: torch.Generator
) -> torch.Tensor:
    """Draw locations anywhere, or nine in ten where images are salient.

    Args:
        data: what to draw from.
        images: one map for each entry of the batch.
        count: locations an image.
        generator: source of randomness.

    Returns:
        (x, y) in -1..1, shape (batch, locations, 2).
    """
    locations = random_locations(len(images), count, generator=generator)
    if data.saliency is None:
        return locations
    for entry, image in enumerate(images):
        shares = data.saliency.draw(image, count, generator)
        if shares is not None:
            anywhere = torch.rand(count, 1, generator=generator) < ANYWHERE_SHARE
            salient = locations_of_shares(shares, *data.maps.grid(image))
            locations[entry] = torch.where(anywhere, locations[entry], salient)
    return locations


def read_labels(
    labels: ViewLabels, maps: FeatureMaps, images: list[int], locations: torch.Tensor
) -> torch.Tensor:
    """Read labels at locations.

    Args:
        labels: of the views of ``maps``.
        maps: raw feature maps.
        images: one map for each entry of the batch.
        locations: (x, y) in -1..1, shape (batch, locations, 2).

    Returns:
        Class indices of shape (batch, locations), 255 for 'not labelled'.
    """
    return torch.stack(
        [
            labels.at(image, shares_of_locations(image_locations, *maps.grid(image)))
            for image, image_locations in zip(images, locations, strict=True)
        ]
    )


def read_copies(
    features: Sequence[Features],
    copies: FeatureMaps,
    images: list[int],
    settings: FitSettings,
    generator: torch.Generator,
) -> AlignedCopies:
    """Read features of images and of one augmented copy each, at random locations of the copy.

    Args:
        features: raw maps of the images, each of shape (height, width, channels).
        copies: of augmented copies, ``objective.augmentations`` of each map in turn.
        images: one map for each entry of the batch.
        settings: of the fit.
        generator: source of randomness.
    """
    each = settings.objective.augmentations
    numbers = torch.randint(each, (len(images),), generator=generator).tolist()
    chosen = [image * each + number for image, number in zip(images, numbers, strict=True)]
    locations = random_locations(len(images), settings.objective.samples**2, generator=generator)
    sources = []
    for copy, copy_locations in zip(chosen, locations, strict=True):
        augmentation = copies.views[copy].augmentation
        if augmentation is None:
            raise ValueError(f"copies holds a view that is not augmented, number {copy}")
        grid = copies.grid(copy)
        shares = shares_of_locations(copy_locations, *grid)
        x, y = augmentation.source(*shares.unbind(1))
        sources.append(locations_of_shares(torch.stack([x, y], dim=1), *grid))
    return AlignedCopies(
        originals=read_neighbourhoods(features, torch.stack(sources)),
        copies=read_neighbourhoods(copies.read(chosen), locations),
    )


def read_guidance(
    maps: FeatureMaps,
    images: list[int],
    features: Sequence[Features],
    generator: torch.Generator,
) -> Guidance:
    """Read colours and features at random cells of the images at 56 x 56.

    Args:
        maps: whose views show the colours.
        images: one map for each entry of the batch.
        features: raw maps of the images, each of shape (height, width, channels).
        generator: source of randomness.
    """
    drawn = torch.randperm(GUIDANCE_SIDE**2, generator=generator)[:GUIDANCE_LOCATIONS]
    cells = torch.stack([drawn // GUIDANCE_SIDE, drawn % GUIDANCE_SIDE], dim=1)
    shares = (cells.flip(dims=(1,)) + 0.5) / GUIDANCE_SIDE  # (row, column) -> (x, y)
    colours, locations = [], []
    for image in images:
        small = resize_image(maps.views[image].load(), (GUIDANCE_SIDE, GUIDANCE_SIDE))
        pixels = normalise_images(to_tensor(small), IMAGENET_MEAN, IMAGENET_STD)
        colours.append(pixels[0].flatten(1).mT[drawn])  # (1, 3, h, w) -> (locations, 3)
        locations.append(locations_of_shares(shares, *maps.grid(image)))
    return Guidance(
        torch.stack(colours), cells, read_neighbourhoods(features, torch.stack(locations))
    )


def read_neighbourhoods(features: Sequence[Features], locations: torch.Tensor) -> Neighbourhoods:
    """Read the cells around locations, each once.

    Args:
        features: a raw map for each entry of the batch, of shape (height, width, channels); they
            may differ in size.
        locations: (x, y) in -1..1, shape (batch, locations, 2).
    """
    read, nearest, weights = [], [], []
    for raw, image_locations in zip(features, locations, strict=True):
        height, width, channels = raw.shape
        cells, cell_weights = bilinear_neighbours(image_locations, height, width)
        needed, rows = np.unique(cells.flatten().numpy(), return_inverse=True)
        read.append(torch.from_numpy(raw.reshape(height * width, channels)[needed]))
        nearest.append(torch.from_numpy(rows).view(cells.shape))
        weights.append(cell_weights)
    return Neighbourhoods(
        pad_sequence(read, batch_first=True), torch.stack(nearest), torch.stack(weights)
    )


def batches(
    data: TrainingSet, settings: FitSettings, *, first_step: int, group: Group = SINGLE_PROCESS
) -> Iterator[Batch]:
    """Yield the batches from a step to the last, each read while the one before is used."""

    def draw(step: int) -> Batch:
        return draw_batch(data, settings, step=step, group=group)

    last_step = settings.training.most_steps
    with ThreadPoolExecutor(1) as reader:
        if first_step >= last_step:
            return
        upcoming = reader.submit(draw, first_step)
        for step in range(first_step, last_step):
            batch = upcoming.result()
            if step + 1 < last_step:
                upcoming = reader.submit(draw, step + 1)
            yield batch

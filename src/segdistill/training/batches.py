"""Training batches: stored features at the locations sampled for a step."""

import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, NamedTuple, TypeVar

import torch

from segdistill.backbones.protocol import IMAGENET_MEAN, IMAGENET_STD, normalise_images
from segdistill.config.settings import FitSettings
from segdistill.decoding.decode import to_tensor
from segdistill.features.extract import FeatureMaps, Features
from segdistill.images.resize import resize_image
from segdistill.objective.contrastive_crf import GUIDANCE_SIDE
from segdistill.objective.sampling import (
    locations_of_shares,
    permutation_without_fixed_points,
    random_locations,
    shares_of_locations,
)
from segdistill.objective.schedules import samples_per_side
from segdistill.processes import SINGLE_PROCESS, Group
from segdistill.training.depth_guidance import (
    SampledDepth,
    attention_between,
    locations_by_depth,
    read_scenes,
    sample_depth,
)
from segdistill.training.grid import NEEDS_PAIRS, Grid, Needs, read_grid
from segdistill.training.locations import draw_locations, have_value, read_labels, with_value
from segdistill.training.neighbourhoods import Neighbourhoods, read_neighbourhoods
from segdistill.training.training_set import TrainingSet

GUIDANCE_LOCATIONS = 1000
Part = TypeVar("Part")


class Parts(NamedTuple, Generic[Part]):
    """A value for each of the three parts that a step compares.

    Attributes:
        anchors: the images at a first set of locations.
        positives: a neighbour of each image, at a second set of locations.
        negatives: the images at the second set of locations.
    """

    anchors: Part
    positives: Part
    negatives: Part


class Guidance(NamedTuple):
    """Inputs of the contrastive CRF at random cells of the images at 56 x 56.

    Attributes:
        colours: colours with ImageNet normalisation, shape (batch, locations, 3).
        cells: row and column of each location, shape (locations, 2).
        around: raw features around the locations.
    """

    colours: torch.Tensor
    cells: torch.Tensor
    around: Neighbourhoods


class AlignedCopies(NamedTuple):
    """Raw features of images and of augmented copies, at corresponding locations."""

    originals: Neighbourhoods
    copies: Neighbourhoods


class Batch(NamedTuple):
    """The data for one step; fields that the settings leave out are ``None``.

    Attributes:
        images: the images at a first set of locations, followed by a second set of the same size.
        positives: a neighbour of each image, at a second set of locations.
        partners: the partner of each image, shape (batch,), for each draw of random pairs.
        guidance: colours and features for the contrastive CRF.
        aligned: images and copies for augmentation alignment.
        labels: labels at the locations, each of shape (batch, locations); 255 means 'not labelled'.
        depth: depth at the locations.
        grid: the images on a regular grid, if the objective needs it.
    """

    images: Neighbourhoods
    positives: Neighbourhoods
    partners: tuple[torch.Tensor, ...]
    guidance: Guidance | None = None
    aligned: AlignedCopies | None = None
    labels: Parts[torch.Tensor] | None = None
    depth: Parts[SampledDepth] | None = None
    grid: Grid | None = None

    def to(self, device: torch.device) -> "Batch":
        """Return the batch on a device."""
        moved: Batch = _on_device(self, device)
        return moved

    @property
    def parts(self) -> Parts[Neighbourhoods]:
        """The three parts that a step compares."""
        locations = self.images.nearest.shape[1] // 2
        return Parts(
            self.images.of_locations(slice(locations)),
            self.positives,
            self.images.of_locations(slice(locations, None)),
        )


def _on_device(value: Any, device: torch.device) -> Any:
    """Return a tensor, or named and plain tuples of them, on a device."""
    if isinstance(value, torch.Tensor):
        # An accelerator's own queue orders the copy before what uses it.
        return value.to(device, non_blocking=device.type != "cpu")
    if isinstance(value, tuple):
        parts = [_on_device(part, device) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    return value


def batches(
    data: TrainingSet,
    settings: FitSettings,
    needs: Needs = NEEDS_PAIRS,
    *,
    first_step: int,
    group: Group = SINGLE_PROCESS,
) -> Iterator[Batch]:
    """Yield the batches from ``first_step`` to the last, reading one batch ahead."""

    def draw(step: int) -> Batch:
        return draw_batch(data, settings, needs, step=step, group=group)

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


def draw_batch(
    data: TrainingSet,
    settings: FitSettings,
    needs: Needs = NEEDS_PAIRS,
    *,
    step: int,
    group: Group = SINGLE_PROCESS,
) -> Batch:
    """Draw the batch for a step; each process of a group draws its share of the images.

    The draw depends only on the seed and the step, so a resumed run sees the same batches as an
    uninterrupted one.
    """
    maps, objective = data.maps, settings.objective
    chooser = random.Random(f"{settings.seed} {step}")  # noqa: S311 - nothing secret
    generator = torch.Generator().manual_seed(chooser.getrandbits(62) ^ group.rank)
    drawn = chooser.sample(range(len(maps)), min(settings.training.batch_size, len(maps)))
    images = group.share(drawn)
    size = len(images)
    count = data.neighbours.shape[1]
    partners_of = images
    if needs.neighbours:
        partners_of = [int(data.neighbours[i, chooser.randrange(count)]) for i in images]
    sides = Parts(images, partners_of, images)
    locations, depth = _draw_guided_locations(data, sides, settings, generator, step=step)
    # Read together, so that maps missing from the store share a backbone batch.
    features = maps.read([*images, *partners_of])
    own, partners_own = features[:size], features[size:]
    return Batch(
        images=read_neighbourhoods(own, torch.cat([locations.anchors, locations.negatives], dim=1)),
        positives=read_neighbourhoods(partners_own, locations.positives),
        partners=tuple(
            permutation_without_fixed_points(size, generator=generator)
            for _ in range(objective.random_draws)
        ),
        guidance=read_guidance(maps, images, own, generator) if objective.weight_crf else None,
        aligned=None
        if data.copies is None
        else read_copies(own, data.copies, images, settings, generator),
        labels=None
        if data.labels is None
        else Parts(
            *(read_labels(data.labels, maps, *each) for each in zip(sides, locations, strict=True))
        ),
        depth=depth,
        grid=None
        if not needs.grid
        else read_grid(data, images, partners_of, (own, partners_own), needs, generator),
    )


def _draw_guided_locations(
    data: TrainingSet,
    sides: Parts[list[int]],
    settings: FitSettings,
    generator: torch.Generator,
    *,
    step: int,
) -> tuple[Parts[torch.Tensor], Parts[SampledDepth] | None]:
    """Draw locations for all maps of a batch, guided by depth if given, and read depth there."""
    side = settings.objective.samples
    if data.depth is not None:
        side = max(2, samples_per_side(settings, max(step, 0)))
    first, second = (draw_locations(data, sides.anchors, side**2, generator) for _ in range(2))
    drawn = Parts(first, second, second)
    if data.depth is None:
        return drawn, None
    own, partners = (
        read_scenes(data.depth, images, settings) for images in (sides.anchors, sides.positives)
    )
    guided, depths = [], []
    for images, scenes, unguided in zip(sides, (own, partners, own), drawn, strict=True):
        locations = locations_by_depth(
            scenes,
            unguided,
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
        guided.append(locations)
        depths.append(depth)
    return Parts(*guided), Parts(*depths)


def read_copies(
    features: Sequence[Features],
    copies: FeatureMaps,
    images: list[int],
    settings: FitSettings,
    generator: torch.Generator,
) -> AlignedCopies:
    """Read features of images and one augmented copy of each, at random locations in the copy.

    ``features`` holds the raw maps of the images; ``copies`` holds ``objective.augmentations``
    consecutive copies of each map.
    """
    each = settings.objective.augmentations
    numbers = torch.randint(each, (len(images),), generator=generator).tolist()
    chosen = [image * each + number for image, number in zip(images, numbers, strict=True)]
    locations = random_locations(len(images), settings.objective.samples**2, generator=generator)
    sources = []
    for entry, copy in enumerate(chosen):
        augmentation = copies.views[copy].augmentation
        if augmentation is None:
            raise ValueError(f"copies holds a view that is not augmented, number {copy}")
        grid = copies.grid(copy)
        shares = shares_of_locations(locations[entry], *grid)
        x, y = augmentation.source(*shares.unbind(1))
        source = locations_of_shares(torch.stack([x, y], dim=1), *grid)
        kept = have_value(copies, copy, source)
        if kept is not None and kept.any():
            # The others are replaced by some that have a value.
            usable = kept.nonzero()[:, 0]
            order = usable[torch.randint(len(usable), (len(source),), generator=generator)]
            order = torch.where(kept, torch.arange(len(source)), order)
            source, locations[entry] = source[order], locations[entry][order]
        sources.append(source)
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
    """Read colours and features at random cells of the images at 56 x 56."""
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

"""Training batches: stored features at the locations sampled for a step."""

import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, NamedTuple, TypeVar

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from segdistill.backbones.protocol import IMAGENET_MEAN, IMAGENET_STD, normalise_images
from segdistill.config.settings import FitSettings
from segdistill.decoding.decode import to_tensor
from segdistill.features.extract import FeatureMaps, Features
from segdistill.images.resize import resize_image
from segdistill.objective.contrastive_crf import GUIDANCE_SIDE
from segdistill.objective.sampling import (
    bilinear_neighbours,
    locations_of_shares,
    permutation_without_fixed_points,
    random_locations,
    regular_locations,
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
from segdistill.training.training_set import TrainingSet, ViewLabels

GUIDANCE_LOCATIONS = 1000
ANYWHERE_SHARE = 0.1
"""Share of locations drawn anywhere when the rest are drawn from salient pixels."""

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


class Neighbourhoods(NamedTuple):
    """Raw features around sampled locations; cells shared by locations are stored once.

    Attributes:
        cells: features of all cells needed, shape (batch, cells, channels), padded with zeros for
            images that need fewer cells.
        nearest: indices of the four cells around each location, shape (batch, locations, 4), int64.
        weights: bilinear weights, shape (batch, locations, 4).
    """

    cells: torch.Tensor
    nearest: torch.Tensor
    weights: torch.Tensor

    def of_locations(self, chosen: slice) -> "Neighbourhoods":
        """Return the neighbourhoods of some of the locations; the cells are shared."""
        return Neighbourhoods(self.cells, self.nearest[:, chosen], self.weights[:, chosen])


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
        positives: those of a neighbour of each image; ``None`` unless neighbours are needed.
        colours: colours of the images, from 0 to 1, shape (batch, locations, 3), if needed.
        positive_colours: those of the neighbours.
        labels: labels of the images, shape (batch, locations), if there are labels.
    """

    images: Neighbourhoods
    positives: Neighbourhoods | None = None
    colours: torch.Tensor | None = None
    positive_colours: torch.Tensor | None = None
    labels: torch.Tensor | None = None


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

    @property
    def parts(self) -> Parts[Neighbourhoods]:
        """The three parts that a step compares."""
        locations = self.images.nearest.shape[1] // 2
        return Parts(
            self.images.of_locations(slice(locations)),
            self.positives,
            self.images.of_locations(slice(locations, None)),
        )


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
        labels=None if data.labels is None else _read_labels(data.labels, maps, sides, locations),
        depth=depth,
        grid=read_grid(data, sides, (own, partners_own), needs, generator) if needs.grid else None,
    )


def read_grid(
    data: TrainingSet,
    sides: Parts[list[int]],
    features: tuple[Sequence[Features], Sequence[Features]],
    needs: Needs,
    generator: torch.Generator,
) -> Grid:
    """Read images, and their neighbours if needed, on a regular grid.

    Locations without a value are replaced by random ones that have one.

    Args:
        sides: the images, and their neighbours.
        features: the raw maps of the images and of their neighbours.
    """
    maps = data.maps

    def located(images: list[int]) -> torch.Tensor:
        grid = regular_locations(needs.grid)
        return torch.stack([with_value(maps, image, grid, generator) for image in images])

    def colours(images: list[int], locations: torch.Tensor) -> torch.Tensor:
        seen = zip(images, locations, strict=True)
        return torch.stack([read_colours(maps, image, each, needs.grid) for image, each in seen])

    own, partners = located(sides.anchors), located(sides.positives)
    read = Grid(read_neighbourhoods(features[0], own))
    if needs.neighbours:
        read = read._replace(positives=read_neighbourhoods(features[1], partners))
    if needs.colours:
        read = read._replace(colours=colours(sides.anchors, own))
    if needs.colours and needs.neighbours:
        read = read._replace(positive_colours=colours(sides.positives, partners))
    if data.labels is not None:
        at = Parts(own, partners, own)
        read = read._replace(labels=_read_labels(data.labels, maps, sides, at).anchors)
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
    keeps = _have_value(maps, image, locations)
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


def _have_value(maps: FeatureMaps, image: int, locations: torch.Tensor) -> torch.Tensor | None:
    """Return which locations (locations, 2) of a map have a value; ``None`` if all have."""
    valid = maps.valid_cells(image)
    if valid is None:
        return None
    height, width = maps.grid(image)
    sides = torch.tensor([width, height])
    at = (shares_of_locations(locations, height, width) * sides).long()
    columns, rows = at.clamp_min(0).minimum(sides - 1).unbind(1)
    return torch.from_numpy(valid)[rows * width + columns]


def _read_labels(
    labels: ViewLabels, maps: FeatureMaps, sides: Parts[list[int]], locations: Parts[torch.Tensor]
) -> Parts[torch.Tensor]:
    """Return the labels at the locations of each part."""

    def read(images: list[int], of_part: torch.Tensor) -> torch.Tensor:
        each = zip(images, of_part, strict=True)
        return torch.stack(
            [labels.at(image, shares_of_locations(at, *maps.grid(image))) for image, at in each]
        )

    return Parts(*map(read, sides, locations))


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
        kept = _have_value(copies, copy, source)
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


def read_neighbourhoods(features: Sequence[Features], locations: torch.Tensor) -> Neighbourhoods:
    """Read the cells around locations, each cell once.

    Args:
        features: raw maps, one per entry of the batch; they may differ in size.
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

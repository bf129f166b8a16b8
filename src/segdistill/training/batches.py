"""Training batches: stored features at the locations sampled for a step."""

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

import torch

from segdistill.backbones.protocol import IMAGENET_MEAN, IMAGENET_STD, normalise_images
from segdistill.config.settings import FitSettings
from segdistill.decoding.decode import to_tensor
from segdistill.features.extract import FeatureMaps, Features
from segdistill.features.preparation import FeaturePreparation
from segdistill.images.augmentation import Augmentation
from segdistill.images.resize import resize_image
from segdistill.objective.contrastive_crf import GUIDANCE_SIDE
from segdistill.objective.sampling import (
    locations_of_shares,
    random_partners,
    shares_of_locations,
)
from segdistill.processes import SINGLE_PROCESS, Group
from segdistill.training.depth_guidance import SampledDepth
from segdistill.training.drawing import Part, Parts, draw_images, draw_parts
from segdistill.training.grid import NEEDS_PAIRS, Grid, Needs, read_grid
from segdistill.training.neighbourhoods import Neighbourhoods, read_neighbourhoods
from segdistill.training.training_set import TrainingSet

GUIDANCE_LOCATIONS = 1000

Value = TypeVar("Value")


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
    """An augmented copy of each image, where it shows the locations of the anchors.

    Attributes:
        copies: raw features around the locations in the copies.
        shown: whether a copy shows the location, shape (batch, locations); a crop leaves some out.
    """

    copies: Neighbourhoods
    shown: torch.Tensor


class Batch(NamedTuple):
    """The data for one step; fields that the settings leave out are ``None``.

    Attributes:
        images: the images at a first set of locations, followed by a second set of the same size;
            at a single set if pairs are shared.
        positives: a neighbour of each image, at a second set of locations; ``None`` if pairs are
            shared.
        partners: positions of the images' partners in each draw of random pairs, shape (draws,
            batch).
        neighbour_of: with shared pairs, the position of each image's neighbour in the batch,
            shape (batch,).
        guidance: colours and features for the contrastive CRF.
        aligned: copies of the images for augmentation alignment.
        labels: labels at the locations, each of shape (batch, locations); 255 means 'not labelled'.
        depth: depth at the locations.
        grid: the images on a regular grid, if the objective needs it.
    """

    images: Neighbourhoods
    positives: Neighbourhoods | None
    partners: torch.Tensor
    neighbour_of: torch.Tensor | None = None
    guidance: Guidance | None = None
    aligned: AlignedCopies | None = None
    labels: Parts[torch.Tensor] | None = None
    depth: Parts[SampledDepth] | None = None
    grid: Grid | None = None

    def to(self, device: torch.device) -> "Batch":
        """Return the batch on a device."""

        def move(value: torch.Tensor) -> torch.Tensor:
            # An accelerator's own queue orders the copy before what uses it.
            return value.to(device, non_blocking=device.type != "cpu")

        moved: Batch = _each(self, torch.Tensor, move)
        return moved

    def prepared(self, preparation: FeaturePreparation) -> "Batch":
        """Return the batch with all features prepared."""
        result: Batch = _each(self, Neighbourhoods, lambda part: part.prepared(preparation))
        return result

    @property
    def parts_read(self) -> tuple[Neighbourhoods, ...]:
        """What was read for the pairs: images, and positives if they are not among them."""
        return (self.images,) if self.positives is None else (self.images, self.positives)

    def in_parts(
        self, values: torch.Tensor, of_positives: torch.Tensor | None = None
    ) -> Parts[torch.Tensor]:
        """Arrange values at the locations of :attr:`parts_read` by what a step compares.

        Args:
            values: values at the locations of ``images``, shape (batch, locations, channels).
            of_positives: values at the locations of ``positives``, if they were read.
        """
        if self.neighbour_of is not None:
            return Parts(values, values[self.neighbour_of], values)
        if of_positives is None:
            raise ValueError("neighbours are not in the batch: of_positives is needed")
        first, second = values.chunk(2, dim=1)
        return Parts(first, of_positives, second)


def _each(value: Any, kind: type[Value], function: Callable[[Value], Value]) -> Any:
    """Apply a function to each value of a kind in named and plain tuples."""
    if isinstance(value, kind):
        return function(value)
    if isinstance(value, tuple):
        parts = [_each(part, kind, function) for part in value]
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
    # While a step computes with one thread, the one that reads has time left. With more, both would
    # use all cores. A GPU is faster, and raw features are smaller to send there.
    reader_prepares = data.maps.compute.device.type == "cpu" and torch.get_num_threads() == 1

    def draw(step: int) -> Batch:
        batch = draw_batch(data, settings, needs, step=step, group=group)
        return batch.prepared(data.preparation) if reader_prepares else batch

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
    drawn = draw_images(data.neighbours, settings, needs, chooser, group)
    images, size = drawn.images, len(drawn.images)
    sampled = draw_parts(data, drawn, settings, generator, step=step)
    at = sampled.anchors.locations
    if drawn.neighbour_of is None:
        at = torch.cat([at, sampled.negatives.locations], dim=1)
        # Read together, so that maps missing from the store share a backbone batch.
        features = maps.read([*images, *drawn.positives])
        own, theirs = features[:size], features[size:]
    else:
        own, theirs = maps.read(images), []
    return Batch(
        images=read_neighbourhoods(own, at),
        positives=read_neighbourhoods(theirs, sampled.positives.locations)
        if drawn.neighbour_of is None
        else None,
        partners=torch.stack(
            [
                random_partners(size, drawn.neighbour_of, generator=generator)
                for _ in range(objective.random_draws)
            ]
        ),
        neighbour_of=drawn.neighbour_of,
        guidance=read_guidance(maps, images, own, generator) if objective.weight_crf else None,
        aligned=None
        if data.copies is None
        else read_copies(
            data.copies,
            len(data.copies) // len(maps),
            images,
            sampled.anchors.locations,
            generator,
        ),
        labels=_of_parts(part.labels for part in sampled),
        depth=_of_parts(part.depth for part in sampled),
        grid=None
        if not needs.grid
        else read_grid(
            data,
            images,
            drawn.positives,
            (own, theirs),
            needs._replace(neighbours=needs.neighbours and drawn.neighbour_of is None),
            generator,
        ),
    )


def _of_parts(values: Iterable[Part | None]) -> Parts[Part] | None:
    """Return a value of each part, or ``None`` if there are none."""
    known = [value for value in values if value is not None]
    return Parts(*known) if known else None


def read_copies(
    copies: FeatureMaps,
    copies_each: int,
    images: list[int],
    locations: torch.Tensor,
    generator: torch.Generator,
) -> AlignedCopies:
    """Read features of a random copy of each image, at given locations of the images.

    The locations have a value, and so has what a copy shows of them.

    Args:
        copies: copies of all maps, grouped by map.
        copies_each: number of copies of each map.
        images: the images of the batch.
        locations: locations in the images, (x, y) in -1..1, shape (batch, locations, 2).
        generator: a random number generator.
    """
    numbers = torch.randint(copies_each, (len(images),), generator=generator).tolist()
    chosen = [image * copies_each + number for image, number in zip(images, numbers, strict=True)]
    targets, shown = [], []
    for copy, at in zip(chosen, locations, strict=True):
        augmentation = copies.views[copy].augmentation
        if not isinstance(augmentation, Augmentation):
            raise TypeError(f"copies holds a view that is not augmented, number {copy}")
        grid = copies.grid(copy)  # that of the image, too
        moved = torch.stack(augmentation.target(*shares_of_locations(at, *grid).unbind(1)), dim=1)
        inside = ((moved >= 0) & (moved <= 1)).all(dim=1)
        targets.append(locations_of_shares(moved.clamp(0, 1), *grid))
        shown.append(inside)
    around = read_neighbourhoods(copies.read(chosen), torch.stack(targets))
    return AlignedCopies(around, torch.stack(shown))


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

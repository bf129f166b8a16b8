"""One training step twice, from the same features, locations and pairs: plain and fused."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray

from segdistill.config.settings import (
    FitSettings,
    HeadSettings,
    ObjectiveSettings,
    Pairs,
    PrecisionName,
)
from segdistill.devices import Compute
from segdistill.features.extract import FeatureMaps
from segdistill.features.preparation import FeaturePreparation, fit_preparation
from segdistill.model.head import SegmentationHead
from segdistill.objective.sampling import permutation_without_fixed_points, random_locations
from segdistill.objective.stego import Shifts, stego_objective
from segdistill.training.batches import Batch
from segdistill.training.neighbourhoods import read_neighbourhoods
from segdistill.training.sampling import sample_batch
from segdistill.training.training_set import TrainingSet
from tests.plain.stego_step import PlainLocations, draw_masks, plain_maps, plain_terms

SHIFTS = Shifts(0.18, 0.12, 0.46)


@dataclass(frozen=True)
class StepShape:
    """What a step looks at: images of cells, and the groups of channels of a cell."""

    height: int
    width: int
    groups: tuple[int, ...]
    components: int | None = None
    code_channels: int = 70
    batch: int = 16
    pairs: Pairs = "separate"
    kind: Literal["nonlinear", "linear"] = "nonlinear"
    dropout: float = 0.1
    objective: ObjectiveSettings = field(default_factory=ObjectiveSettings)


@dataclass(frozen=True)
class StepCase:
    """What both forms are given: maps of the images, then of a neighbour of each.

    With shared pairs there are only maps of the images, and ``neighbour_of``.
    """

    maps: NDArray[np.float16]
    preparation: FeaturePreparation
    head: SegmentationHead
    locations: PlainLocations
    partners: torch.Tensor
    settings: FitSettings
    neighbour_of: torch.Tensor | None = None

    @property
    def device(self) -> torch.device:
        """Where both forms compute; maps, locations and pairs lie on the CPU."""
        return self.head.linear.weight.device


CPU = torch.device("cpu")


def made_case(shape: StepShape, *, seed: int = 0, device: torch.device = CPU) -> StepCase:
    """Make features and draw locations and pairs."""
    generator = torch.Generator().manual_seed(seed)
    raw = torch.randn(
        2 * shape.batch, shape.height, shape.width, sum(shape.groups), generator=generator
    ).half()
    preparation = fit_preparation(
        raw.flatten(0, 2)[:5000].float(),
        shape.groups,
        standardise=shape.components is not None,
        components=shape.components,
    )
    side = shape.objective.samples

    def locations() -> torch.Tensor:
        drawn = random_locations(shape.batch, side**2, generator=generator)
        return drawn.view(shape.batch, side, side, 2)

    at, neighbour_of = PlainLocations(locations(), locations(), locations()), None
    if shape.pairs == "shared":
        neighbour_of = permutation_without_fixed_points(shape.batch, generator=generator)
        at = PlainLocations(at.anchors, at.anchors[neighbour_of], at.anchors)
        raw = raw[: shape.batch]
    torch.manual_seed(seed)
    return StepCase(
        raw.numpy(),
        preparation.to(device),
        SegmentationHead(
            preparation.channels, shape.code_channels, kind=shape.kind, dropout=shape.dropout
        ).to(device),
        at,
        torch.stack(
            [
                permutation_without_fixed_points(shape.batch, generator=generator)
                for _ in range(shape.objective.random_draws)
            ]
        ),
        FitSettings(head=HeadSettings(kind=shape.kind), objective=shape.objective),
        neighbour_of,
    )


def plain_step(case: StepCase) -> torch.Tensor:
    """Return the loss, and leave the gradient in the head: everything on whole maps."""
    return _differentiated(case, plain_total(case, torch.from_numpy(case.maps).to(case.device)))


def plain_total(case: StepCase, raw: torch.Tensor) -> torch.Tensor:
    """Return the loss of whole raw maps.

    Args:
        case: the case.
        raw: as ``case.maps``, shape (2 * batch, height, width, channels), or half of it.
    """
    objective, batch = case.settings.objective, len(case.partners[0])
    masks = [draw_masks(case.head, batch, objective.feature_dropout)]
    if case.neighbour_of is None:
        masks.append(draw_masks(case.head, batch, objective.feature_dropout))
        theirs = raw[batch:]
    else:
        neighbour_of = case.neighbour_of.to(raw.device)
        masks.append(masks[0].of_images(neighbour_of))
        theirs = raw[neighbour_of]
    images, neighbours = (plain_maps(part, case.preparation) for part in (raw[:batch], theirs))
    locations = (case.locations.anchors, case.locations.positives, case.locations.negatives)
    terms = plain_terms(
        case.head,
        images,
        neighbours,
        PlainLocations(*(part.to(raw.device) for part in locations)),
        list(case.partners.to(raw.device)),
        SHIFTS,
        objective,
        (masks[0], masks[1]),
    )
    return terms.total(objective)


def read_batch(case: StepCase, maps: Sequence[NDArray[np.float16]] | None = None) -> Batch:
    """Read what the library looks at in a step, onto the device of the case.

    Args:
        case: its maps are read if no others are given.
        maps: of the images, then of a neighbour of each.
    """
    maps, batch = list(case.maps) if maps is None else maps, len(case.partners[0])
    if case.neighbour_of is not None:
        own = read_neighbourhoods(maps, case.locations.anchors.flatten(1, 2))
        return Batch(own, None, case.partners, case.neighbour_of).to(case.device)
    # (b, side, side, 2) -> (b, locations, 2)
    first, second, third = (
        locations.flatten(1, 2)
        for locations in (
            case.locations.anchors,
            case.locations.positives,
            case.locations.negatives,
        )
    )
    return Batch(
        read_neighbourhoods(maps[:batch], torch.cat([first, third], dim=1)),
        read_neighbourhoods(maps[batch:], second),
        case.partners,
    ).to(case.device)


def this_step(case: StepCase, precision: PrecisionName = "32-true") -> torch.Tensor:
    """Return the loss, and leave the gradient in the head: as the library does it."""
    batch, objective = read_batch(case), case.settings.objective
    compute = Compute(case.device, precision)
    maps = cast("FeatureMaps", SimpleNamespace(compute=compute))  # a batch is read already
    data = TrainingSet(maps, torch.empty(0), case.preparation)
    parts = sample_batch(case.head, batch, data, case.settings)
    terms = stego_objective(
        *parts, batch.partners, SHIFTS, objective, matrix_type=compute.matrix_type
    )
    return _differentiated(case, terms.total(objective))


def _differentiated(case: StepCase, loss: torch.Tensor) -> torch.Tensor:
    case.head.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    return loss.detach()

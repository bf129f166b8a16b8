"""HP as an objective: contrast with hidden positives, in the data set and nearby."""

import torch
import torch.nn.functional as F
from torch import nn

from segdistill.features.locations import sample_locations
from segdistill.model.head import SegmentationHead
from segdistill.objective.hidden_positives import (
    handed_over,
    hidden_positives,
    local_weights,
    positive_contrast,
    weighed_positives,
)
from segdistill.training.batches import Batch
from segdistill.training.grid import Needs
from segdistill.training.objectives.protocol import (
    Objective,
    ObjectiveInputs,
    ObjectiveStep,
    Teacher,
)
from segdistill.training.sampling import sample_at
from segdistill.training.training_set import TrainingSet


class HiddenPositivesObjective(Objective):
    """Contrast of projected codes with task-agnostic and, more and more, task-specific positives.

    The reference pool holds features of the data set. Codes of the pool, and those that are
    compared with them, are the momentum head's. The projection is discarded after training.
    """

    pool: torch.Tensor

    def __init__(self, inputs: ObjectiveInputs) -> None:
        super().__init__()
        self.settings, self.own = inputs.settings, inputs.settings.objective.hp
        self.needs = Needs(neighbours=False, grid=self.own.grid)
        channels = inputs.channels
        self.projection = nn.Linear(channels, channels)
        self.teacher = Teacher(inputs.head)
        self.register_buffer("pool", torch.zeros(self.own.pool, inputs.features))

    def prepare(self, head: SegmentationHead, data: TrainingSet) -> None:
        """Draw the reference pool from the data set."""
        size = self.own.pool

        def drawn() -> torch.Tensor:
            features = sample_locations(
                data.maps,
                size,
                seed=self.settings.seed,
                max_maps=size,
                function=data.preparation.cpu(),
            ).features
            generator = torch.Generator().manual_seed(self.settings.seed)
            # A small data set has fewer locations: some are then in the pool several times.
            rows = torch.arange(size) % len(features)
            return features[torch.randperm(len(features), generator=generator)[rows]]

        with torch.no_grad():
            self.pool.copy_(data.maps.compute.group.from_first(drawn))

    def losses(
        self, head: SegmentationHead, batch: Batch, data: TrainingSet, *, step: int
    ) -> ObjectiveStep:
        """Return the contrast with global positives, that of mixed codes, and their sum."""
        if batch.grid is None:
            raise ValueError("the batch has no grid")
        maps = sample_at(batch.grid.images, head, data)
        share = handed_over(step, self.own.handover or self.settings.training.most_steps)
        with torch.no_grad():
            features = maps.features.flatten(0, 1)
            agnostic = hidden_positives(features, self.pool)
            taught, codes_of_pool = (
                self.teacher.follower(each[:, None])[:, 0] for each in (features, self.pool)
            )
            specific = hidden_positives(taught, codes_of_pool)
            weights = weighed_positives(agnostic, specific, share)
            nearby = local_weights(maps.features, self.own.grid)

        def contrast(codes: torch.Tensor) -> torch.Tensor:
            unit = F.normalize(self.projection(codes).flatten(0, 1), dim=1)
            return positive_contrast(unit @ unit.mT / self.own.temperature, weights)

        known = contrast(maps.codes)
        local = contrast(nearby @ maps.codes)
        positives = (agnostic.float().mean(), specific.float().mean())
        return ObjectiveStep(
            known + self.own.weight_local * local,
            maps.codes,
            batch.grid.labels,
            {
                "hidden_positives_global": known,
                "hidden_positives_local": local,
                "share_agnostic": positives[0],
                "share_specific": positives[1],
            },
        )

    def after_step(self, head: SegmentationHead, *, step: int) -> None:
        """Move the momentum head."""
        self.teacher.follow(head, momentum=self.own.momentum)

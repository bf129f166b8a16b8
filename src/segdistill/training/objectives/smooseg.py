"""SmooSeg as an objective: prototypes of classes, and a teacher of them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from segdistill.model.head import SegmentationHead
from segdistill.objective.smooseg import (
    assignment_logits,
    data_energy,
    smoothness_energy,
    soft_assignments,
)
from segdistill.training.batches import Batch
from segdistill.training.grid import Needs
from segdistill.training.objectives.protocol import Objective, ObjectiveInputs, ObjectiveStep
from segdistill.training.sampling import calibrate_shifts, pair_correlations, sample_batch
from segdistill.training.training_set import TrainingSet


class SmooSegObjective(Objective):
    """Smoothness within an image and across images, and the data term.

    The head learns from the teacher's assignments, the student's prototypes from the data term.
    """

    needs = Needs(neighbours=False)
    teacher: torch.Tensor

    def __init__(self, inputs: ObjectiveInputs) -> None:
        super().__init__()
        self.settings, self.own = inputs.settings, inputs.settings.objective.smooseg
        self.student = nn.Parameter(torch.randn(inputs.clusters, inputs.channels))
        self.register_buffer("teacher", self.student.detach().clone())

    def prepare(self, head: SegmentationHead, data: TrainingSet) -> None:
        """Measure the shifts."""
        group = data.maps.compute.group
        shifts = group.from_first(lambda: calibrate_shifts(data, self.settings, self.needs))
        self.shifts = replace(shifts, neighbour_pairs=0.0)  # not used

    def losses(
        self, head: SegmentationHead, batch: Batch, data: TrainingSet, *, step: int
    ) -> ObjectiveStep:
        """Return the three energies and their sum."""
        if self.shifts is None:
            raise ValueError("shifts are not measured: prepare() comes first")
        parts = sample_batch(head, batch, data, self.settings)
        own, others = parts.anchors, parts.negatives
        first, second = (
            soft_assignments(each.codes, self.teacher, self.own.temperature)
            for each in (own, others)
        )
        threads = data.maps.compute.threads
        within = smoothness_energy(
            own.features, own.features, first, first, self.shifts.self_pairs, threads=threads
        )
        across = smoothness_energy(
            own.features,
            others.features,
            first,
            second,
            self.shifts.random_pairs,
            partners=batch.partners,
            threads=threads,
        )
        # The student's cosines are not divided by the temperature.
        logits = assignment_logits(own.codes.detach(), self.student, 1.0)
        fit = data_energy(logits, first)
        return ObjectiveStep(
            within + across + self.own.weight_data * fit,
            own.codes,
            None if batch.labels is None else batch.labels.anchors,
            {"smoothness_within": within, "smoothness_across": across, "data": fit},
        )

    @torch.no_grad()
    def after_step(self, head: SegmentationHead, *, step: int) -> None:
        """Move the teacher's prototypes."""
        self.teacher.lerp_(self.student, 1 - self.own.momentum)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return the prototypes, which learn at the rate of cluster centres."""
        return [{"params": [self.student], "lr": self.settings.training.cluster_learning_rate}]

    def prototypes(self) -> torch.Tensor:
        """Return the teacher's prototypes."""
        return self.teacher

    def histograms(
        self, head: SegmentationHead, batch: Batch, data: TrainingSet
    ) -> Mapping[str, torch.Tensor]:
        """Return the correlations of features and codes within an image and across images."""
        found = pair_correlations(sample_batch(head, batch, data, self.settings), batch)
        return {name: values for name, values in found.items() if "neighbour" not in name}

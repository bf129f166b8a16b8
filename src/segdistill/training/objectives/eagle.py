"""EAGLE as an objective: STEGO's correspondences, and contrast between objects."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import nn

from segdistill.model.head import SegmentationHead
from segdistill.objective.eagle import (
    affinity,
    eigen_clusters,
    matching_objects,
    object_contrast,
    object_prototypes,
    smooth_eigenvectors,
    sums_of_clusters,
)
from segdistill.objective.stego import SampledMaps
from segdistill.training.batches import Batch
from segdistill.training.grid import Needs
from segdistill.training.objectives.protocol import Objective, ObjectiveInputs, ObjectiveStep
from segdistill.training.objectives.stego import StegoObjective
from segdistill.training.sampling import sample_at
from segdistill.training.training_set import TrainingSet


class EagleObjective(Objective):
    """The correspondence losses, and the contrast with objects of an image and of a neighbour.

    Codes are contrasted after a linear projection, which is discarded after training.
    """

    def __init__(self, inputs: ObjectiveInputs) -> None:
        super().__init__()
        self.own = inputs.settings.objective.eagle
        self.correspondences = StegoObjective(inputs)
        self.projection = nn.Linear(inputs.channels, inputs.channels)
        self.needs = Needs(grid=self.own.grid, colours=True)

    def prepare(self, head: SegmentationHead, data: TrainingSet) -> None:
        """Measure the shifts."""
        self.correspondences.prepare(head, data)
        self.shifts = self.correspondences.shifts

    def losses(
        self, head: SegmentationHead, batch: Batch, data: TrainingSet, *, step: int
    ) -> ObjectiveStep:
        """Return the correspondence losses, the contrasts, and their weighted sum."""
        result = self.correspondences.losses(head, batch, data, step=step)
        grid, neighbour_of = batch.grid, batch.neighbour_of
        if grid is None:
            raise ValueError("the batch has no grid")
        own = sample_at(grid.images, head, data)
        owners = self._objects(own, grid.colours)
        if neighbour_of is not None:
            other, other_owners = own.paired(neighbour_of), owners[neighbour_of]
        elif grid.positives is not None:
            other = sample_at(grid.positives, head, data)
            other_owners = self._objects(other, grid.positive_colours)
        else:
            raise ValueError("the batch has no neighbours")
        count = self.own.objects
        features, counts = sums_of_clusters(own.features, owners, count)
        codes = F.normalize(self.projection(own.codes), dim=2)
        prototypes = object_prototypes(codes, owners, count)
        intra = object_contrast(codes, owners, prototypes, counts, self.own.temperature)
        other_features, other_counts = sums_of_clusters(other.features, other_owners, count)
        matches = matching_objects(features, other_features, other_counts)
        other_codes = F.normalize(self.projection(other.codes), dim=2)
        inter = object_contrast(
            codes,
            matches.gather(1, owners),
            object_prototypes(other_codes, other_owners, count),
            other_counts,
            self.own.temperature,
        )
        return ObjectiveStep(
            result.total + self.own.weight_intra * intra + self.own.weight_inter * inter,
            result.codes,
            result.labels,
            {**result.terms, "objects_intra": intra, "objects_inter": inter},
        )

    def histograms(
        self, head: SegmentationHead, batch: Batch, data: TrainingSet
    ) -> Mapping[str, torch.Tensor]:
        """Return the correlations of features and codes for each kind of pair."""
        return self.correspondences.histograms(head, batch, data)

    @torch.no_grad()
    def _objects(self, maps: SampledMaps, colours: torch.Tensor | None) -> torch.Tensor:
        """Return the object of each location, shape (batch, locations)."""
        if colours is None:
            raise ValueError("the batch has no colours")
        weights = affinity(maps.codes, colours, self.own.weight_colour)
        vectors = smooth_eigenvectors(weights, min(self.own.eigenvectors, weights.shape[1] - 1))
        return eigen_clusters(vectors, self.own.objects)

"""PriMaPs-EM as an objective: prototypes of classes, fitted to principal masks."""

from typing import Any

import torch
from torch import nn

from segdistill.clustering.code_clusters import spherical_kmeans
from segdistill.features.locations import sample_locations
from segdistill.model.head import SegmentationHead
from segdistill.objective.principal_masks import (
    class_confidence,
    focal_loss,
    mask_classes,
    principal_masks,
    rising_momentum,
)
from segdistill.objective.smooseg import assignment_logits
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

START_LOCATIONS = 20_000
START_MAPS = 500


class PriMaPsObjective(Objective):
    """The focal loss of the student's classes and those that the teacher gives to masks.

    The head starts as a projection onto principal components, the prototypes as k-means.
    """

    prototypes_of_teacher: torch.Tensor

    def __init__(self, inputs: ObjectiveInputs) -> None:
        super().__init__()
        self.settings, self.own = inputs.settings, inputs.settings.objective.primaps
        self.needs = Needs(neighbours=False, grid=self.own.grid)
        self.student = nn.Parameter(torch.randn(inputs.clusters, inputs.channels))
        self.register_buffer("prototypes_of_teacher", self.student.detach().clone())
        self.teacher = Teacher(inputs.head)

    @torch.no_grad()
    def prepare(self, head: SegmentationHead, data: TrainingSet) -> None:
        """Let the head start as principal components of the features, and fit prototypes."""
        clusters = len(self.student)

        def start() -> tuple[dict[str, torch.Tensor], torch.Tensor]:
            features = sample_locations(
                data.maps,
                START_LOCATIONS,
                seed=self.settings.seed,
                max_maps=START_MAPS,
                function=data.preparation.cpu(),
            ).features
            start_as_principal_components(head, features)
            codes = head.eval()(features[:, None])[:, 0]
            return head.state_dict(), spherical_kmeans(codes, clusters, seed=self.settings.seed)

        training = head.training
        state, centres = data.maps.compute.group.from_first(start)
        head.load_state_dict(state)
        head.train(training)
        self.student.copy_(centres)
        self.prototypes_of_teacher.copy_(centres)
        self.teacher.follow(head, momentum=0.0)

    def losses(
        self, head: SegmentationHead, batch: Batch, data: TrainingSet, *, step: int
    ) -> ObjectiveStep:
        """Return the focal loss, and the share of locations that have a mask."""
        if batch.grid is None:
            raise ValueError("the batch has no grid")
        maps = sample_at(batch.grid.images, head, data)
        with torch.no_grad():
            masks = principal_masks(
                maps.features, self.own.similarity, coverage=self.own.coverage, most=self.own.masks
            )
            taught = sample_at(batch.grid.images, self._momentum_head, data)
            classes = mask_classes(self._logits(taught.codes, self.prototypes_of_teacher), masks)
        student = self._logits(maps.codes, self.student)
        loss = focal_loss(student, classes, class_confidence(student), self.own.focus)
        covered = (masks >= 0).float().mean()
        return ObjectiveStep(
            loss, maps.codes, batch.grid.labels, {"mask_classes": loss, "mask_coverage": covered}
        )

    @torch.no_grad()
    def after_step(self, head: SegmentationHead, *, step: int) -> None:
        """Move the teacher every few steps."""
        update, rest = divmod(step + 1, self.own.momentum_every)
        if rest == 0:
            momentum = rising_momentum(update, self.own.momentum)
            self.teacher.follow(head, momentum=momentum)
            self.prototypes_of_teacher.lerp_(self.student, 1 - momentum)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return the prototypes, which learn at the rate of cluster centres."""
        return [{"params": [self.student], "lr": self.settings.training.cluster_learning_rate}]

    def prototypes(self) -> torch.Tensor:
        """Return the student's prototypes, to which its head belongs."""
        return self.student

    @property
    def _momentum_head(self) -> SegmentationHead:
        follower = self.teacher.follower
        if not isinstance(follower, SegmentationHead):
            raise TypeError(f"the teacher follows a {type(follower).__name__}")
        return follower

    def _logits(self, codes: torch.Tensor, prototypes: torch.Tensor) -> torch.Tensor:
        return assignment_logits(codes, prototypes, self.own.temperature)


@torch.no_grad()
def start_as_principal_components(head: SegmentationHead, features: torch.Tensor) -> None:
    """Let a head project features onto their principal components.

    Code channels beyond the number of components are 0 at first.

    Args:
        head: changed in place.
        features: prepared features, shape (locations, channels).
    """
    mean = features.mean(dim=0)
    _, vectors = torch.linalg.eigh((features - mean).mT @ (features - mean))
    components = vectors.flip(dims=(1,)).mT[: head.linear.out_features]
    head.linear.weight.zero_()
    head.linear.weight[: len(components)] = components
    head.linear.bias.copy_(-head.linear.weight @ mean)
    if head.nonlinear is not None:
        last = head.nonlinear[2]
        for parameter in last.parameters():
            parameter.zero_()

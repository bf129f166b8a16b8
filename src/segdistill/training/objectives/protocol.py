"""The protocol of an objective: what trains a head."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import nn

from segdistill.config.settings import FitSettings
from segdistill.model.head import SegmentationHead
from segdistill.objective.stego import Shifts
from segdistill.training.batches import Batch
from segdistill.training.grid import NEEDS_PAIRS, Needs
from segdistill.training.training_set import TrainingSet


class ObjectiveInputs(NamedTuple):
    """What an objective is built from.

    Attributes:
        head: the head that it trains, as initialised.
        features: number of channels of prepared features.
        channels: number of channels of codes.
        clusters: number of clusters, for objectives with class prototypes.
        settings: all settings.
    """

    head: SegmentationHead
    features: int
    channels: int
    clusters: int
    settings: FitSettings


@dataclass(frozen=True)
class ObjectiveStep:
    """What an objective returns for a batch.

    Attributes:
        total: the loss to minimise, a scalar.
        codes: codes of images of the batch, shape (batch, locations, channels), from which the
            probes learn; no gradient of theirs reaches the head.
        labels: labels at these locations, shape (batch, locations), if the batch has labels.
        terms: unweighted scalar terms by name, for the history and the log.
    """

    total: torch.Tensor
    codes: torch.Tensor
    labels: torch.Tensor | None = None
    terms: Mapping[str, torch.Tensor] = field(default_factory=dict)


class Objective(nn.Module, ABC):
    """An objective that trains a head on frozen features.

    Its parameters, buffers and modules (prototypes, teachers, pools) are moved, written to
    checkpoints, restored and kept with the best codes along with the head. State that changes must
    therefore be a parameter or a buffer. Random numbers may be drawn from torch's global generator,
    which is seeded by the step.

    Attributes:
        needs: what it needs of each batch.
        shifts: the shifts of a correspondence loss, for the record; ``None`` if there is none.
    """

    needs: Needs = NEEDS_PAIRS
    shifts: Shifts | None = None

    def prepare(self, head: SegmentationHead, data: TrainingSet) -> None:
        """Measure or fit what is needed before the first step, in place; by default nothing.

        Every process calls it, also when training is resumed; its state is restored afterwards.
        Work that all processes should share goes through ``data.maps.compute.group``.
        """

    @abstractmethod
    def losses(
        self, head: SegmentationHead, batch: Batch, data: TrainingSet, *, step: int
    ) -> ObjectiveStep:
        """Return the loss of a batch; ``step`` is counted from 0."""

    def after_step(self, head: SegmentationHead, *, step: int) -> None:
        """Update what is not trained by gradient, such as a teacher; by default nothing."""

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return groups of parameters with learning rates of their own, for Adam.

        Other parameters learn at the rate of the head.
        """
        return []

    def prototypes(self) -> torch.Tensor | None:
        """Return own class prototypes, shape (clusters, code channels), if there are any."""
        return None

    def histograms(
        self, head: SegmentationHead, batch: Batch, data: TrainingSet
    ) -> Mapping[str, torch.Tensor]:
        """Return values of a batch whose distribution is logged, by name."""
        return {}


class Teacher(nn.Module):
    """A moving average of a module, without gradient or dropout.

    Args:
        student: the module to follow, which is copied.

    Example:
        >>> student = nn.Linear(1, 1)
        >>> teacher = Teacher(student)
        >>> _ = nn.init.constant_(teacher.follower.weight, 1.0), nn.init.zeros_(student.weight)
        >>> teacher.follow(student, momentum=0.75)
        >>> teacher.follower.weight.item()
        0.75
    """

    def __init__(self, student: nn.Module) -> None:
        super().__init__()
        self.follower = deepcopy(student).requires_grad_(requires_grad=False)
        self.train(mode=False)

    def train(self, mode: bool = True) -> "Teacher":
        """Stay in evaluation mode."""
        return super().train(mode=False)

    @torch.no_grad()
    def follow(self, student: nn.Module, *, momentum: float) -> None:
        """Move each parameter to ``momentum * own + (1 - momentum) * the student's``."""
        for own, other in zip(self.follower.parameters(), student.parameters(), strict=True):
            own.lerp_(other, 1 - momentum)

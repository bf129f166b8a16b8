"""Losses of a training step: the objective's, and those of the probes that watch the codes."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from segdistill.images.palette import VOID
from segdistill.objective.clusters import cluster_loss, cluster_similarity
from segdistill.training.batches import Batch
from segdistill.training.modules import TrainingModules
from segdistill.training.objectives.protocol import ObjectiveStep
from segdistill.training.training_set import TrainingSet


@dataclass(frozen=True)
class StepLosses:
    """The losses of the objective, and the losses of the probes.

    The cross-entropy of the linear probe and its accuracy, from 0 to 1, are ``None`` without a
    linear probe, or if no location in the batch is labelled.
    """

    objective: ObjectiveStep
    clusters: torch.Tensor
    linear: torch.Tensor | None = None
    linear_accuracy: torch.Tensor | None = None

    @property
    def learned(self) -> torch.Tensor:
        """The sum to differentiate: probes see detached codes, so they do not train the head."""
        probes = self.clusters if self.linear is None else self.clusters + self.linear
        return self.objective.total + probes

    def values(self) -> dict[str, torch.Tensor]:
        """Return the losses by name, detached, as single-precision scalars."""
        named = {**self.objective.terms, **vars(self), "total": self.objective.total}
        return {
            name: value.detach().float()
            for name, value in named.items()
            if isinstance(value, torch.Tensor)
        }


def losses(modules: TrainingModules, batch: Batch, data: TrainingSet, *, step: int) -> StepLosses:
    """Return all losses of a batch on the modules' device; ``step`` is counted from 0."""
    result = modules.objective.losses(modules.head, batch, data, step=step)
    watched = result.codes.detach()
    # (b, locations, d) -> (b, d, locations, 1)
    clusters = cluster_loss(cluster_similarity(watched.mT.unsqueeze(-1), modules.centres))
    return StepLosses(result, clusters, *_linear_probe_loss(modules, watched, result.labels))


def _linear_probe_loss(
    modules: TrainingModules, codes: torch.Tensor, labels: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor] | tuple[None, None]:
    """Return the linear probe's loss and accuracy."""
    if modules.linear is None or labels is None:
        return None, None
    labelled = labels != VOID
    if not labelled.any():
        return None, None  # the mean over no locations is NaN
    logits, wanted = modules.linear(codes[labelled]), labels[labelled]
    with torch.no_grad():
        accuracy = (logits.argmax(dim=1) == wanted).float().mean()
    return F.cross_entropy(logits, wanted), accuracy

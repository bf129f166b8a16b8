"""The trained modules: the head, and the probes on its codes."""

import torch
from torch import nn

from segdistill.config.settings import FitSettings
from segdistill.model.head import SegmentationHead
from segdistill.model.linear_probe import LinearProbe
from segdistill.training.objectives.protocol import ObjectiveInputs
from segdistill.training.objectives.registry import make_objective
from segdistill.training.optimiser import Adam


class TrainingModules(nn.Module):
    """The head, the objective that trains it with modules of its own, and the probes.

    Args:
        features: the number of channels of prepared features.
        label_classes: the number of label classes; ``None`` without a linear probe.
    """

    def __init__(
        self,
        features: int,
        clusters: int,
        settings: FitSettings,
        *,
        label_classes: int | None = None,
    ) -> None:
        super().__init__()
        channels = settings.head.channels if settings.head.continuous else clusters
        self.head = SegmentationHead(
            features, channels, kind=settings.head.kind, dropout=settings.head.dropout
        )
        self.centres = nn.Parameter(torch.randn(clusters, channels))
        self.objective = make_objective(
            ObjectiveInputs(self.head, features, channels, clusters, settings)
        )
        self.linear = (
            LinearProbe(channels, label_classes)
            if settings.training.linear_probe and label_classes is not None
            else None
        )

    def optimiser(self, settings: FitSettings) -> torch.optim.Adam:
        """Return Adam: one learning rate for head and objective, one for the probes.

        Parameters to which the objective gives another learning rate come last.
        """
        groups = self.objective.parameter_groups()
        apart = {id(parameter) for group in groups for parameter in group["params"]}
        trained = [
            parameter
            for part in (self.head, self.objective)
            for parameter in part.parameters()
            if parameter.requires_grad and id(parameter) not in apart
        ]
        training = settings.training
        return Adam(
            [
                {"params": trained, "lr": training.learning_rate},
                {"params": self._probe_parameters(), "lr": training.cluster_learning_rate},
                *groups,
            ]
        )

    def _probe_parameters(self) -> list[nn.Parameter]:
        return [self.centres, *([] if self.linear is None else self.linear.parameters())]

    def reset_probes(self, optimiser: torch.optim.Adam) -> None:
        """Reinitialise the probes and clear their optimiser state."""
        with torch.no_grad():
            self.centres.normal_()
            if self.linear is not None:
                self.linear.reset_parameters()
        for parameter in self._probe_parameters():
            optimiser.state.pop(parameter, None)

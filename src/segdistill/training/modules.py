"""What is learned: the head, and the probes that watch its codes."""

import torch
from torch import nn

from segdistill.config.settings import FitSettings
from segdistill.model.head import SegmentationHead
from segdistill.model.linear_probe import LinearProbe


class TrainingModules(nn.Module):
    """The head, the centres of the cluster probe, and what optional terms need.

    Args:
        features: channels of prepared features.
        clusters: number of clusters.
        settings: settings of the fit.
        label_classes: classes of the linear probe, where it is trained.
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
        self.decoder = (
            nn.Linear(channels, features) if settings.objective.weight_reconstruction else None
        )
        # DepthG's second head, which learns from averaged codes and is not kept.
        self.second_head = (
            nn.Linear(channels, channels) if settings.depth.hidden_positives != "none" else None
        )
        self.linear = (
            LinearProbe(channels, label_classes)
            if settings.training.linear_probe and label_classes is not None
            else None
        )

    def optimiser(self, settings: FitSettings) -> torch.optim.Adam:
        """Return Adam with a learning rate each for what makes codes and what watches them."""
        coders = (self.head, self.decoder, self.second_head)
        trained = [each for part in coders if part is not None for each in part.parameters()]
        training = settings.training
        return torch.optim.Adam(
            [
                {"params": trained, "lr": training.learning_rate},
                {"params": self._probe_parameters(), "lr": training.cluster_learning_rate},
            ]
        )

    def _probe_parameters(self) -> list[nn.Parameter]:
        return [self.centres, *([] if self.linear is None else self.linear.parameters())]

    def reset_probes(self, optimiser: torch.optim.Adam) -> None:
        """Draw new probes, and forget what the optimiser knows of the old ones."""
        with torch.no_grad():
            self.centres.normal_()
            if self.linear is not None:
                self.linear.reset_parameters()
        for parameter in self._probe_parameters():
            optimiser.state.pop(parameter, None)

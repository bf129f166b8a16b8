"""The trained modules: the head, and the probes on its codes."""

import torch
from torch import nn

from segdistill.config.settings import FitSettings
from segdistill.model.head import SegmentationHead
from segdistill.model.linear_probe import LinearProbe


class TrainingModules(nn.Module):
    """The head, the centres of the cluster probe, and the modules of optional terms.

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
        self.decoder = (
            nn.Linear(channels, features) if settings.objective.weight_reconstruction else None
        )
        # DepthG's second head takes averaged codes, and is discarded after training.
        self.second_head = (
            nn.Linear(channels, channels) if settings.depth.hidden_positives != "none" else None
        )
        self.linear = (
            LinearProbe(channels, label_classes)
            if settings.training.linear_probe and label_classes is not None
            else None
        )

    def optimiser(self, settings: FitSettings) -> torch.optim.Adam:
        """Return Adam with one learning rate for the heads and decoder, and one for the probes."""
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
        """Reinitialise the probes and clear their optimiser state."""
        with torch.no_grad():
            self.centres.normal_()
            if self.linear is not None:
                self.linear.reset_parameters()
        for parameter in self._probe_parameters():
            optimiser.state.pop(parameter, None)

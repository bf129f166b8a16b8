"""When to stop training, estimated without labels.

The correspondence loss falls on long after the codes have begun to get worse: in the end they keep
only a few of the differences that features tell. So some locations are watched. Every few steps
they are clustered by their codes, and :func:`~segdistill.objective.neighbour_agreement` tells how
well the clusters keep together what the backbone's features say belongs together. Training ends
when that has not risen for a while, and the head with the best is kept.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import torch

from segdistill.model.head import SegmentationHead
from segdistill.objective.neighbour_agreement import neighbour_agreement
from segdistill.processes import ALONE, Group
from segdistill.training.clustering import cluster_prototypes, gather, nearest_centres
from segdistill.training.modules import TrainingModules
from segdistill.training.monitored_locations import MonitoredLocations, codes_of_locations

PROTOTYPES = 256
RESTARTS = 8
LOOK_EVERY = 25
FIRST_LOOK = 50
PATIENCE = 150
"""Steps without a better agreement after which training ends."""

UNKNOWN_NUMBERS = (6, 12, 24)
"""Numbers of clusters evaluated where the number of classes is not known yet."""


@dataclass(frozen=True)
class AgreementRecord:
    """What was seen at a step.

    Attributes:
        step: counted from 1.
        agreement: of the clusters of codes with neighbours in the features, at most 1.
    """

    step: int
    agreement: float


def numbers_to_watch(clusters: int | None) -> tuple[int, ...]:
    """Return the numbers of clusters to look at.

    A single clustering may be lucky; what several numbers of clusters agree on is steadier.

    Args:
        clusters: that will be made in the end; ``None`` if that is not known yet.

    Example:
        >>> numbers_to_watch(11)
        (11, 16, 22)
    """
    if clusters is None:
        return UNKNOWN_NUMBERS
    return clusters, clusters * 3 // 2, clusters * 2


def agreement_of_codes(
    codes: torch.Tensor, neighbours: torch.Tensor, clusters: Sequence[int], *, seed: int = 0
) -> float:
    """Cluster codes, and return how well neighbours in the features stay together.

    Args:
        codes: shape (locations, channels).
        neighbours: of each location, shape (locations, count).
        clusters: numbers of clusters to look at.
        seed: of the clustering.

    Returns:
        Mean over the numbers of clusters of the agreement of the best of several starts, at most 1.
    """
    prototypes, owners = gather(codes, count=PROTOTYPES, seed=seed)
    agreements = []
    for number in clusters:
        possible = min(number, len(prototypes.shares))
        starts = cluster_prototypes(prototypes, possible, seed=seed, restarts=RESTARTS)
        groups = [nearest_centres(prototypes, start)[owners] for start in starts]
        agreements.append(max(neighbour_agreement(group, neighbours) for group in groups))
    return fmean(agreements)


class EarlyStopping:
    """Watches a head while it is trained, and keeps the best state of all that is trained.

    Args:
        locations: to watch.
        clusters: numbers of clusters to look at.
    """

    def __init__(self, locations: MonitoredLocations, clusters: Sequence[int]) -> None:
        self.locations = locations
        self.clusters = tuple(clusters)
        self.agreement_history: list[AgreementRecord] = []
        self.best_state: dict[str, torch.Tensor] = {}

    @property
    def best(self) -> AgreementRecord | None:
        """The record with the best agreement, the first of several; ``None`` before any."""
        return max(self.agreement_history, key=lambda record: record.agreement, default=None)

    @property
    def is_over(self) -> bool:
        """Whether agreement has not risen for :data:`PATIENCE` steps."""
        best = self.best
        return best is not None and self.agreement_history[-1].step - best.step >= PATIENCE

    def watch(
        self, step: int, modules: TrainingModules, group: Group = ALONE
    ) -> AgreementRecord | None:
        """Look at a step's codes, if it is time to.

        Args:
            step: that was just taken, counted from 1.
            modules: in training mode, as it is left.
            group: processes that train together; the first agreement_history for all.
        """
        if step < FIRST_LOOK or step % LOOK_EVERY:
            return None
        record = AgreementRecord(step, group.from_first(lambda: self._agreement(modules.head)))
        self.agreement_history.append(record)
        if self.best is record:
            state = modules.state_dict()
            self.best_state = {name: value.cpu().clone() for name, value in state.items()}
        return record

    def restore_best(self, modules: TrainingModules) -> None:
        """Put the best state back into what was trained, if there was a record."""
        if self.best_state:
            modules.load_state_dict(self.best_state)

    def notes(self) -> str:
        """Return what was seen, as text for a checkpoint; :meth:`go_on` reads it."""
        return json.dumps([[record.step, record.agreement] for record in self.agreement_history])

    def go_on(self, notes: str, best_state: dict[str, torch.Tensor]) -> None:
        """Resume where a run was interrupted.

        Args:
            notes: of :meth:`notes`.
            best_state: then.
        """
        self.agreement_history = [
            AgreementRecord(int(step), float(agreement)) for step, agreement in json.loads(notes)
        ]
        self.best_state = dict(best_state)

    def _agreement(self, head: SegmentationHead) -> float:
        codes = codes_of_locations(head, self.locations)
        return agreement_of_codes(codes, self.locations.neighbours, self.clusters)

"""When to stop training, estimated without labels.

The correspondence loss keeps falling long after the codes have begun to get worse: in the end they
keep only a few of the differences between features. So some locations are monitored. Every few
steps they are clustered by their codes, and :func:`~segdistill.objective.neighbour_agreement`
measures how well the clusters keep neighbours in the backbone's features together. Training ends
when this has not risen for a while, and the head with the best agreement is kept.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import torch

from segdistill.model.head import SegmentationHead
from segdistill.objective.neighbour_agreement import neighbour_agreement
from segdistill.processes import SINGLE_PROCESS, Group
from segdistill.training.clustering import cluster_prototypes, nearest_centres, quantise_codes
from segdistill.training.modules import TrainingModules
from segdistill.training.monitored_locations import MonitoredLocations, codes_of_locations

PROTOTYPES = 256
RESTARTS = 8
MONITOR_EVERY = 25
FIRST_MONITORED_STEP = 50
PATIENCE = 150
"""Steps without a better agreement after which training ends."""

DEFAULT_CLUSTER_COUNTS = (6, 12, 24)
"""Numbers of clusters evaluated where the number of classes is not known yet."""


@dataclass(frozen=True)
class AgreementRecord:
    """The agreement at a step.

    Attributes:
        step: counted from 1.
        agreement: of the clusters of codes with neighbours in the features, at most 1.
    """

    step: int
    agreement: float


def monitored_cluster_counts(clusters: int | None) -> tuple[int, ...]:
    """Return the numbers of clusters to evaluate.

    A single clustering may be lucky; the mean over several numbers of clusters varies less.

    Args:
        clusters: the final number; ``None`` if it is not known yet.

    Example:
        >>> monitored_cluster_counts(11)
        (11, 16, 22)
    """
    if clusters is None:
        return DEFAULT_CLUSTER_COUNTS
    return clusters, clusters * 3 // 2, clusters * 2


def agreement_of_codes(
    codes: torch.Tensor, neighbours: torch.Tensor, clusters: Sequence[int], *, seed: int = 0
) -> float:
    """Cluster codes, and return how well neighbours in the features stay together.

    Args:
        codes: shape (locations, channels).
        neighbours: of each location, shape (locations, count).
        clusters: numbers of clusters to evaluate.
        seed: of the clustering.

    Returns:
        Mean over the numbers of clusters of the agreement of the best of several starts, at most 1.
    """
    prototypes, owners = quantise_codes(codes, count=PROTOTYPES, seed=seed)
    agreements = []
    for number in clusters:
        possible = min(number, len(prototypes.shares))
        starts = cluster_prototypes(prototypes, possible, seed=seed, restarts=RESTARTS)
        groups = [nearest_centres(prototypes, start)[owners] for start in starts]
        agreements.append(max(neighbour_agreement(group, neighbours) for group in groups))
    return fmean(agreements)


def best_record(agreement_history: Sequence[AgreementRecord]) -> AgreementRecord | None:
    """Return the record with the best agreement, the first of several; ``None`` without any."""
    return max(agreement_history, key=lambda record: record.agreement, default=None)


def has_stopped_rising(agreement_history: Sequence[AgreementRecord]) -> bool:
    """Return whether agreement has not risen for :data:`PATIENCE` steps."""
    best = best_record(agreement_history)
    return best is not None and agreement_history[-1].step - best.step >= PATIENCE


def end_of_training(last_step: int, agreement_history: Sequence[AgreementRecord]) -> str:
    """Say in a sentence at which step training ended, and which step's codes are the best.

    Args:
        last_step: the last step taken, counted from 1.
        agreement_history: of the training; without any, the best codes are not mentioned.

    Example:
        >>> end_of_training(225, [AgreementRecord(75, 0.6), AgreementRecord(225, 0.5)])
        'Training stopped early at step 225; best codes from step 75.'
    """
    ended = "stopped early" if has_stopped_rising(agreement_history) else "ended"
    best = best_record(agreement_history)
    kept = "" if best is None else f"; best codes from step {best.step}"
    return f"Training {ended} at step {last_step}{kept}."


class EarlyStopping:
    """Monitors a head during training, and keeps the best state of all trained modules.

    Args:
        locations: to monitor.
        clusters: numbers of clusters to evaluate.
    """

    def __init__(self, locations: MonitoredLocations, clusters: Sequence[int]) -> None:
        self.locations = locations
        self.clusters = tuple(clusters)
        self.agreement_history: list[AgreementRecord] = []
        self.best_state: dict[str, torch.Tensor] = {}

    @property
    def best(self) -> AgreementRecord | None:
        """The record with the best agreement, the first of several; ``None`` before any."""
        return best_record(self.agreement_history)

    @property
    def should_stop(self) -> bool:
        """Whether agreement has not risen for :data:`PATIENCE` steps."""
        return has_stopped_rising(self.agreement_history)

    def update(
        self, step: int, modules: TrainingModules, group: Group = SINGLE_PROCESS
    ) -> AgreementRecord | None:
        """Measure the agreement at a step, if it is due.

        Args:
            step: just taken, counted from 1.
            modules: in training mode, and left in it.
            group: processes that train together; the first one measures for all.
        """
        if step < FIRST_MONITORED_STEP or step % MONITOR_EVERY:
            return None
        record = AgreementRecord(step, group.from_first(lambda: self._agreement(modules.head)))
        self.agreement_history.append(record)
        if self.best is record:
            state = modules.state_dict()
            self.best_state = {name: value.cpu().clone() for name, value in state.items()}
        return record

    def restore_best(self, modules: TrainingModules) -> None:
        """Load the best state into the modules, if there is one."""
        if self.best_state:
            modules.load_state_dict(self.best_state)

    def history_as_json(self) -> str:
        """Return the history as text for a checkpoint; :meth:`resume` reads it."""
        return json.dumps([[record.step, record.agreement] for record in self.agreement_history])

    def resume(self, history: str, best_state: dict[str, torch.Tensor]) -> None:
        """Restore the state of an interrupted run.

        Args:
            history: from :meth:`history_as_json`.
            best_state: at that time.
        """
        self.agreement_history = [
            AgreementRecord(int(step), float(agreement)) for step, agreement in json.loads(history)
        ]
        self.best_state = dict(best_state)

    def _agreement(self, head: SegmentationHead) -> float:
        codes = codes_of_locations(head, self.locations)
        return agreement_of_codes(codes, self.locations.neighbours, self.clusters)

"""When to stop training, estimated without labels.

The correspondence loss keeps falling long after the codes have begun to get worse: in the end they
keep only a few of the differences between features. So some locations are monitored. Every few
steps they are clustered by their codes, and :func:`~segdistill.objective.neighbour_agreement`
measures how well the clusters keep neighbours in the backbone's features together. Training ends
when this has not risen for a while, and the head with the best agreement is kept.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

import torch

from segdistill.features.extract import FeatureMaps
from segdistill.features.locations import sample_locations
from segdistill.features.preparation import FeaturePreparation
from segdistill.model.head import SegmentationHead
from segdistill.objective.neighbour_agreement import nearest_in_other_images, neighbour_agreement
from segdistill.processes import SINGLE_PROCESS, Group
from segdistill.training.clustering import cluster_prototypes, nearest_centres, quantise_codes
from segdistill.training.modules import TrainingModules

MONITORED_LOCATIONS = 8_000
MONITORED_MAPS = 150
NEIGHBOURS = 10
PROTOTYPES = 256
RESTARTS = 8
MONITOR_EVERY = 25
FIRST_MONITORED_STEP = 50
PATIENCE = 150
"""Steps without a better agreement after which training ends."""

DEFAULT_CLUSTER_COUNTS = (6, 12, 24)
"""Numbers of clusters evaluated where the number of classes is not known yet."""


@dataclass(frozen=True)
class MonitoredLocations:
    """Locations whose neighbours in the features show, without labels, how good codes are.

    Attributes:
        features: prepared, shape (locations, channels).
        neighbours: most similar locations in other images, shape (locations, neighbours).
    """

    features: torch.Tensor
    neighbours: torch.Tensor

    def codes(self, head: SegmentationHead) -> torch.Tensor:
        """Return the codes that a head gives, shape (locations, code channels), on the CPU."""
        training = head.training
        device = next(head.parameters()).device
        with torch.no_grad():
            codes: torch.Tensor = head.eval()(self.features.to(device)).float().cpu()
        head.train(training)
        return codes


def monitored_locations(
    maps: FeatureMaps, preparation: FeaturePreparation, *, seed: int
) -> MonitoredLocations:
    """Choose locations spread over the data set, and find their neighbours by all channels."""
    with torch.no_grad():
        locations = sample_locations(maps, MONITORED_LOCATIONS, seed=seed, max_maps=MONITORED_MAPS)
        similar = nearest_in_other_images(
            preparation.normalise(locations.features), locations.maps, NEIGHBOURS
        )
        return MonitoredLocations(preparation(locations.features), similar)


def agreement_scorer(
    head: SegmentationHead, locations: MonitoredLocations
) -> Callable[[torch.Tensor], float]:
    """Return a function from centres, unit vectors, to how well they keep neighbours together."""
    codes = locations.codes(head)

    def score(centres: torch.Tensor) -> float:
        return neighbour_agreement((codes @ centres.mT).argmax(dim=1), locations.neighbours)

    return score


@dataclass(frozen=True)
class AgreementRecord:
    """The agreement of clusters of codes with neighbours in the features, at a step.

    Attributes:
        step: counted from 1.
        agreement: at most 1.
    """

    step: int
    agreement: float


def monitored_cluster_counts(clusters: int | None) -> tuple[int, ...]:
    """Return the numbers of clusters to evaluate, from the final number where it is known.

    A single clustering may be lucky; the mean over several numbers of clusters varies less.

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
    """Cluster codes, and return how well neighbours in the features stay together, at most 1.

    The best of several starts counts, and the mean over the numbers of clusters.

    Args:
        codes: shape (locations, channels).
        neighbours: neighbours of each location, shape (locations, count).
        clusters: numbers of clusters to evaluate.
        seed: seed of the clustering.
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
        locations: locations to monitor.
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
        """Measure the agreement at a step, counted from 1, if it is due.

        Of processes that train together, the first measures for all. Modules in training mode are
        left in it.
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
        """Restore an interrupted run's history, from :meth:`history_as_json`, and best state."""
        self.agreement_history = [
            AgreementRecord(int(step), float(agreement)) for step, agreement in json.loads(history)
        ]
        self.best_state = dict(best_state)

    def _agreement(self, head: SegmentationHead) -> float:
        codes = self.locations.codes(head)
        return agreement_of_codes(codes, self.locations.neighbours, self.clusters)

"""Early stopping without labels.

The correspondence loss keeps falling long after the codes have started to degrade: eventually they
preserve only a few of the differences between features. A set of locations is therefore monitored.
At regular intervals their codes are clustered, and
:func:`~segdistill.objective.neighbour_agreement` measures how well the clusters keep neighbours in
the backbone's feature space together. Training ends when agreement has not improved for a number of
steps, and the head with the best agreement is kept.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

import torch

from segdistill.clustering.code_clusters import cluster_prototypes, nearest_centres, quantise_codes
from segdistill.features.extract import FeatureMaps
from segdistill.features.locations import sample_locations
from segdistill.features.preparation import FeaturePreparation
from segdistill.model.head import SegmentationHead
from segdistill.objective.neighbour_agreement import nearest_in_other_images, neighbour_agreement
from segdistill.processes import SINGLE_PROCESS, Group
from segdistill.runs.facts import AgreementRecord
from segdistill.training.modules import TrainingModules

MONITORED_LOCATIONS = 8_000
MONITORED_MAPS = 150
NEIGHBOURS = 10
PROTOTYPES = 256
RESTARTS = 8
MONITOR_EVERY = 25
FIRST_MONITORED_STEP = 50
PATIENCE_SHARE = 1 / 3
LEAST_PATIENCE = 50
MOST_PATIENCE = 150
"""Limits of the number of steps without a better agreement after which training ends."""

DEFAULT_CLUSTER_COUNTS = (6, 12, 24)
"""Numbers of clusters to evaluate while the number of classes is unknown."""


@dataclass(frozen=True)
class MonitoredLocations:
    """Locations and their nearest neighbours, used to evaluate codes without labels.

    Attributes:
        features: prepared features, shape (locations, channels).
        neighbours: indices of the most similar locations in other images, shape (locations,
            neighbours).
        matrix_type: the type of matrix products, if not that of the features.
    """

    features: torch.Tensor
    neighbours: torch.Tensor
    matrix_type: torch.dtype | None = None

    def codes(self, head: SegmentationHead) -> torch.Tensor:
        """Return a head's codes at the locations, shape (locations, code channels), on the CPU."""
        training = head.training
        device = next(head.parameters()).device
        with torch.no_grad():
            features = self.features.to(device)
            codes: torch.Tensor = head.eval()(features, matrix_type=self.matrix_type).float().cpu()
        head.train(training)
        return codes


def monitored_locations(
    maps: FeatureMaps, preparation: FeaturePreparation, *, seed: int
) -> MonitoredLocations:
    """Sample locations across the data set, and find their neighbours using all channels."""
    with torch.no_grad():
        locations = sample_locations(maps, MONITORED_LOCATIONS, seed=seed, max_maps=MONITORED_MAPS)
        similar = nearest_in_other_images(
            preparation.normalise(locations.features), locations.maps, NEIGHBOURS
        )
        return MonitoredLocations(
            preparation(locations.features), similar, maps.compute.matrix_type
        )


def agreement_scorer(
    head: SegmentationHead, locations: MonitoredLocations
) -> Callable[[torch.Tensor], float]:
    """Return a function that scores centres (unit vectors) by neighbour agreement."""
    codes = locations.codes(head)

    def score(centres: torch.Tensor) -> float:
        return neighbour_agreement((codes @ centres.mT).argmax(dim=1), locations.neighbours)

    return score


def monitored_cluster_counts(clusters: int | None) -> tuple[int, ...]:
    """Return the numbers of clusters to evaluate, based on the final number if it is known.

    The mean over several numbers of clusters varies less than the score of a single clustering.

    Example:
        >>> monitored_cluster_counts(11)
        (11, 16, 22)
    """
    if clusters is None:
        return DEFAULT_CLUSTER_COUNTS
    return clusters, clusters * 3 // 2, clusters * 2


def agreement_of_codes(
    codes: torch.Tensor, neighbours: torch.Tensor, clusters: Sequence[int]
) -> float:
    """Cluster codes, and return their agreement with neighbours in feature space, at most 1.

    The result is the mean over the numbers of clusters of the best agreement among several starts.

    Args:
        codes: codes of shape (locations, channels).
        neighbours: indices of the neighbours of each location, shape (locations, count).
    """
    prototypes, owners = quantise_codes(codes, count=PROTOTYPES, seed=0)
    agreements = []
    for number in clusters:
        possible = min(number, len(prototypes.shares))
        starts = cluster_prototypes(prototypes, possible, seed=0, restarts=RESTARTS)
        groups = [nearest_centres(prototypes, start)[owners] for start in starts]
        agreements.append(max(neighbour_agreement(group, neighbours) for group in groups))
    return fmean(agreements)


def best_record(agreement_history: Sequence[AgreementRecord]) -> AgreementRecord | None:
    """Return the record with the best agreement, the earliest if tied; ``None`` without records."""
    return max(agreement_history, key=lambda record: record.agreement, default=None)


def has_stopped_rising(agreement_history: Sequence[AgreementRecord]) -> bool:
    """Return whether agreement has not improved for a third of the steps that it took to get there.

    Codes that are best after 50 steps get 50 more, and codes that are best after 300 steps get 100:
    at least :data:`LEAST_PATIENCE` steps, and at most :data:`MOST_PATIENCE`. A slightly better
    agreement after a longer time is mostly chance.

    Example:
        >>> has_stopped_rising([AgreementRecord(50, 0.6), AgreementRecord(75, 0.5)])
        False
        >>> has_stopped_rising([AgreementRecord(50, 0.6), AgreementRecord(100, 0.5)])
        True
    """
    best = best_record(agreement_history)
    if best is None:
        return False
    patience = min(max(PATIENCE_SHARE * best.step, LEAST_PATIENCE), MOST_PATIENCE)
    return agreement_history[-1].step - best.step >= patience


def end_of_training(last_step: int, agreement_history: Sequence[AgreementRecord]) -> str:
    """Return a sentence with the step at which training ended and the step with the best codes.

    Example:
        >>> end_of_training(150, [AgreementRecord(75, 0.6), AgreementRecord(150, 0.5)])
        'Training stopped early at step 150; best codes from step 75.'
    """
    ended = "stopped early" if has_stopped_rising(agreement_history) else "ended"
    best = best_record(agreement_history)
    kept = "" if best is None else f"; best codes from step {best.step}"
    return f"Training {ended} at step {last_step}{kept}."


class EarlyStopping:
    """Monitors a head during training, and keeps the best state of all trained modules."""

    def __init__(self, locations: MonitoredLocations, clusters: Sequence[int]) -> None:
        self.locations = locations
        self.clusters = tuple(clusters)
        self.agreement_history: list[AgreementRecord] = []
        self.best_state: dict[str, torch.Tensor] = {}

    @property
    def best(self) -> AgreementRecord | None:
        """The record with the best agreement, the earliest if tied; ``None`` without records."""
        return best_record(self.agreement_history)

    @property
    def should_stop(self) -> bool:
        """Whether agreement has not improved for a while; see :func:`has_stopped_rising`."""
        return has_stopped_rising(self.agreement_history)

    def update(
        self, step: int, modules: TrainingModules, group: Group = SINGLE_PROCESS
    ) -> AgreementRecord | None:
        """Measure the agreement if it is due at a step, counted from 1.

        In distributed training, the first process measures for all. The training mode of the
        modules does not change.
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
        """Load the best state, if any, into the modules."""
        if self.best_state:
            modules.load_state_dict(self.best_state)

    def resume(
        self, history: Iterable[AgreementRecord], best_state: dict[str, torch.Tensor]
    ) -> None:
        """Restore an interrupted run: its history and best state."""
        self.agreement_history = list(history)
        self.best_state = dict(best_state)

    def _agreement(self, head: SegmentationHead) -> float:
        codes = self.locations.codes(head)
        return agreement_of_codes(codes, self.locations.neighbours, self.clusters)

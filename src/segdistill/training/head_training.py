"""Training of a head: preparation, the training loop, its log and checkpoints."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from segdistill.config.settings import DEFAULT_CLASSES, FitSettings
from segdistill.decoding.decode import content_hash
from segdistill.features.extract import FeatureMaps
from segdistill.features.neighbours import mean_descriptors, nearest_neighbours
from segdistill.features.preparation import FeaturePreparation
from segdistill.files import translate_os_errors
from segdistill.layout import LOG_FOLDER
from segdistill.model.head import SegmentationHead
from segdistill.model.linear_probe import LinearProbe
from segdistill.objective.stego import Shifts
from segdistill.runs.facts import AgreementRecord
from segdistill.runs.folder import RunFolder
from segdistill.runs.history import StepRecord
from segdistill.training.batches import Batch
from segdistill.training.checkpoint import read_checkpoint, write_checkpoint
from segdistill.training.early_stopping import (
    EarlyStopping,
    MonitoredLocations,
    end_of_training,
    monitored_cluster_counts,
    monitored_locations,
)
from segdistill.training.log import TrainingLog
from segdistill.training.loop import seeded, train
from segdistill.training.modules import TrainingModules
from segdistill.training.training_set import (
    AuxiliaryInputs,
    TrainingSet,
    training_set,
)

logger = logging.getLogger("segdistill")

CHECKPOINT_SECONDS = 10.0
"""Time after which a checkpoint is due, regardless of the number of steps."""


class StageTimer:
    """Times consecutive stages."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def record(self, stage: str) -> None:
        """Record the end of a stage and start timing the next."""
        now = time.perf_counter()
        self.seconds[stage] = round(now - self._last, 3)
        self._last = now


@dataclass(frozen=True)
class TrainedHead:
    """The result of training; fields keep their defaults if no head was trained.

    Attributes:
        head: the trained head, on the CPU.
        probe: prototypes of the objective, or else centres of the cluster probe, shape (clusters,
            code channels).
        linear: the linear probe trained along with the head, if requested.
        history: the losses of every step.
        shifts: shifts of the correspondence loss, if the objective has one.
        locations: the locations at which codes were evaluated.
        agreement_history: neighbour agreement at the monitored steps, with early stopping.
        kept_step: the step whose codes were kept, with early stopping.
        streamed: the number of feature maps of augmented copies that did not fit in the store.
    """

    head: SegmentationHead | None = None
    probe: torch.Tensor | None = None
    linear: LinearProbe | None = None
    history: list[StepRecord] = field(default_factory=list)
    shifts: Shifts | None = None
    locations: MonitoredLocations | None = None
    agreement_history: Sequence[AgreementRecord] = ()
    kept_step: int | None = None
    streamed: int = 0


def train_head(
    maps: FeatureMaps,
    preparation: FeaturePreparation,
    settings: FitSettings,
    auxiliary: AuxiliaryInputs,
    timer: StageTimer,
    *,
    run: RunFolder | None,
    progress: bool = False,
) -> TrainedHead:
    """Train a head on feature maps, stored as far as space allows.

    The time of each stage is recorded in ``timer``. Without ``run``, no checkpoints or log are
    written.
    """
    group = maps.compute.group
    neighbours = group.from_first(
        lambda: nearest_neighbours(
            mean_descriptors(maps, preparation, progress=progress),
            settings.training.neighbours,
            seed=settings.seed,
            progress=progress,
        )
    )
    timer.record("neighbours")
    data = training_set(maps, neighbours, preparation, auxiliary, settings)
    streamed = 0
    if data.copies is not None:
        streamed = data.copies.fill_store(label="Features, augmented copies", progress=progress)
        timer.record("augmented copies")
    if data.depth is not None:
        data.depth.fill_store(progress=progress)
        timer.record("depth")
    group.barrier()
    label_classes = None if data.labels is None else data.labels.files.classes
    clusters = cluster_count(settings)
    with seeded(settings.seed):
        modules = TrainingModules(
            preparation.channels, clusters, settings, label_classes=label_classes
        )
    if modules.linear is not None and data.labels is not None:
        modules.linear.names = data.labels.files.names
    modules.objective.prepare(modules.head, data)
    locations, stopping = None, None
    stops_early = settings.training.steps is None
    if stops_early or settings.clustering == "kmeans":
        locations = group.from_first(
            lambda: monitored_locations(maps, preparation.cpu(), seed=settings.seed)
        )
        timer.record("monitored locations")
    if stops_early and locations is not None:
        known = None if settings.estimates_classes else clusters
        stopping = EarlyStopping(locations, monitored_cluster_counts(known))
    history = _train_and_log(modules, data, settings, stopping, run=run, progress=progress)
    modules.cpu()
    timer.record("training")
    agreement_history: tuple[AgreementRecord, ...] = ()
    kept_step = None
    if stopping is not None:
        stopping.restore_best(modules)
        agreement_history = tuple(stopping.agreement_history)
        kept_step = None if stopping.best is None else stopping.best.step
        if kept_step is not None and history:
            logger.info(end_of_training(history[-1].step, agreement_history))
    prototypes = modules.objective.prototypes()
    return TrainedHead(
        modules.head,
        (modules.centres if prototypes is None else prototypes).detach(),
        modules.linear,
        history,
        modules.objective.shifts,
        locations,
        agreement_history,
        kept_step,
        streamed,
    )


def _train_and_log(
    modules: TrainingModules,
    data: TrainingSet,
    settings: FitSettings,
    stopping: EarlyStopping | None,
    *,
    run: RunFolder | None,
    progress: bool,
) -> list[StepRecord]:
    """Train, resuming from the run folder's checkpoint if there is one, and log every step.

    Returns the losses of every step, including those before an interruption.
    """
    compute, group = data.maps.compute, data.maps.compute.group
    optimiser = modules.to(compute.device).optimiser(settings)
    images = data_fingerprint(data.maps)
    history = []
    if run is not None:
        history = read_checkpoint(run, modules, optimiser, images=images, stopping=stopping)
    # Every process must read the checkpoint before the first one writes the next.
    group.barrier()
    first_step = len(history)
    log = None
    if run is not None and group.is_first:
        log = TrainingLog(run.path / LOG_FOLDER, first_step=first_step)
    written = time.monotonic()

    def on_step(record: StepRecord, batch: Batch) -> None:
        history.append(record)
        agreement = None if stopping is None else stopping.update(record.step, modules, group)
        if run is None or log is None:
            return
        log.losses(record, agreement)
        is_due = record.step % settings.training.checkpoint_every == 0
        if is_due:
            log.histograms(record.step, modules, batch, data)
            log.panels(record.step, modules, data)
        if is_due or time.monotonic() - written >= CHECKPOINT_SECONDS:
            checkpoint(run)

    def checkpoint(run: RunFolder) -> None:
        nonlocal written
        write_checkpoint(run, modules, optimiser, history, images=images, stopping=stopping)
        written = time.monotonic()

    try:
        with translate_os_errors(Path() if run is None else run.path):
            train(
                modules,
                optimiser,
                data,
                settings,
                compute,
                first_step=first_step,
                on_step=on_step,
                should_stop=lambda: stopping is not None and stopping.should_stop,
                progress=progress,
            )
            if run is not None and log is not None and history:
                # Clustering may be interrupted as well.
                checkpoint(run)
                log.settings(settings, history[-1])
    finally:
        if log is not None:
            log.close()
    return history


def cluster_count(settings: FitSettings) -> int:
    """Return the number of clusters to find: classes plus extra clusters.

    If the number of classes is yet to be estimated, the default is used: only the cluster probe
    needs a number during training, and nothing else depends on it.
    """
    classes = DEFAULT_CLASSES if settings.classes is None else settings.classes
    return classes + settings.extra_clusters


def data_fingerprint(maps: FeatureMaps) -> str:
    """Return a fingerprint of the backbone and the images, their order and their input size."""
    text = " ".join([maps.backbone.fingerprint, *(view.key for view in maps.views)])
    return content_hash(text.encode())

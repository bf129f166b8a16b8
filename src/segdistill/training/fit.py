"""From checked images to a Segmenter."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from segdistill.backbones import Backbone
from segdistill.config.settings import FitSettings
from segdistill.devices import Compute
from segdistill.files import translate_os_errors
from segdistill.images.folder import CheckedImage
from segdistill.model.description import SegmenterSettings, numbered_classes
from segdistill.model.head import SegmentationHead
from segdistill.model.linear_probe import LinearProbe
from segdistill.model.segmenter import Segmenter
from segdistill.objective.stego import Shifts
from segdistill.training.calibration import calibrate_shifts
from segdistill.training.class_count import ClassCount
from segdistill.training.early_stopping import (
    CLUSTER_NUMBERS,
    EarlyStopping,
    Look,
)
from segdistill.training.log import TrainingLog
from segdistill.training.loop import Step, StepRecord, seeded, train
from segdistill.training.run_folder import LOG_FOLDER, RunFolder
from segdistill.training.stages import (
    ALONE,
    Company,
    cluster,
    cluster_count,
    data_fingerprint,
    feature_maps,
    find_neighbours,
    prepare,
    training_set,
)
from segdistill.training.trainee import Trainee
from segdistill.training.training_set import TrainingSet
from segdistill.training.watched_places import WatchedPlaces, watched_places


@dataclass
class Learned:
    """What a fit gives.

    Attributes:
        segmenter: the model.
        history: the losses of every step.
        shifts: of the correspondence loss; none where only k-means ran.
        seconds: time spent in each stage.
        streamed: feature maps that the store had no room for.
        linear_probe: trained beside the head, where it was asked for.
        class_count: how the number of classes was estimated, where it was not given.
        looks: how good codes were at some steps, where training ended by itself.
        kept_step: the step whose codes were kept, where training ended by itself.
    """

    segmenter: Segmenter
    history: list[StepRecord] = field(default_factory=list)
    shifts: Shifts | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    streamed: int = 0
    linear_probe: LinearProbe | None = None
    class_count: ClassCount | None = None
    looks: Sequence[Look] = ()
    kept_step: int | None = None


def learn(
    images: Sequence[CheckedImage],
    backbone: Backbone,
    settings: FitSettings,
    compute: Compute,
    *,
    company: Company = ALONE,
    run: RunFolder | None = None,
    progress: bool = False,
) -> Learned:
    """Learn a Segmenter from images.

    Args:
        images: that were decoded once already.
        backbone: frozen.
        settings: validated.
        compute: device and precision.
        company: what comes with the images.
        run: where checkpoints and the log go; nothing is written without.
        progress: show progress bars.

    Raises:
        UserError: there are too few images, or more classes than places in them.
    """
    clock = _Stopwatch()
    maps = feature_maps(images, backbone, settings, compute)
    backbone.to(compute.device)
    streamed = maps.fill_store(progress=progress)
    clock.lap("features")
    preparation = prepare(maps, backbone, settings)
    clock.lap("statistics")
    history: list[StepRecord] = []
    shifts: Shifts | None = None
    head: SegmentationHead | None = None
    probe: torch.Tensor | None = None
    linear: LinearProbe | None = None
    stopping: EarlyStopping | None = None
    places: WatchedPlaces | None = None
    if settings.method == "stego":
        neighbours = find_neighbours(maps, preparation, settings, progress=progress)
        clock.lap("neighbours")
        data = training_set(maps, neighbours, preparation, company, settings)
        if data.copies is not None:
            streamed += data.copies.fill_store(progress=progress)
            clock.lap("augmented copies")
        if data.depth is not None:
            data.depth.fill_store(progress=progress)
            clock.lap("depth")
        shifts = calibrate_shifts(data, settings)
        with seeded(settings.seed):
            trainee = Trainee(
                preparation.channels,
                cluster_count(settings),
                settings,
                label_classes=None if data.labels is None else data.labels.classes,
            )
        if settings.training.steps is None or settings.clustering == "kmeans":
            places = watched_places(maps, preparation.cpu(), seed=settings.seed)
            clock.lap("places to watch")
        if settings.training.steps is None and places is not None:
            known = None if settings.estimates_classes else [cluster_count(settings)]
            stopping = EarlyStopping(places, known or CLUSTER_NUMBERS)
        history = train_and_log(
            trainee, data, shifts, settings, compute, stopping, run=run, progress=progress
        )
        trainee.cpu()
        if stopping is not None:
            stopping.restore_best(trainee)
        head, probe, linear = trainee.head, trainee.centres.detach(), trainee.linear
        clock.lap("training")
    clustering = cluster(
        maps, preparation.cpu(), head, probe, settings, places=places, progress=progress
    )
    centres = clustering.centres
    clock.lap("clustering")
    segmenter_settings = SegmenterSettings(
        resolution=settings.segment_resolution or settings.resolution or backbone.resolution,
        classes=numbered_classes(len(centres)),
        training={
            "images": len(images),
            "method": settings.method,
            "shifts": None if shifts is None else asdict(shifts),
        },
    )
    segmenter = Segmenter(
        backbone, preparation, head, centres, segmenter_settings, clustering.prototypes
    )
    segmenter.place(settings.device, settings.precision)
    best = None if stopping is None else stopping.best
    return Learned(
        segmenter,
        history,
        shifts,
        clock.seconds,
        streamed,
        linear,
        clustering.class_count,
        looks=() if stopping is None else tuple(stopping.looks),
        kept_step=None if best is None else best.step,
    )


def train_and_log(
    trainee: Trainee,
    data: TrainingSet,
    shifts: Shifts,
    settings: FitSettings,
    compute: Compute,
    stopping: EarlyStopping | None = None,
    *,
    run: RunFolder | None,
    progress: bool = False,
) -> list[StepRecord]:
    """Train, going on from the run folder's checkpoint if there is one, and log every step.

    Args:
        trainee: changed in place.
        data: what to learn from.
        shifts: of the correspondence loss.
        settings: of the fit.
        compute: device and precision.
        stopping: tells when to end; without it all steps are taken.
        run: where checkpoints and the log go; nothing is written without.
        progress: show a progress bar.

    Returns:
        The losses of every step, those before a break included.
    """
    optimiser = trainee.to(compute.device).optimiser(settings)
    images = data_fingerprint(data.maps)
    history = []
    if run is not None:
        history = run.read_checkpoint(trainee, optimiser, images=images, stopping=stopping)
    first_step = len(history)
    log = None if run is None else TrainingLog(run.path / LOG_FOLDER, first_step=first_step)

    def on_step(step: Step) -> None:
        record = step.record
        history.append(record)
        look = None if stopping is None else stopping.watch(record.step, trainee)
        if run is None or log is None:
            return
        log.losses(record)
        if look is not None:
            log.agreement(look)
        if record.step % settings.training.checkpoint_every == 0:
            log.correlations(record.step, trainee, step.batch, data, settings)
            log.panels(record.step, trainee, data)
            write_checkpoint(run)

    def write_checkpoint(run: RunFolder) -> None:
        run.write_checkpoint(trainee, optimiser, history, images=images, stopping=stopping)

    try:
        with translate_os_errors(Path() if run is None else run.path):
            train(
                trainee,
                optimiser,
                data,
                shifts,
                settings,
                compute,
                first_step=first_step,
                on_step=on_step,
                is_over=lambda: stopping is not None and stopping.is_over,
                progress=progress,
            )
            if run is not None and log is not None and history:
                # Clustering may be broken off, too.
                write_checkpoint(run)
                log.settings(settings.as_plain(), history[-1])
    finally:
        if log is not None:
            log.close()
    return history


class _Stopwatch:
    """Times stages that follow each other."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self.seconds[stage] = round(now - self._last, 3)
        self._last = now

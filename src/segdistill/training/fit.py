"""From checked images to a Segmenter."""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import nn
from torch.utils.tensorboard import SummaryWriter

from segdistill.backbones import Backbone
from segdistill.config.settings import DEFAULT_CLASSES, FitSettings
from segdistill.devices import Compute
from segdistill.errors import UserError
from segdistill.features.extract import FeatureMaps, views_of
from segdistill.features.neighbours import nearest_neighbours
from segdistill.features.places import spread_places
from segdistill.features.preparation import FeaturePreparation, fit_preparation, mean_descriptor
from segdistill.features.store import GIGABYTE, FeatureStore
from segdistill.files import translate_os_errors
from segdistill.images.folder import CheckedImage
from segdistill.images.resize import Viewing, crops_of
from segdistill.model.description import SegmenterSettings, numbered_classes
from segdistill.model.head import SegmentationHead
from segdistill.model.segmenter import Segmenter
from segdistill.objective.stego import Shifts
from segdistill.progress import progress_bar
from segdistill.training.clustering import order_by_share, spherical_kmeans
from segdistill.training.loop import (
    StepRecord,
    Trainee,
    TrainingSet,
    calibrate_shifts,
    seeded,
    train,
)
from segdistill.training.run_folder import LOG_FOLDER, RunFolder

STATISTICS_PLACES = 100_000
STATISTICS_MAPS = 1_000
CLUSTERING_PLACES = 100_000
CLUSTERING_MAPS = 4_000


@dataclass
class Learned:
    """What a fit gives.

    Attributes:
        segmenter: the model.
        history: the losses of every step.
        shifts: of the correspondence loss; none where only k-means ran.
        seconds: time spent in each stage.
        streamed: feature maps that the store had no room for.
    """

    segmenter: Segmenter
    history: list[StepRecord] = field(default_factory=list)
    shifts: Shifts | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    streamed: int = 0


def learn(
    images: Sequence[CheckedImage],
    backbone: Backbone,
    settings: FitSettings,
    compute: Compute,
    *,
    run: RunFolder | None = None,
    progress: bool = False,
) -> Learned:
    """Learn a Segmenter from images.

    Args:
        images: that were decoded once already.
        backbone: frozen.
        settings: validated.
        compute: device and precision.
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
    if settings.method == "stego":
        neighbours = find_neighbours(maps, preparation, settings, progress=progress)
        clock.lap("neighbours")
        shifts = calibrate_shifts(maps, neighbours, preparation, settings)
        with seeded(settings.seed):
            trainee = Trainee(preparation.channels, class_count(settings), settings)
        data = TrainingSet(maps, neighbours, preparation, shifts)
        history = train_and_log(trainee, data, settings, compute, run=run, progress=progress)
        head, probe = trainee.head.cpu(), trainee.centres.detach().cpu()
        clock.lap("training")
    centres = cluster(maps, preparation.cpu(), head, probe, settings, progress=progress)
    clock.lap("clustering")
    segmenter_settings = SegmenterSettings(
        resolution=settings.segment_resolution or settings.resolution or backbone.resolution,
        classes=numbered_classes(class_count(settings)),
        training={
            "images": len(images),
            "method": settings.method,
            "shifts": None if shifts is None else asdict(shifts),
        },
    )
    segmenter = Segmenter(backbone, preparation, head, centres, segmenter_settings)
    segmenter.place(settings.device, settings.precision)
    return Learned(segmenter, history, shifts, clock.seconds, streamed)


def class_count(settings: FitSettings) -> int:
    """Return the number of classes to find."""
    return DEFAULT_CLASSES if settings.classes is None else settings.classes


def feature_maps(
    images: Sequence[CheckedImage], backbone: Backbone, settings: FitSettings, compute: Compute
) -> FeatureMaps:
    """Return the feature maps of all views of the images, none worked out yet."""
    views = views_of(
        images,
        crops_of(settings.crops),
        Viewing(
            settings.resolution or backbone.resolution,
            backbone.size_multiple,
            square=settings.square,
            resampling=settings.resampling,
        ),
    )
    store = FeatureStore(
        settings.cache.folder, max_bytes=int(settings.cache.max_gigabytes * GIGABYTE)
    )
    return FeatureMaps(views, backbone, store, compute)


def check_enough(maps: FeatureMaps, settings: FitSettings) -> None:
    """Check that there is enough to learn from.

    Raises:
        UserError: fewer than two views, or fewer places than classes.
    """
    if len(maps) < 2 and settings.method == "stego":
        raise UserError("one image is too few to compare; give more, or add --crops five")
    places = sum(height * width for height, width in map(maps.grid, range(len(maps))))
    classes = class_count(settings)
    if places < classes:
        raise UserError(
            f"--classes {classes}: the images have only {places} places to tell apart;"
            " give more images or ask for fewer classes"
        )


def prepare(maps: FeatureMaps, backbone: Backbone, settings: FitSettings) -> FeaturePreparation:
    """Fit the preparation of features to places spread over the data set."""
    places = spread_places(maps, STATISTICS_PLACES, seed=settings.seed, max_maps=STATISTICS_MAPS)
    return fit_preparation(
        places,
        backbone.channel_groups,
        standardise=backbone.standardise,
        components=settings.components or None,
    )


def find_neighbours(
    maps: FeatureMaps,
    preparation: FeaturePreparation,
    settings: FitSettings,
    *,
    progress: bool = False,
) -> torch.Tensor:
    """Return the nearest neighbours of every view, shape (views, count)."""
    descriptors = []
    with progress_bar("Finding neighbours", len(maps), shown=progress) as advance:
        for index in range(len(maps)):
            raw = torch.from_numpy(maps[index].copy()).float()
            # Without rotation: neighbours are found as STEGO does, by the features themselves.
            descriptors.append(mean_descriptor([preparation.normalise(raw)]))
            advance(1)
    return nearest_neighbours(torch.cat(descriptors), settings.training.neighbours)


def cluster(
    maps: FeatureMaps,
    preparation: FeaturePreparation,
    head: SegmentationHead | None,
    probe: torch.Tensor | None,
    settings: FitSettings,
    *,
    progress: bool = False,
) -> torch.Tensor:
    """Return cluster centres, the largest cluster first.

    Args:
        maps: raw feature maps.
        preparation: of the features.
        head: trained, or ``None`` to cluster prepared features.
        probe: centres learned by gradient, or ``None``.
        settings: of the fit.
        progress: show a progress bar.

    Returns:
        Unit vectors of shape (classes, code channels).
    """

    def encode(places: torch.Tensor) -> torch.Tensor:
        codes: torch.Tensor = preparation(places)
        return codes if head is None else head(codes)

    with torch.inference_mode():
        codes = spread_places(
            maps,
            CLUSTERING_PLACES,
            seed=settings.seed + 1,
            max_maps=CLUSTERING_MAPS,
            function=encode,
            description="Clustering",
            progress=progress,
        )
        if settings.clustering == "probe" and probe is not None:
            unit = nn.functional.normalize(probe, dim=1)
            return order_by_share(unit, codes)
        return spherical_kmeans(codes, class_count(settings), seed=settings.seed)


def data_fingerprint(maps: FeatureMaps) -> str:
    """Return a fingerprint of the images, their order and the size at which they are seen."""
    text = " ".join(view.key for view in maps.views)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def train_and_log(
    trainee: Trainee,
    data: TrainingSet,
    settings: FitSettings,
    compute: Compute,
    *,
    run: RunFolder | None,
    progress: bool = False,
) -> list[StepRecord]:
    """Train, going on from the run folder's checkpoint if there is one, and log every step.

    Args:
        trainee: changed in place.
        data: what to learn from.
        settings: of the fit.
        compute: device and precision.
        run: where checkpoints and the log go; nothing is written without.
        progress: show a progress bar.

    Returns:
        The losses of every step, those before a break included.
    """
    optimiser = trainee.to(compute.device).optimiser(settings)
    images = data_fingerprint(data.maps)
    history = [] if run is None else run.read_checkpoint(trainee, optimiser, images=images)
    first_step = len(history)
    writer = (
        None
        if run is None
        else SummaryWriter(str(run.path / LOG_FOLDER), purge_step=first_step or None)
    )

    def on_step(record: StepRecord, trainee: Trainee, optimiser: torch.optim.Adam) -> None:
        history.append(record)
        if run is None or writer is None:
            return
        for name, value in asdict(record).items():
            if name != "step":
                writer.add_scalar(f"loss/{name}", value, record.step)
        if record.step % settings.training.checkpoint_every == 0:
            run.write_checkpoint(trainee, optimiser, history, images=images)

    place = Path() if run is None else run.path
    try:
        with translate_os_errors(place):
            train(
                trainee,
                optimiser,
                data,
                settings,
                compute,
                first_step=first_step,
                on_step=on_step,
                progress=progress,
            )
            if run is not None and history:
                # Clustering may be broken off, too.
                run.write_checkpoint(trainee, optimiser, history, images=images)
    finally:
        if writer is not None:
            writer.close()
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

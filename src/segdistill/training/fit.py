"""Fitting a Segmenter to checked images."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median

import torch
from torch import nn

from segdistill.backbones import Backbone
from segdistill.clustering.class_count import estimate_class_count
from segdistill.clustering.code_clusters import (
    cluster_prototypes,
    order_by_share,
    quantise_codes,
    refine_clusters,
)
from segdistill.clustering.levels import levels_of_prototypes
from segdistill.clustering.proposals import read_code_maps
from segdistill.config.settings import FitSettings
from segdistill.decoding.decode import content_hash
from segdistill.devices import Compute
from segdistill.errors import UserError
from segdistill.features.extract import FeatureMaps
from segdistill.features.locations import sample_locations
from segdistill.features.preparation import FeaturePreparation, fit_preparation
from segdistill.features.store import GIGABYTE, FeatureStore
from segdistill.features.views import View, views_of
from segdistill.images.folder import CheckedImage
from segdistill.images.resize import Viewing
from segdistill.model.description import SegmenterSettings, numbered_classes
from segdistill.model.levels import Levels, grouped_classes
from segdistill.model.linear_probe import LinearProbe
from segdistill.model.prototypes import Prototypes
from segdistill.model.segmenter import Segmenter
from segdistill.objective.stego import Shifts
from segdistill.processes import Group
from segdistill.runs.facts import AgreementRecord, ClassCount
from segdistill.runs.folder import RunFolder
from segdistill.runs.history import StepRecord
from segdistill.training.early_stopping import agreement_scorer
from segdistill.training.head_training import (
    StageTimer,
    TrainedHead,
    cluster_count,
    train_head,
)
from segdistill.training.training_set import NO_AUXILIARY_INPUTS, AuxiliaryInputs

STATISTICS_LOCATIONS = 100_000
STATISTICS_MAPS = 1_000
CLUSTERING_LOCATIONS = 100_000
CLUSTERING_MAPS = 4_000
FEWEST_CLASSES = 2


@dataclass(frozen=True)
class FitResult:
    """The result of a fit.

    Attributes:
        segmenter: the fitted model.
        history: the losses of every step.
        shifts: shifts of the correspondence loss; ``None`` if only k-means ran.
        seconds: the time spent in each stage.
        streamed: the number of feature maps that did not fit in the store.
        damaged: the number of entries of the store that were damaged, and computed again.
        linear_probe: the linear probe trained along with the head, if requested.
        class_count: the estimate of the number of classes, if it was not given.
        agreement_history: neighbour agreement at the monitored steps, with early stopping.
        kept_step: the step whose codes were kept, with early stopping.
    """

    segmenter: Segmenter
    history: list[StepRecord]
    shifts: Shifts | None
    seconds: dict[str, float]
    streamed: int
    damaged: int
    linear_probe: LinearProbe | None
    class_count: ClassCount | None
    agreement_history: Sequence[AgreementRecord]
    kept_step: int | None


def learn(
    images: Sequence[CheckedImage],
    backbone: Backbone,
    settings: FitSettings,
    compute: Compute,
    *,
    auxiliary: AuxiliaryInputs = NO_AUXILIARY_INPUTS,
    run: RunFolder | None = None,
    progress: bool = False,
) -> FitResult:
    """Fit a Segmenter to images that have already been checked.

    Without ``run``, no checkpoints or log are written.

    Raises:
        UserError: there are too few images, or fewer locations in them than classes.
    """
    timer = StageTimer()
    group = compute.group
    progress = progress and group.is_first
    maps = feature_maps(images, backbone, settings, compute)
    backbone.to(compute.device)
    streamed = maps.fill_store(progress=progress)
    group.barrier()
    timer.record("features")
    preparation = group.from_first(lambda: _prepare(maps, backbone, settings))
    timer.record("statistics")
    trained = TrainedHead()
    if settings.method == "stego":
        trained = train_head(
            maps, preparation, settings, auxiliary, timer, run=run, progress=progress
        )
    head, shifts = trained.head, trained.shifts
    clustering = group.from_first(
        lambda: _cluster(maps, preparation.cpu(), trained, settings, progress=progress)
    )
    timer.record("clustering")
    centres, prototypes, levels = clustering.centres, clustering.prototypes, clustering.levels
    code_maps = group.from_first(
        lambda: read_code_maps(maps, preparation.cpu(), head, prototypes, progress=progress)
    )
    timer.record("relating clusters")
    seen_at = settings.resolution or backbone.resolution
    resolution = settings.segment_resolution or seen_at
    described = SegmenterSettings(
        resolution=resolution,
        classes=numbered_classes(len(centres))
        if levels is None
        else grouped_classes(levels.medium),
        training={
            "images": len(images),
            "data_fingerprint": images_fingerprint(images),
            "method": settings.method,
            **({"objective": settings.objective.name} if settings.method == "stego" else {}),
            "shifts": None if shifts is None else asdict(shifts),
        },
        reading=images[0].reading,
        scale=median(view.scale for view in maps.views) * resolution / seen_at,
    )
    segmenter = Segmenter(
        backbone, preparation, head, centres, described, prototypes, levels, code_maps
    )
    segmenter.place_on(compute)
    return FitResult(
        segmenter,
        trained.history,
        shifts,
        timer.seconds,
        streamed + trained.streamed,
        len(set[str]().union(*group.gather(maps.store.damaged))),
        trained.linear,
        clustering.class_count,
        trained.agreement_history,
        trained.kept_step,
    )


def feature_maps(
    images: Sequence[CheckedImage], backbone: Backbone, settings: FitSettings, compute: Compute
) -> FeatureMaps:
    """Return the feature maps of all views of the images, without computing any."""
    views = views_of(
        images,
        Viewing(
            settings.resolution or backbone.resolution,
            backbone.size_multiple,
            square=settings.square,
            resampling=settings.resampling,
        ),
        crops=settings.crops,
        crop_ratio=settings.crop_ratio,
        seed=settings.seed,
    )
    stride = backbone.stride
    # A crop may lie in a gap.
    views = [view for view in views if _has_value(view, stride)]
    store = FeatureStore(
        settings.cache.folder, max_bytes=int(settings.cache.max_gigabytes * GIGABYTE)
    )
    return FeatureMaps(views, backbone, store, compute)


def _has_value(view: View, stride: int) -> bool:
    cells = view.valid_cells((view.size[0] // stride, view.size[1] // stride))
    return cells is None or bool(cells.any())


def check_enough(maps: FeatureMaps, settings: FitSettings) -> None:
    """Check that there is enough data to fit.

    Raises:
        UserError: fewer than two views, or fewer locations than classes.
    """
    if len(maps) < 2 and settings.method == "stego":
        raise UserError("one image is too few to compare; give more, or add --crops five")
    processes = maps.compute.group.size
    if len(maps) < processes and settings.method == "stego":
        raise UserError(
            f"{len(maps)} images are too few for {processes} processes; use fewer processes"
        )
    locations = sum(map(maps.locations, range(len(maps))))
    clusters = FEWEST_CLASSES if settings.estimates_classes else cluster_count(settings)
    if locations < clusters:
        raise UserError(
            f"--classes {clusters}: the images have only {locations} locations to distinguish;"
            " give more images or ask for fewer classes"
        )


def check_batch_size(settings: FitSettings, group: Group) -> None:
    """Check that each process has at least two images per step."""
    if settings.method == "stego" and settings.training.batch_size < 2 * group.size:
        raise UserError(
            f"--training.batch-size {settings.training.batch_size}: must be at least"
            f" {2 * group.size} for {group.size} processes, two images for each"
        )


def images_fingerprint(images: Sequence[CheckedImage]) -> str:
    """Return a fingerprint of the contents of images, independent of their names and order.

    Example:
        >>> from pathlib import Path
        >>> from segdistill.images.finding import ImageFile
        >>> a, b = (CheckedImage(ImageFile(Path(n), Path(n)), n, 1, 1) for n in "ab")
        >>> images_fingerprint([a, b]) == images_fingerprint([b, a]) != images_fingerprint([a])
        True
    """
    return content_hash(" ".join(sorted(image.digest for image in images)).encode())


def _prepare(maps: FeatureMaps, backbone: Backbone, settings: FitSettings) -> FeaturePreparation:
    """Fit the feature preparation to locations sampled across the data set."""
    locations = sample_locations(
        maps, STATISTICS_LOCATIONS, seed=settings.seed, max_maps=STATISTICS_MAPS
    )
    return fit_preparation(
        locations.features,
        backbone.channel_groups,
        standardise=backbone.standardise,
        components=settings.components or None,
    )


@dataclass(frozen=True)
class _Clustering:
    """The result of clustering.

    Attributes:
        centres: unit vectors of shape (clusters, code channels), largest cluster first.
        prototypes: prototypes from which other numbers of classes can be made.
        levels: the grouping of clusters into classes; ``None`` if each cluster is a class.
        class_count: the estimate of the number of classes; ``None`` if it was given.
    """

    centres: torch.Tensor
    prototypes: Prototypes
    levels: Levels | None = None
    class_count: ClassCount | None = None


def _cluster(
    maps: FeatureMaps,
    preparation: FeaturePreparation,
    trained: TrainedHead,
    settings: FitSettings,
    *,
    progress: bool = False,
) -> _Clustering:
    """Cluster codes, or features if there is no head, at locations sampled across the data set.

    The best of many clusterings is selected by neighbour agreement at the monitored locations, or
    without these, by its fit to the codes.
    """
    head, probe = trained.head, trained.probe

    def encode(locations: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = preparation(locations)
        if head is None:
            return features
        codes: torch.Tensor = head(features, matrix_type=maps.compute.matrix_type_on_cpu)
        return codes

    with torch.inference_mode():
        codes, images = sample_locations(
            maps,
            CLUSTERING_LOCATIONS,
            seed=settings.seed + 1,
            max_maps=CLUSTERING_MAPS,
            function=encode,
            description="Clustering",
            progress=progress,
        )
        quantised = quantise_codes(codes, seed=settings.seed)
        prototypes = quantised.prototypes
        if settings.clustering == "probe" and probe is not None:
            unit = nn.functional.normalize(probe, dim=1)
            return _Clustering(order_by_share(unit, codes), prototypes)
        class_count, classes, coarse = None, cluster_count(settings), None
        if settings.estimates_classes:
            class_count = estimate_class_count(
                codes, images, quantised, seed=settings.seed, progress=progress
            )
            classes = class_count.chosen + settings.extra_clusters
            coarse = class_count.coarse
        candidates = cluster_prototypes(prototypes, classes, seed=settings.seed)
        judge = None
        if head is not None and trained.locations is not None:
            judge = agreement_scorer(head, trained.locations)
        medium = refine_clusters(codes, candidates, seed=settings.seed, judge=judge)
        if settings.method == "kmeans":
            # The baseline is plain k-means: one centre per class.
            return _Clustering(medium, prototypes, None, class_count)
        centres, levels = levels_of_prototypes(
            prototypes, medium, coarse=coarse, seed=settings.seed
        )
        return _Clustering(centres, prototypes, levels, class_count)

"""The stages of a fit before and after training: features, statistics, neighbours, clusters."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from segdistill.backbones import Backbone
from segdistill.config.settings import DEFAULT_CLASSES, FitSettings
from segdistill.devices import Compute
from segdistill.errors import UserError
from segdistill.features.extract import FeatureMaps
from segdistill.features.locations import sample_locations
from segdistill.features.neighbours import mean_descriptors, nearest_neighbours
from segdistill.features.preparation import FeaturePreparation, fit_preparation
from segdistill.features.store import GIGABYTE, FeatureStore
from segdistill.features.views import views_of
from segdistill.images.folder import CheckedImage
from segdistill.images.resize import Viewing
from segdistill.model.head import SegmentationHead
from segdistill.model.levels import Levels
from segdistill.model.prototypes import Prototypes
from segdistill.processes import Group
from segdistill.training.class_count import ClassCount, estimate_class_count
from segdistill.training.clustering import (
    cluster_prototypes,
    order_by_share,
    quantise_codes,
    refine_clusters,
)
from segdistill.training.early_stopping import MonitoredLocations, agreement_scorer
from segdistill.training.levels import levels_of_prototypes

STATISTICS_LOCATIONS = 100_000
STATISTICS_MAPS = 1_000
CLUSTERING_LOCATIONS = 100_000
CLUSTERING_MAPS = 4_000
FEWEST_CLASSES = 2


def cluster_count(settings: FitSettings) -> int:
    """Return the number of clusters to find, classes and extra clusters, as far as it is known.

    Where the number of classes is yet to be estimated, the default stands in for it: training needs
    a number for its cluster probe, on which nothing else depends.
    """
    classes = DEFAULT_CLASSES if settings.classes is None else settings.classes
    return classes + settings.extra_clusters


def feature_maps(
    images: Sequence[CheckedImage], backbone: Backbone, settings: FitSettings, compute: Compute
) -> FeatureMaps:
    """Return the feature maps of all views of the images, none computed yet."""
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
    store = FeatureStore(
        settings.cache.folder, max_bytes=int(settings.cache.max_gigabytes * GIGABYTE)
    )
    return FeatureMaps(views, backbone, store, compute)


def check_enough(maps: FeatureMaps, settings: FitSettings) -> None:
    """Check that there is enough to learn from.

    Raises:
        UserError: fewer than two views, or fewer locations than classes.
    """
    if len(maps) < 2 and settings.method == "stego":
        raise UserError("one image is too few to compare; give more, or add --crops five")
    locations = sum(height * width for height, width in map(maps.grid, range(len(maps))))
    clusters = FEWEST_CLASSES if settings.estimates_classes else cluster_count(settings)
    if locations < clusters:
        raise UserError(
            f"--classes {clusters}: the images have only {locations} locations to distinguish;"
            " give more images or ask for fewer classes"
        )


def check_batch_size(settings: FitSettings, group: Group) -> None:
    """Check that each process has two images to compare in a step."""
    if settings.method == "stego" and settings.training.batch_size < 2 * group.size:
        raise UserError(
            f"--training.batch_size {settings.training.batch_size}: must be at least"
            f" {2 * group.size} for {group.size} processes, two images for each"
        )


def prepare(maps: FeatureMaps, backbone: Backbone, settings: FitSettings) -> FeaturePreparation:
    """Fit the preparation of features to locations spread over the data set."""
    locations = sample_locations(
        maps, STATISTICS_LOCATIONS, seed=settings.seed, max_maps=STATISTICS_MAPS
    )
    return fit_preparation(
        locations.features,
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
    descriptors = mean_descriptors(maps, preparation, progress=progress)
    count = settings.training.neighbours
    return nearest_neighbours(descriptors, count, seed=settings.seed, progress=progress)


@dataclass(frozen=True)
class Clustering:
    """What clustering gives.

    Attributes:
        centres: of the fine clusters, unit vectors of shape (clusters, code channels), the largest
            cluster first.
        prototypes: from which other numbers of classes can be made.
        levels: how fine clusters are grouped into classes; ``None`` where each cluster is a class.
        class_count: how the number of classes was estimated; ``None`` where it was given.
    """

    centres: torch.Tensor
    prototypes: Prototypes
    levels: Levels | None = None
    class_count: ClassCount | None = None


def cluster(
    maps: FeatureMaps,
    preparation: FeaturePreparation,
    head: SegmentationHead | None,
    probe: torch.Tensor | None,
    settings: FitSettings,
    *,
    locations: MonitoredLocations | None = None,
    progress: bool = False,
) -> Clustering:
    """Cluster the codes of locations spread over the data set.

    Args:
        maps: raw feature maps.
        preparation: of the features.
        head: trained, or ``None`` to cluster prepared features.
        probe: centres learned by gradient, or ``None``.
        settings: of the fit.
        locations: by whose neighbours the clustering is chosen among many; without them, and
            without a head, it is the one that fits the codes best.
        progress: show a progress bar.
    """

    def encode(locations: torch.Tensor) -> torch.Tensor:
        codes: torch.Tensor = preparation(locations)
        return codes if head is None else head(codes)

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
            return Clustering(order_by_share(unit, codes), prototypes)
        class_count, classes, coarse = None, cluster_count(settings), None
        if settings.estimates_classes:
            class_count = estimate_class_count(codes, images, quantised, seed=settings.seed)
            classes = class_count.chosen + settings.extra_clusters
            coarse = class_count.coarse
        candidates = cluster_prototypes(prototypes, classes, seed=settings.seed)
        judge = None if head is None or locations is None else agreement_scorer(head, locations)
        medium = refine_clusters(codes, candidates, seed=settings.seed, judge=judge)
        if settings.method == "kmeans":
            # The baseline stays what its name says: one centre per class.
            return Clustering(medium, prototypes, None, class_count)
        centres, levels = levels_of_prototypes(
            prototypes, medium, coarse=coarse, seed=settings.seed
        )
        return Clustering(centres, prototypes, levels, class_count)


def data_fingerprint(maps: FeatureMaps) -> str:
    """Return a fingerprint of the backbone and of the images, their order and the size seen."""
    text = " ".join([maps.backbone.fingerprint, *(view.key for view in maps.views)])
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

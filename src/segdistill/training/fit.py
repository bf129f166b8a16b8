"""From checked images to a Segmenter."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median

from segdistill.backbones import Backbone
from segdistill.config.settings import FitSettings
from segdistill.devices import Compute
from segdistill.images.folder import CheckedImage
from segdistill.model.description import SegmenterSettings, numbered_classes
from segdistill.model.levels import grouped_classes
from segdistill.model.linear_probe import LinearProbe
from segdistill.model.segmenter import Segmenter
from segdistill.objective.stego import Shifts
from segdistill.training.class_count import ClassCount
from segdistill.training.early_stopping import AgreementRecord
from segdistill.training.head_training import StageTimer, TrainedHead, train_head
from segdistill.training.loop import StepRecord
from segdistill.training.proposals import read_code_maps
from segdistill.training.run_folder import RunFolder, images_fingerprint
from segdistill.training.stages import cluster, feature_maps, prepare
from segdistill.training.training_set import NO_AUXILIARY_INPUTS, AuxiliaryInputs


@dataclass(frozen=True)
class FitResult:
    """What a fit gives.

    Attributes:
        segmenter: the model.
        history: the losses of every step.
        shifts: of the correspondence loss; ``None`` where only k-means ran.
        seconds: time spent in each stage.
        streamed: feature maps that the store had no room for.
        linear_probe: trained beside the head, where it was asked for.
        class_count: how the number of classes was estimated, where it was not given.
        agreement_history: how good codes were at some steps, where training stopped early.
        kept_step: the step whose codes were kept, where training stopped early.
    """

    segmenter: Segmenter
    history: list[StepRecord]
    shifts: Shifts | None
    seconds: dict[str, float]
    streamed: int
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
    """Learn a Segmenter from images.

    Args:
        images: that were decoded once already.
        backbone: frozen.
        settings: validated.
        compute: device and precision.
        auxiliary: what comes with the images.
        run: where checkpoints and the log go; nothing is written without.
        progress: show progress bars.

    Raises:
        UserError: there are too few images, or more classes than locations in them.
    """
    timer = StageTimer()
    group = compute.group
    progress = progress and group.is_first
    maps = feature_maps(images, backbone, settings, compute)
    backbone.to(compute.device)
    streamed = maps.fill_store(progress=progress)
    group.barrier()
    timer.record("features")
    preparation = group.from_first(lambda: prepare(maps, backbone, settings))
    timer.record("statistics")
    trained = TrainedHead()
    if settings.method == "stego":
        trained = train_head(
            maps, preparation, settings, auxiliary, timer, run=run, progress=progress
        )
    head, shifts = trained.head, trained.shifts
    clustering = group.from_first(
        lambda: cluster(
            maps,
            preparation.cpu(),
            head,
            trained.probe,
            settings,
            locations=trained.locations,
            progress=progress,
        )
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
            "shifts": None if shifts is None else asdict(shifts),
        },
        raster=next((image.raster for image in images if image.raster is not None), None),
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
        trained.linear,
        clustering.class_count,
        trained.agreement_history,
        trained.kept_step,
    )

"""Exporting feature maps or codes of images."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, structs

from segdistill.api.common import Source
from segdistill.backbones import DEFAULT_BACKBONE
from segdistill.config.settings import DeviceName, EngineName, PrecisionName, Resolution
from segdistill.config.validation import checked
from segdistill.decoding.decode import content_hash
from segdistill.decoding.image_reading import ImageReading
from segdistill.engines.running import check_engine, run_work
from segdistill.errors import UserError
from segdistill.images.finding import output_names
from segdistill.images.folder import ImageFile, SkippedImage
from segdistill.inference.feature_maps import (
    FeatureExtractor,
    FeatureWork,
    load_feature_extractor,
)
from segdistill.inference.plan import OverwritePolicy, count_missing, find_sources, plan_outputs
from segdistill.json_files import Count, Text, as_checked_json, from_json
from segdistill.layout import FEATURES_FILE, WEIGHTS_FILE
from segdistill.locks import only_writer
from segdistill.storage import Folder, open_folder, read_text, with_absolute_path, write_text
from segdistill.version import __version__

SHARED_FIELDS = ("kind", "fingerprint", "model", "resolution", "reading")
"""Fields that all maps in a folder must share."""


class FeaturesRecord(Struct, frozen=True, kw_only=True):
    """The content of ``features.json``: what made the maps of a folder.

    Attributes:
        segdistill: version that wrote it.
        kind: ``features`` of a backbone or ``codes`` of a run.
        backbone: name of the backbone.
        fingerprint: fingerprint of its weights.
        model: fingerprint of the run's weights, for codes.
        licence: licence of the backbone's weights.
        resolution: shorter side of the backbone's input.
        reading: how the images were read; absent from maps of earlier versions.
        stride: side of a grid cell, in pixels of the resized image.
        layout: meaning of the dimensions of each map.
        channels: number of channels of each map.
        maps: number of maps, once all are written.
    """

    segdistill: Text = ""
    kind: Literal["features", "codes"]
    backbone: str = ""
    fingerprint: Text
    model: Text | None = None
    licence: Text = ""
    resolution: Annotated[int, Meta(ge=1, le=8192)]
    reading: ImageReading | None = None
    stride: Count = 0
    layout: tuple[Text, ...] = ("height", "width", "channels")
    channels: Count = 0
    maps: Count | UnsetType = UNSET


@dataclass
class ExtractedFeatures:
    """Result of :func:`extract_features`.

    Attributes:
        folder: output path or URL.
        channels: number of channels of each map.
        stride: side of a grid cell, in pixels of the resized image.
        written: number of maps written.
        kept: number of existing maps that were kept.
        skipped: images that could not be read.
    """

    folder: Path | str
    channels: int
    stride: int
    written: int = 0
    kept: int = 0
    skipped: list[SkippedImage] = field(default_factory=list)


def extract_features(
    sources: Source | Sequence[Source],
    out: Source,
    *,
    backbone: str | None = None,
    run: Source | None = None,
    resolution: int | None = None,
    engine: EngineName = "local",
    workers: int | None = None,
    overwrite: bool = False,
    resume: bool = False,
    strict: bool = False,
    device: DeviceName = "auto",
    precision: PrecisionName = "auto",
    value_range: str | None = None,
    progress: bool = False,
) -> ExtractedFeatures:
    """Write the feature map of each image as ``NAME.npy``, with metadata in ``features.json``.

    Maps are float16 arrays of shape (height, width, channels), on the backbone's grid. ``fit`` does
    not use them; it has its own feature store.

    Args:
        sources: folders, files, glob patterns or URLs of images.
        out: folder or URL for the maps, which mirror the folder tree of the images.
        backbone: backbone to extract features with; with a run, the new location of its backbone,
            if it has moved.
        run: run folder, to write the codes of its head instead of features.
        resolution: shorter side of the backbone's input; by default the backbone's own, or as in
            training.
        engine: ``local``, or ``ray`` to use Ray workers on this machine or a cluster.
        workers: number of Ray workers; by default one per GPU, or one per core.
        overwrite: replace existing maps.
        resume: keep existing maps and write the missing ones.
        strict: stop at the first image that cannot be read.
        device: device to compute on.
        precision: precision of matrix products.
        value_range: values that become black and white in images of more than 8 bits, such as
            ``-1024,3071``, unless the run has a range; by default chosen for each image.
        progress: show a progress bar.

    Raises:
        UserError: invalid input; the message says what is wrong and suggests a fix.
    """
    several = [sources] if isinstance(sources, str | Path) else list(sources)
    check_engine(engine, workers, [*several, out])
    checked(resolution, Resolution | None, "resolution")
    target = open_folder(out)
    work = FeatureWork(
        with_absolute_path(target),
        backbone or (None if run is not None else DEFAULT_BACKBONE),
        None if run is None else str(Path(run).absolute()),
        resolution,
        device,
        precision,
        value_range,
    )
    policy = OverwritePolicy(overwrite, resume)
    with only_writer(target.path):
        return _extract(
            several,
            target,
            work,
            policy,
            engine=engine,
            workers=workers,
            strict=strict,
            progress=progress,
        )


def _extract(
    sources: Sequence[Source],
    target: Folder,
    work: FeatureWork,
    policy: OverwritePolicy,
    *,
    engine: EngineName,
    workers: int | None,
    strict: bool,
    progress: bool,
) -> ExtractedFeatures:
    """Write the maps that a folder lacks, to which no other process writes."""
    images = find_sources(sources, target)
    plan = plan_outputs(
        images,
        [[[name.with_suffix(".npy")]] for name in output_names(images)],
        target,
        policy,
        summaries=[FEATURES_FILE],
        kind="maps",
    )
    # Loaded here even for Ray workers, so that errors are reported before they start.
    extractor = load_feature_extractor(
        work.backbone,
        work.run,
        work.resolution,
        "cpu" if engine == "ray" else work.device,
        work.precision,
        work.value_range,
    )
    if engine == "local":
        work = replace(work, extractor=extractor)
    record = _record(extractor, work.run)
    if plan.kept:
        _check_same_kind(record, target)
    if plan.items:
        # Written first, so that it describes the maps even if the process is killed.
        write_text(target, FEATURES_FILE, as_checked_json(record))
    done = ExtractedFeatures(
        target.path or target.address,
        extractor.channels,
        extractor.backbone.stride,
        kept=len(plan.kept),
    )
    with count_missing(plan.items, target, policy, "maps"):
        for result in run_work(
            work,
            plan.items,
            label="Extracting features",
            engine=engine,
            workers=workers,
            strict=strict,
            progress=progress,
        ):
            if result.reason:
                file = ImageFile(Path(result.name), Path(result.name))
                done.skipped.append(SkippedImage(file, result.reason))
            else:
                done.written += 1
    # Also if the process was killed after the last map.
    if done.written or done.kept:
        counted = structs.replace(record, maps=done.written + done.kept)
        write_text(target, FEATURES_FILE, as_checked_json(counted))
    return done


def _record(extractor: FeatureExtractor, run: str | None) -> FeaturesRecord:
    """Return what makes the maps, without their number."""
    return FeaturesRecord(
        segdistill=__version__,
        kind="features" if run is None else "codes",
        backbone=extractor.backbone.name,
        fingerprint=extractor.backbone.fingerprint,
        model=None if run is None else content_hash((Path(run) / WEIGHTS_FILE).read_bytes()),
        licence=extractor.backbone.licence,
        resolution=extractor.resolution,
        reading=extractor.reading,
        stride=extractor.backbone.stride,
        channels=extractor.channels,
    )


def _check_same_kind(record: FeaturesRecord, target: Folder) -> None:
    """Check that existing maps are of the same kind as those to be written.

    Raises:
        UserError: they are of another kind, or their kind is unknown.
    """
    fix = "add --overwrite, or choose another --out"
    known = from_json(
        read_text(target, FEATURES_FILE) or "null",
        FeaturesRecord,
        name=f"{target.address}/{FEATURES_FILE}",
        what="the existing maps",
        fix=fix,
    )
    differing = [name for name in SHARED_FIELDS if getattr(known, name) != getattr(record, name)]
    if differing:
        raise UserError(
            f"{target.address}: existing maps have another {' and '.join(differing)}; {fix}"
        )

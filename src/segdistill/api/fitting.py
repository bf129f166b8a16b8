"""Fitting a model to images."""

import logging
import shlex
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from segdistill.api.common import Source, image_files, with_changes
from segdistill.api.ignoring import with_ignore_masks
from segdistill.api.labelled import LabelledSet
from segdistill.api.training_inputs import find_auxiliary_inputs
from segdistill.backbones import (
    Backbone,
    check_backbone_name,
    load_backbone,
    require_attention,
)
from segdistill.config.settings import DEFAULT_CLASSES, FitSettings
from segdistill.devices import Compute, choose_compute
from segdistill.images.folder import (
    CheckedImage,
    ImageFile,
    SkippedImage,
    check_images,
)
from segdistill.images.reading_statistics import reading_of_files
from segdistill.layout import REPORT_FILE
from segdistill.locks import only_writer
from segdistill.model.linear_probe import write_linear_probe
from segdistill.model.segmenter import Segmenter
from segdistill.report.page import write_report
from segdistill.runs.facts import ClassCount, Facts, names_by_folder, skipped_files
from segdistill.runs.folder import RunFolder
from segdistill.training.environment import environment_facts
from segdistill.training.fit import (
    FitResult,
    check_batch_size,
    check_enough,
    feature_maps,
    learn,
)
from segdistill.training.objectives.registry import check_objective

logger = logging.getLogger("segdistill")


def fit(
    images: Source | Sequence[Source] | Sequence[ImageFile],
    *,
    settings: FitSettings | None = None,
    labelled: LabelledSet | None = None,
    depth_maps: Mapping[Path, Path] | None = None,
    out: Source | None = None,
    overwrite: bool = False,
    resume: bool = False,
    progress: bool = False,
    **changes: Any,
) -> Segmenter:
    """Learn to segment from a folder of images without labels.

    Args:
        images: a folder (searched recursively), a glob pattern, or a folder in STEGO's layout, of
            which ``imgs/train`` is used; or a list of these, or of image files.
        settings: all settings; by default those of :class:`FitSettings` or, with ``resume``, of the
            run.
        labelled: images with labels, instead of the setting ``labels``; read only if a setting
            needs labels.
        depth_maps: depth maps by image file, instead of ``depth.folder``.
        out: the run folder to write; without it, only the feature store is written.
        overwrite: replace the run in ``out``.
        resume: resume the interrupted run in ``out``.
        progress: show progress bars.
        **changes: settings that override ``settings``, such as ``classes=8`` or
            ``training=TrainingSettings(steps=500)``.

    Returns:
        The model.

    Raises:
        UserError: invalid input; the message says what is wrong and suggests a fix.
    """
    if resume and settings is None and out is not None and RunFolder(Path(out)).is_run:
        settings = RunFolder(Path(out)).read_settings()
    chosen = with_changes(settings, changes, FitSettings).validated()
    check_backbone_name(chosen.backbone)
    check_objective(chosen)
    compute = choose_compute(chosen.device, chosen.precision, distributed=True)
    data = _Data(images, labelled, depth_maps)
    if out is None:
        return _fit(data, chosen, compute, None, progress=progress)
    run, group = RunFolder(Path(out)), compute.group
    with ExitStack() as locks:
        # Before the folder is looked at: another fit may be about to write or to finish it.
        group.from_first(lambda: locks.enter_context(only_writer(run.path)))
        if resume and run.is_run:
            chosen = run.with_continued_settings(chosen).validated()
        if not (resume and run.is_finished):
            return _fit(
                data, chosen, compute, run, overwrite=overwrite, resume=resume, progress=progress
            )
        group.from_first(lambda: run.check(chosen, overwrite=False, resume=True))
        # The process may have been killed before this last step.
        group.from_first(run.finalise)
        logger.info("%s: the run is already finished", out)
        return Segmenter.load(run.path).place_on(compute)


@dataclass(frozen=True)
class _Data:
    """What a fit learns from, as given."""

    images: Source | Sequence[Source] | Sequence[ImageFile]
    labelled: LabelledSet | None
    depth_maps: Mapping[Path, Path] | None


def _fit(
    data: _Data,
    chosen: FitSettings,
    compute: Compute,
    run: RunFolder | None,
    *,
    overwrite: bool = False,
    resume: bool = False,
    progress: bool = False,
) -> Segmenter:
    """Fit a model, into a run folder that no other process writes to."""
    group = compute.group
    progress = progress and group.is_first
    files = image_files(data.images)
    if run is not None:
        group.from_first(lambda: run.check(chosen, overwrite=overwrite, resume=resume))
    group.from_first(lambda: check_batch_size(chosen, group))
    # Before the images are decoded, which may be slow, so that missing weights are reported early.
    backbone = _loaded(chosen)
    auxiliary = find_auxiliary_inputs(
        files, chosen, data.labelled, data.depth_maps, progress=progress
    )
    files = with_ignore_masks(files, chosen.ignore_mask)
    reading = group.from_first(lambda: reading_of_files(files, chosen.bands, chosen.value_range))
    checked, skipped = check_images(
        files, reading=reading, strict=chosen.strict, progress=progress, group=group
    )
    if skipped:
        logger.warning(
            "%d of %d images skipped; first: %s", len(skipped), len(files), skipped[0].reason
        )
    _announce_classes(chosen, checked)
    resolved = _resolved(chosen, backbone)
    # Before an earlier run is removed, so that it is kept if there are too few images.
    check_enough(feature_maps(checked, backbone, resolved, compute), resolved)
    if run is not None:
        group.from_first(lambda: run.begin(resolved, resume=resume))
    learned = learn(
        checked, backbone, resolved, compute, auxiliary=auxiliary, run=run, progress=progress
    )
    segmenter = learned.segmenter
    resolved = _with_class_count(resolved, learned.class_count)
    _announce_levels(segmenter, run)
    if learned.streamed:
        logger.warning(
            "%d feature maps did not fit in the feature store; raise --cache.max-gigabytes to make"
            " the next fit faster",
            learned.streamed,
        )
    if learned.damaged:
        logger.warning(
            "%d damaged %s of the feature store %s computed again",
            learned.damaged,
            "entry" if learned.damaged == 1 else "entries",
            "was" if learned.damaged == 1 else "were",
        )
    if run is not None:
        group.from_first(
            lambda: _finish(run, segmenter, learned, resolved, checked, skipped, progress=progress)
        )
    return segmenter


def _loaded(settings: FitSettings) -> Backbone:
    backbone = load_backbone(settings.backbone)
    if settings.wants_depth and settings.depth.hidden_positives == "attention":
        return require_attention(backbone)
    return backbone


def _resolved(settings: FitSettings, backbone: Backbone) -> FitSettings:
    """Fill in defaults, so that the run folder records the values used."""
    estimated = None if settings.estimates_classes else DEFAULT_CLASSES
    return replace(
        settings,
        classes=settings.classes or estimated,
        resolution=settings.resolution or backbone.resolution,
    )


def _announce_classes(settings: FitSettings, images: Sequence[CheckedImage]) -> None:
    if settings.estimates_classes:
        logger.info("--classes not given: the number of classes will be estimated")
        if len(images) > 1 and len({image.digest for image in images}) == 1:
            # Both halves of the images are the same, so any number of classes is reproducible.
            logger.warning(
                "all %d files are copies of one image, so the estimated number of classes means"
                " little; give --classes, or images that differ",
                len(images),
            )
    elif settings.classes is None:
        logger.info("--classes not given: finding %d classes", DEFAULT_CLASSES)


def _with_class_count(settings: FitSettings, class_count: ClassCount | None) -> FitSettings:
    """Fill in the estimated number of classes, if none was given."""
    if class_count is None:
        return settings
    if class_count.is_default:
        logger.warning(
            "no clear number of classes: at %d classes, clusterings of two halves of the images"
            " agree by only %.2f (1 is identical); using the default, %d",
            class_count.chosen,
            class_count.stability_of_chosen,
            class_count.chosen,
        )
    return replace(settings, classes=class_count.chosen)


def _announce_levels(segmenter: Segmenter, run: RunFolder | None) -> None:
    """Log the number of classes, and how to change the level."""
    levels = segmenter.levels
    if levels is None:
        return
    counts = levels.counts
    recluster = ["segdistill", "recluster", "RUN" if run is None else str(run.path)]
    logger.info(
        "%d classes (level medium; coarse has %d, fine %d); to change the level without"
        " retraining: %s",
        counts["medium"],
        counts["coarse"],
        counts["fine"],
        shlex.join([*recluster, "--level", "fine"]),
    )


def _finish(
    run: RunFolder,
    segmenter: Segmenter,
    learned: FitResult,
    settings: FitSettings,
    checked: Sequence[CheckedImage],
    skipped: Sequence[SkippedImage],
    *,
    progress: bool,
) -> None:
    run.write_history(learned.history)
    facts = Facts(
        images=len(checked),
        files=names_by_folder([image.file for image in checked]),
        skipped=skipped_files(skipped),
        seconds=learned.seconds,
        shifts=learned.shifts,
        maps_not_stored=learned.streamed,
        damaged_maps=learned.damaged,
        environment=environment_facts(segmenter.compute),
        agreement_history=tuple(learned.agreement_history),
        kept_step=learned.kept_step,
        class_count=learned.class_count,
        levels=None if segmenter.levels is None else segmenter.levels.counts,
    )
    run.write_facts(facts)
    write_report(
        run.path / REPORT_FILE,
        segmenter,
        [image.file for image in checked],
        history=learned.history,
        settings=settings,
        facts=facts,
        progress=progress,
    )
    if learned.linear_probe is not None:
        write_linear_probe(learned.linear_probe, run.path)
    # Written last: it marks the run as finished.
    segmenter.save(run.path, overwrite=True)
    run.finalise()

"""The three verbs of the library: fit, segment, evaluate."""

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from segdistill.backbones import Backbone, check_backbone_name, load_backbone
from segdistill.config.settings import DEFAULT_CLASSES, DeviceName, FitSettings, PrecisionName
from segdistill.devices import choose_compute
from segdistill.errors import UserError
from segdistill.evaluation.confusion import Scores, score
from segdistill.evaluation.folder import confusion_over_files
from segdistill.images.folder import (
    CheckedImage,
    SkippedImage,
    check_images,
    find_all,
    find_images,
)
from segdistill.images.labels import match_labels
from segdistill.inference.folder import (
    MaskOptions,
    SegmentedFiles,
    check_masks_folder,
    segment_files,
)
from segdistill.model.segmenter import Segmenter
from segdistill.report.page import write_report
from segdistill.training.fit import Learned, learn
from segdistill.training.run_folder import REPORT_FILE, RunFolder

logger = logging.getLogger("segdistill")

Source = str | Path


def fit(
    images: Source,
    *,
    settings: FitSettings | None = None,
    out: Source | None = None,
    overwrite: bool = False,
    resume: bool = False,
    progress: bool = False,
    **changes: Any,
) -> Segmenter:
    """Learn to segment from a folder of images without labels.

    Args:
        images: a folder (searched through all its sub-folders), a glob pattern, or a folder in
            STEGO's layout, of which ``imgs/train`` is taken.
        settings: all settings; by default those of :class:`FitSettings`.
        out: the run folder to write; nothing but the feature store is written without it.
        overwrite: replace the run in ``out``.
        resume: go on with the run in ``out`` that was broken off.
        progress: show progress bars.
        **changes: single settings that differ from ``settings``, such as ``classes=8``.

    Returns:
        The model.

    Raises:
        UserError: something given cannot be used; the message names it and the mend.
    """
    chosen = _settings(settings, changes)
    check_backbone_name(chosen.backbone)
    run = None
    if out is not None:
        run = RunFolder(Path(out))
        if resume and run.is_finished:
            logger.info("%s: the run is finished already", out)
            return Segmenter.load(run.path, device=chosen.device, precision=chosen.precision)
    files = find_images(images)
    if run is not None:
        run.check(chosen, overwrite=overwrite, resume=resume)
    compute = choose_compute(chosen.device, chosen.precision)
    checked, skipped = check_images(files, strict=chosen.strict, progress=progress)
    if skipped:
        logger.warning(
            "%d of %d images skipped, the first: %s", len(skipped), len(files), skipped[0].reason
        )
    if chosen.classes is None:
        logger.info("--classes is not given: finding %d classes", DEFAULT_CLASSES)
    backbone = load_backbone(chosen.backbone)
    resolved = _resolved(chosen, backbone)
    if run is not None:
        run.begin(resolved, resume=resume)
    learned = learn(checked, backbone, resolved, compute, run=run, progress=progress)
    segmenter = learned.segmenter.place(chosen.device, chosen.precision)
    if learned.streamed:
        logger.warning(
            "the feature store had no room for %d feature maps; raise --cache.max_gigabytes to"
            " make the next fit faster",
            learned.streamed,
        )
    if run is not None:
        _finish(run, segmenter, learned, resolved, checked, skipped, progress=progress)
    return segmenter


def segment(
    run: Source | Segmenter,
    sources: Source | Sequence[Source],
    out: Source,
    *,
    options: MaskOptions | None = None,
    backbone: str | None = None,
    device: DeviceName = "auto",
    precision: PrecisionName = "auto",
    progress: bool = False,
    **changes: Any,
) -> SegmentedFiles:
    """Write one mask for each image, in the same tree, under the same names.

    Args:
        run: a run folder, or a model.
        sources: folders, files or glob patterns.
        out: folder in which to write the masks.
        options: how, and what to write beside the masks.
        backbone: where the backbone of a run folder lies now, if it has moved.
        device: where to compute, for a run folder.
        precision: of matrix products, for a run folder.
        progress: show a progress bar.
        **changes: single options that differ from ``options``, such as ``overlay=True``.

    Returns:
        What was written and what was skipped.

    Raises:
        UserError: something given cannot be used; the message names it and the mend.
    """
    chosen = replace(options or MaskOptions(), **_known(changes, MaskOptions))
    several = [sources] if isinstance(sources, str | Path) else list(sources)
    files = find_all(several)
    check_masks_folder(files, Path(out), chosen)
    segmenter = _loaded(run, backbone, device, precision)
    return segment_files(segmenter, files, Path(out), chosen, progress=progress)


@dataclass(frozen=True)
class Evaluation:
    """Scores of a model on a labelled set.

    Attributes:
        scores: after matching clusters to label classes.
        images: number of images scored.
    """

    scores: Scores
    images: int


def evaluate(
    run: Source | Segmenter,
    images: Source,
    labels: Source,
    *,
    mirror: bool = False,
    resolution: int | None = None,
    backbone: str | None = None,
    device: DeviceName = "auto",
    precision: PrecisionName = "auto",
    progress: bool = False,
) -> Evaluation:
    """Score a model against labels, at the labels' full size.

    Args:
        run: a run folder, or a model.
        images: a folder or pattern.
        labels: a folder of class-index images of the same names; 255 means 'not labelled'.
        mirror: average with mirrored images.
        resolution: shorter side at which the backbone sees images; by default as in training.
        backbone: where the backbone of a run folder lies now, if it has moved.
        device: where to compute, for a run folder.
        precision: of matrix products, for a run folder.
        progress: show a progress bar.

    Raises:
        UserError: something given cannot be used; the message names it and the mend.
    """
    found = find_images(images)
    pairs = match_labels(found, find_images(labels))
    if len(pairs) < len(found):
        logger.warning("%d of %d images have no labels", len(found) - len(pairs), len(found))
    segmenter = _loaded(run, backbone, device, precision)
    matrix = confusion_over_files(
        pairs,
        lambda image: segmenter.segment(image, mirror=mirror, resolution=resolution),
        len(segmenter.classes),
        progress=progress,
    )
    return Evaluation(score(matrix.counts), len(pairs))


def _loaded(
    run: Source | Segmenter,
    backbone: str | None,
    device: DeviceName,
    precision: PrecisionName,
) -> Segmenter:
    if isinstance(run, Segmenter):
        return run
    return Segmenter.load(run, backbone=backbone, device=device, precision=precision)


def _settings(settings: FitSettings | None, changes: dict[str, Any]) -> FitSettings:
    return replace(settings or FitSettings(), **_known(changes, FitSettings)).validated()


def _known(changes: dict[str, Any], settings_class: type) -> dict[str, Any]:
    names = {field.name for field in fields(settings_class)}
    for name in changes:
        if name not in names:
            raise UserError(
                f"unknown setting {name!r}; the settings are {', '.join(sorted(names))}"
            )
    return changes


def _resolved(settings: FitSettings, backbone: Backbone) -> FitSettings:
    """Fill in what was left out, so that the run folder tells what was really used."""
    return replace(
        settings,
        classes=settings.classes or DEFAULT_CLASSES,
        resolution=settings.resolution or backbone.resolution,
    )


def _finish(
    run: RunFolder,
    segmenter: Segmenter,
    learned: Learned,
    settings: FitSettings,
    checked: Sequence[CheckedImage],
    skipped: Sequence[SkippedImage],
    *,
    progress: bool,
) -> None:
    run.write_history(learned.history)
    facts = {
        "images": len(checked),
        "skipped": [{"file": str(s.file.path), "reason": s.reason} for s in skipped],
        "seconds": learned.seconds,
        "shifts": None if learned.shifts is None else asdict(learned.shifts),
        "maps_not_stored": learned.streamed,
    }
    run.write_facts(facts)
    write_report(
        run.path / REPORT_FILE,
        segmenter,
        [image.file for image in checked],
        history=learned.history,
        settings=settings.as_plain(),
        facts=facts,
        progress=progress,
    )
    segmenter.save(run.path, overwrite=True)
    run.remove_checkpoint()

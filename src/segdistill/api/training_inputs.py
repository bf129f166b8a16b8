"""Labels, saliency maps and depth maps that accompany training images."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from segdistill.api.labelled import LabelledSet, labelled_files
from segdistill.config.settings import FitSettings
from segdistill.errors import UserError
from segdistill.images.depth import DepthSettings
from segdistill.images.depth_files import find_depth_maps, match_depth, settings_beside
from segdistill.images.folder import ImageFile, find_images
from segdistill.images.matching import match_labels
from segdistill.images.palette import VOID
from segdistill.progress import progress_bar
from segdistill.training.linear_probe import ONE_CLASS
from segdistill.training.training_set import AuxiliaryInputs, LabelFiles

logger = logging.getLogger("segdistill")


def find_auxiliary_inputs(
    files: Sequence[ImageFile],
    settings: FitSettings,
    labelled: LabelledSet | None,
    depth_maps: Mapping[Path, Path] | None = None,
    *,
    progress: bool = False,
) -> AuxiliaryInputs:
    """Find the auxiliary files of images; labels only if the settings need them.

    Args:
        files: the images.
        settings: settings of the fit.
        labelled: images with labels, in place of the label folder in the settings.
        depth_maps: depth map of each image file, if the settings name no depth folder.
        progress: show a progress bar.

    Raises:
        UserError: labels or depth maps are needed but not given, or a folder has no matching files.
    """
    labels = None
    if settings.needs_labels:
        labels = _label_files(files, settings, labelled, progress=progress)
    saliency = None
    if settings.saliency is not None:
        pairs = match_labels(files, find_images(settings.saliency), kind="saliency map")
        saliency = {image.path: saliency_map.path for image, saliency_map in pairs}
    depth = _depth_files(files, settings, depth_maps or {}) if settings.wants_depth else None
    return AuxiliaryInputs(labels, saliency, depth, _depth_settings(settings))


def _depth_files(
    files: Sequence[ImageFile], settings: FitSettings, known: Mapping[Path, Path]
) -> Mapping[Path, Path]:
    if settings.depth.folder is not None:
        matched = match_depth(files, find_depth_maps(settings.depth.folder))
        known = {image.path: depth.path for image, depth in matched.items()}
    if not known:
        raise UserError(
            "--depth.guide on: no depth maps given; add --depth.folder FOLDER, or estimate depth"
            " with `segdistill depth IMAGES`"
        )
    without = sum(file.path not in known for file in files)
    if without:
        logger.warning("%d of %d images have no depth map", without, len(files))
    return known


def _depth_settings(settings: FitSettings) -> DepthSettings:
    """Return how to interpret depth values; settings override ``depth.json``."""
    folder = settings.depth.folder
    found = (None if folder is None else settings_beside(folder)) or DepthSettings()
    given = settings.depth
    return replace(
        found,
        kind=given.kind or found.kind,
        invalid=found.invalid if given.invalid is None else given.invalid,
        format=given.format,
        channel=given.channel,
    )


def _label_files(
    files: Sequence[ImageFile],
    settings: FitSettings,
    labelled: LabelledSet | None,
    *,
    progress: bool,
) -> LabelFiles:
    found = labelled
    if found is None and settings.labels is not None:
        found = labelled_files(
            files, settings.labels, label_map=settings.label_map, progress=progress
        )
    if found is None:
        raise UserError(
            "--training.linear-probe and --objective.correlations labels need labels: add"
            " --labels FOLDER, or choose a benchmark with --dataset and --data-root"
        )
    classes = len(found.names) or found.classes
    if not classes:
        with progress_bar("Reading labels", len(found.pairs), shown=progress) as advance:
            for _, path in found.pairs:
                labels = found.read(path)
                known = labels[labels != VOID]
                classes = max(classes, int(known.max(initial=-1)) + 1)
                advance(1)
    where = Path(settings.labels) if settings.labels else "the data set"
    if not classes:
        raise UserError(f"{where}: no labelled pixels (255 means 'not labelled')")
    if classes == 1 and settings.training.linear_probe:
        raise UserError(f"{where}: {ONE_CLASS}")
    of_image = {image.path: path for image, path in found.pairs}
    return LabelFiles(of_image, found.read, classes, found.names)

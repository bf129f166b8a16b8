"""Helpers shared by the public functions."""

import logging
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TypeVar, cast

from segdistill.config.settings import CacheSettings, DeviceName, PrecisionName
from segdistill.config.validation import unknown_keyword
from segdistill.devices import choose_compute
from segdistill.errors import UserError
from segdistill.images.folder import ImageFile, find_all, find_images
from segdistill.layout import SETTINGS_FILE
from segdistill.model.segmenter import Segmenter
from segdistill.runs.folder import RunFolder

logger = logging.getLogger("segdistill")

Source = str | Path
Settings = TypeVar("Settings")


def load_segmenter(
    run: Source | Segmenter,
    backbone: str | None,
    device: DeviceName,
    precision: PrecisionName,
) -> Segmenter:
    """Load a model from a run folder; a loaded model is returned unchanged.

    Args:
        run: a run folder, or a model.
        backbone: new location of the run's backbone, if it has moved.
        device: device to compute on; ignored for a loaded model.
        precision: precision of matrix products; ignored for a loaded model.
    """
    if isinstance(run, Segmenter):
        return run
    compute = choose_compute(device, precision, distributed=True)
    return Segmenter.load(run, backbone=backbone, device="cpu").place_on(compute)


def cache_of(run: Source) -> CacheSettings:
    """Return the settings of the feature store that a run was fitted with; else the defaults.

    Raises:
        UserError: the settings of the run are damaged.
    """
    if (Path(run) / SETTINGS_FILE).exists():
        return RunFolder(Path(run)).read_settings().cache
    return CacheSettings()


def with_changes(
    settings: Settings | None, changes: dict[str, Any], settings_class: type[Settings]
) -> Settings:
    """Return settings with some values replaced; the new values are not validated.

    Args:
        settings: initial settings; by default those of the class.
        changes: new values by name.
        settings_class: a dataclass.

    Raises:
        UserError: there is no such setting, or the settings are of another class.
    """
    base = settings_class() if settings is None else settings
    if not isinstance(base, settings_class):
        raise UserError(
            f"settings of type {type(base).__name__}: must be {settings_class.__name__}"
        )
    known = [field.name for field in fields(settings_class)]  # type: ignore[arg-type]
    for name, value in changes.items():
        if name not in known:
            raise unknown_keyword(name, value, settings_class)
    return replace(base, **changes)  # type: ignore[type-var]


def image_files(images: Source | Sequence[Source] | Sequence[ImageFile]) -> list[ImageFile]:
    """Return the images of one or more sources; image files are returned unchanged.

    Raises:
        UserError: no images found.
    """
    if isinstance(images, str | Path):
        return find_images(images)
    if images and all(isinstance(each, ImageFile) for each in images):
        return list(cast("Sequence[ImageFile]", images))
    return find_all(cast("Sequence[Source]", images))


def images_or_run_images(
    run: Source, images: Source | Sequence[Source] | Sequence[ImageFile] | None
) -> list[ImageFile]:
    """Return the given images, or else those that a run was fitted on.

    Args:
        run: a run folder.
        images: one or more sources, or image files; ``None`` for the images of the run.

    Raises:
        UserError: no images found, or the run does not record the paths of its images.
    """
    if images is not None:
        return image_files(images)
    recorded = RunFolder(Path(run)).read_facts().image_files
    if not recorded:
        raise UserError(f"{run}: does not record the paths of its images; add --images")
    existing = [file for file in recorded if file.path.is_file()]
    if not existing:
        raise UserError(
            f"{recorded[0].path}: not found, nor any other image {run} was fitted on; add --images"
        )
    if len(existing) < len(recorded):
        missing = len(recorded) - len(existing)
        logger.warning("%d of %d images of %s not found", missing, len(recorded), run)
    return existing

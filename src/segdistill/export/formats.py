"""Registry of the export formats."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields
from pathlib import Path

from segdistill.errors import UserError
from segdistill.export.coco import open_coco
from segdistill.export.geojson import open_geojson
from segdistill.export.label_studio import configuration_path, open_label_studio
from segdistill.export.options import ExportOptions, FormatName
from segdistill.export.voc import LABEL_MAP, open_cvat, open_voc, task_labels_path
from segdistill.export.writing import Target, Writer
from segdistill.export.yolo import DATA_FILE, open_yolo


@dataclass(frozen=True)
class ExportFormat:
    """An export format.

    Attributes:
        open: opens the target and yields the writer.
        supported_options: format-specific options that this format supports.
        suffixes: allowed file suffixes, the default first; empty for a folder.
        needs_images: whether the format needs the images.
        sidecar: returns the path of the sidecar file, which marks an existing export.
    """

    open: Callable[[Target], AbstractContextManager[Writer]]
    supported_options: frozenset[str]
    suffixes: tuple[str, ...] = ()
    needs_images: bool = False
    sidecar: Callable[[Target], Path] | None = None


REGIONS = ("min_region", "min_area")
"""Options of formats that store regions instead of pixel masks."""

FORMATS: dict[FormatName, ExportFormat] = {
    "coco": ExportFormat(
        open_coco, frozenset({"regions", "polygons", *REGIONS, "simplify"}), (".json",)
    ),
    "yolo": ExportFormat(
        open_yolo,
        frozenset({*REGIONS, "simplify", "split", "copy_images"}),
        sidecar=lambda target: target.path / DATA_FILE,
    ),
    "label-studio": ExportFormat(
        open_label_studio,
        frozenset({"regions", *REGIONS, "image_url_prefix"}),
        (".json",),
        needs_images=True,
        sidecar=configuration_path,
    ),
    "voc": ExportFormat(
        open_voc,
        frozenset({"copy_images"}),
        sidecar=lambda target: target.path / LABEL_MAP,
    ),
    "cvat": ExportFormat(open_cvat, frozenset(), (".zip",), sidecar=task_labels_path),
    "geojson": ExportFormat(
        open_geojson,
        frozenset({"regions", *REGIONS, "simplify"}),
        (".geojson", ".json"),
        needs_images=True,
    ),
}


def chosen_format(name: str, options: ExportOptions, *, images: bool) -> ExportFormat:
    """Return a format, and check that it supports the options.

    Args:
        name: name of the format.
        options: export options.
        images: whether images are given.

    Raises:
        UserError: the format is unknown, does not support an option, or needs the images.

    Example:
        >>> chosen_format("voc", ExportOptions(polygons=True), images=False)
        Traceback (most recent call last):
        ...
        segdistill.errors.UserError: --polygons: not supported by --format voc, only by coco
    """
    each = next((FORMATS[known] for known in FORMATS if known == name), None)
    if each is None:
        raise UserError(f"--format {name}: must be one of {', '.join(FORMATS)}")
    general = {"strict", "overwrite"}
    for field in fields(options):
        asked = getattr(options, field.name) != field.default
        if asked and field.name not in each.supported_options | general:
            takers = [
                taker for taker, other in FORMATS.items() if field.name in other.supported_options
            ]
            flag = f"--{field.name.replace('_', '-')}"
            raise UserError(
                f"{flag}: not supported by --format {name}, only by {', '.join(takers)}"
            )
    if each.needs_images and not images:
        raise UserError(f"--format {name}: needs the segmented images; add --images")
    if options.copy_images and not images:
        raise UserError("--copy-images: needs the segmented images; add --images")
    return each

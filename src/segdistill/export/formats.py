"""The formats of an export: one row each."""

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
    """A format that masks can be exported to.

    Attributes:
        open: opens what is to be written; gives the writer of the masks.
        takes: options that matter to this format alone or to some.
        suffixes: endings that the file may have, the usual first; none for a folder.
        needs_images: whether the images must be given.
        beside: a file that tells that an export is there: beside the file, or in the folder.
    """

    open: Callable[[Target], AbstractContextManager[Writer]]
    takes: frozenset[str]
    suffixes: tuple[str, ...] = ()
    needs_images: bool = False
    beside: Callable[[Target], Path] | None = None


REGIONS = ("min_region", "min_area")
"""Options of formats that list regions rather than pixels."""

FORMATS: dict[FormatName, ExportFormat] = {
    "coco": ExportFormat(
        open_coco, frozenset({"regions", "polygons", *REGIONS, "simplify"}), (".json",)
    ),
    "yolo": ExportFormat(
        open_yolo,
        frozenset({*REGIONS, "simplify", "split", "copy_images"}),
        beside=lambda target: target.path / DATA_FILE,
    ),
    "label-studio": ExportFormat(
        open_label_studio,
        frozenset({"regions", *REGIONS, "image_url_prefix"}),
        (".json",),
        needs_images=True,
        beside=configuration_path,
    ),
    "voc": ExportFormat(
        open_voc,
        frozenset({"copy_images"}),
        beside=lambda target: target.path / LABEL_MAP,
    ),
    "cvat": ExportFormat(open_cvat, frozenset(), (".zip",), beside=task_labels_path),
    "geojson": ExportFormat(
        open_geojson,
        frozenset({"regions", *REGIONS, "simplify"}),
        (".geojson", ".json"),
        needs_images=True,
    ),
}


def chosen_format(name: str, options: ExportOptions, *, images: bool) -> ExportFormat:
    """Return a format, and check that all that is asked for matters to it.

    Args:
        name: of the format.
        options: what is asked for.
        images: whether the images are given.

    Raises:
        UserError: there is no such format, it takes no such option, or it lacks the images.

    Example:
        >>> chosen_format("voc", ExportOptions(polygons=True), images=False)
        Traceback (most recent call last):
        ...
        segdistill.errors.UserError: --polygons: not for --format voc, but for coco
    """
    each = next((FORMATS[known] for known in FORMATS if known == name), None)
    if each is None:
        raise UserError(f"--format {name}: must be one of {', '.join(FORMATS)}")
    general = {"strict", "overwrite"}
    for field in fields(options):
        asked = getattr(options, field.name) != field.default
        if asked and field.name not in each.takes | general:
            takers = [taker for taker, other in FORMATS.items() if field.name in other.takes]
            flag = f"--{field.name.replace('_', '-')}"
            raise UserError(f"{flag}: not for --format {name}, but for {', '.join(takers)}")
    if each.needs_images and not images:
        raise UserError(f"--format {name}: needs --images, the images that were segmented")
    if options.copy_images and not images:
        raise UserError("--copy-images: needs --images, the images that were segmented")
    return each

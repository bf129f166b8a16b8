"""Exporting masks to annotation formats."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from segdistill.api.common import Source, with_changes
from segdistill.export.folder import ExportedMasks, export_folder
from segdistill.export.options import ExportOptions, FormatName
from segdistill.inference.mask_classes import MaskClass, mask_classes
from segdistill.model.class_sets import read_class_sets
from segdistill.model.segmenter import Segmenter


def export_masks(
    run: Source | Segmenter,
    masks: Source,
    format_name: FormatName,
    out: Source | None = None,
    *,
    images: Source | Sequence[Source] | None = None,
    options: ExportOptions | None = None,
    progress: bool = False,
    **changes: Any,
) -> ExportedMasks:
    """Export a folder of masks to an annotation format.

    Args:
        run: the run folder or model that made the masks; provides class names and colours.
        masks: folder written by :func:`segdistill.segment`.
        format_name: ``coco``, ``yolo``, ``label-studio``, ``voc``, ``cvat``, ``geojson`` or
            ``colours``.
        out: file or folder to write; by default in ``exports``, named after the mask folder.
        images: the images that were segmented; required by some formats.
        options: export options.
        progress: show a progress bar.
        **changes: options that override ``options``, such as ``polygons=True``.

    Returns:
        What was written and what was skipped.

    Raises:
        UserError: invalid input; the message says what is wrong and suggests a fix.
    """
    return export_folder(
        Path(masks),
        _current_classes(run),
        format_name,
        None if out is None else Path(out),
        images=[images] if isinstance(images, str | Path) else images,
        options=with_changes(options, changes, ExportOptions),
        run="RUN" if isinstance(run, Segmenter) else str(run),
        progress=progress,
    )


def _current_classes(run: Source | Segmenter) -> tuple[MaskClass, ...]:
    if isinstance(run, Segmenter):
        return mask_classes(run.classes, run.centres)
    # Without loading the backbone, which is not needed and may be missing.
    current = read_class_sets(Path(run)).current
    return mask_classes(current.classes, current.centres)

"""Segmenting images with a model."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from segdistill.api.common import Source, changed, loaded
from segdistill.config.settings import DeviceName, PrecisionName
from segdistill.images.folder import find_all
from segdistill.inference.folder import (
    MaskOptions,
    SegmentedFiles,
    check_masks_folder,
    segment_files,
)
from segdistill.model.segmenter import Segmenter
from segdistill.processes import in_group


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
    chosen = changed(options, changes, MaskOptions).validated()
    several = [sources] if isinstance(sources, str | Path) else list(sources)
    files = find_all(several)
    if not in_group():  # before a model loads
        check_masks_folder(files, Path(out), chosen)
    segmenter = loaded(run, backbone, device, precision)
    group = segmenter.compute.group
    if group.size > 1:
        group.from_first(lambda: check_masks_folder(files, Path(out), chosen))
    return segment_files(segmenter, files, Path(out), chosen, progress=progress)

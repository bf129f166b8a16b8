"""Writing a model as one graph for other programs."""

from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Literal

from segdistill.api.common import Source, image_files, loaded
from segdistill.api.labelled import labelled_files
from segdistill.api.run_images import images_or_those_of_run
from segdistill.deployment.graph import SegmenterGraph, trace
from segdistill.deployment.loss import loss_on_images, loss_on_labels
from segdistill.deployment.onnx_file import require_onnx
from segdistill.deployment.writing import (
    MeasureLoss,
    WrittenGraph,
    spread,
    write_eight_bit_graph,
    write_onnx_graph,
    write_torch_graph,
)
from segdistill.errors import UserError
from segdistill.images.folder import ImageFile
from segdistill.model.segmenter import Segmenter

GraphFormat = Literal["onnx", "torch"]
SUFFIXES: dict[GraphFormat, str] = {"onnx": ".onnx", "torch": ".pt2"}

IMAGES_TO_MEASURE = 50
"""Most images on which pixels are counted that int8 gives another class."""


def export_model(
    run: Source | Segmenter,
    path: Source,
    *,
    format_name: GraphFormat | None = None,
    masks: bool = False,
    int8: bool = False,
    fixed_ranges: bool = False,
    images: Source | Sequence[Source] | None = None,
    labels: Source | None = None,
    backbone: str | None = None,
    overwrite: bool = False,
    progress: bool = False,
) -> WrittenGraph:
    """Write a model as one graph from images to class scores, and check it against the model.

    The graph takes float32 images in 0..1 of shape (batch, 3, height, width), sides multiples of
    the backbone's ``size_multiple`` (at least twice that for ``torch``), and gives cosine
    similarities of shape (batch, classes, height / stride, width / stride).

    Args:
        run: a run folder, or a model, with its classes as they are now.
        path: file to write.
        format_name: ``onnx``, or ``torch`` for a program of ``torch.export``; by default as the
            file's name ends, with ``.onnx`` or ``.pt2``.
        masks: also give the best class of each pixel, from scores enlarged bilinearly.
        int8: weights of matrix products in 8 bits, for ONNX; what is between layers is brought to
            8 bits by its range in each image.
        fixed_ranges: for ``int8``: measure these ranges now, on the images, once and for all, as
            accelerators want it.
        images: for ``int8``: on which its loss is reported, and ranges are measured; by default
            those that the run was fitted on, if they are still there.
        labels: for ``int8``: folder of label files of these images, to tell the loss as mIoU.
        backbone: where the backbone of a run folder lies now, if it has moved.
        overwrite: replace the file.
        progress: show progress bars.

    Returns:
        What was written.

    Raises:
        UserError: something given cannot be used, or the graph does not do what the model does;
            nothing was written then.
    """
    target = Path(path)
    chosen = _chosen_format(target, format_name)
    _check_options(chosen, int8=int8, fixed_ranges=fixed_ranges, images=images, labels=labels)
    if target.exists() and not overwrite:
        raise UserError(f"{target}: exists already; choose another name, or add --overwrite")
    if chosen == "onnx":
        require_onnx()
    files = _files(run, images, needed=fixed_ranges) if int8 else []
    segmenter = _on_cpu(run, backbone)
    measure = _loss_measure(segmenter, files, labels, progress=progress)
    traced = trace(SegmenterGraph(segmenter, masks=masks))
    if chosen == "torch":
        return write_torch_graph(traced, target)
    if int8:
        return write_eight_bit_graph(traced, target, files if fixed_ranges else None, measure)
    return write_onnx_graph(traced, target)


def _chosen_format(path: Path, given: GraphFormat | None) -> GraphFormat:
    by_suffix = {suffix: name for name, suffix in SUFFIXES.items()}
    chosen = given or by_suffix.get(path.suffix)
    if chosen not in SUFFIXES:
        raise UserError(f"{path}: give a name that ends with .onnx or .pt2")
    if path.suffix != SUFFIXES[chosen]:
        raise UserError(f"{path}: for --format {chosen} the name must end with {SUFFIXES[chosen]}")
    return chosen


def _check_options(
    chosen: GraphFormat,
    *,
    int8: bool,
    fixed_ranges: bool,
    images: object | None,
    labels: object | None,
) -> None:
    if int8 and chosen != "onnx":
        raise UserError("--int8: for ONNX alone; leave it out, or write an .onnx file")
    if not int8 and (fixed_ranges or images is not None or labels is not None):
        raise UserError(
            "--fixed-ranges, --images and --labels: only --int8 needs them; add it, or leave them"
            " out"
        )
    if labels is not None and images is None:
        raise UserError("--labels: give the images, too, with --images")


def _on_cpu(run: Source | Segmenter, backbone: str | None) -> Segmenter:
    if isinstance(run, Segmenter):  # whose owner wants it to stay where it is
        return deepcopy(run).place("cpu", "32-true")
    return loaded(run, backbone, "cpu", "32-true")


def _files(
    run: Source | Segmenter, images: Source | Sequence[Source] | None, *, needed: bool
) -> list[ImageFile]:
    """Return the images given, or those of the run as far as still there."""
    if images is not None:
        return image_files(images)
    if isinstance(run, Segmenter):
        if needed:
            raise UserError("--fixed-ranges: give the images to measure them on, with --images")
        return []
    try:
        return images_or_those_of_run(run, None)
    except UserError:
        if needed:
            raise
        return []


def _loss_measure(
    segmenter: Segmenter,
    files: Sequence[ImageFile],
    labels: Source | None,
    *,
    progress: bool,
) -> MeasureLoss | None:
    if labels is not None:
        labelled = labelled_files(files, labels)
        return lambda full, eight_bit: loss_on_labels(
            segmenter, full, eight_bit, labelled.pairs, labelled.read, progress=progress
        )
    if not files:
        return None
    some = spread(files, IMAGES_TO_MEASURE)
    return lambda full, eight_bit: loss_on_images(
        segmenter, full, eight_bit, some, progress=progress
    )

"""Exporting a model as a graph for other runtimes."""

from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Literal

from segdistill.api.common import Source, image_files, images_or_run_images, load_segmenter
from segdistill.api.labelled import labelled_files
from segdistill.deployment.graph import SegmenterGraph, trace
from segdistill.deployment.loss import loss_on_images, loss_on_labels
from segdistill.deployment.onnx_file import require_onnx
from segdistill.deployment.writing import (
    MeasureLoss,
    WrittenGraph,
    write_eight_bit_graph,
    write_onnx_graph,
    write_torch_graph,
)
from segdistill.errors import UserError
from segdistill.images.folder import ImageFile
from segdistill.inference.samples import evenly_spread
from segdistill.model.segmenter import Segmenter

GraphFormat = Literal["onnx", "torch"]
SUFFIXES: dict[GraphFormat, str] = {"onnx": ".onnx", "torch": ".pt2"}

IMAGES_TO_MEASURE = 50
"""Maximum number of images on which the accuracy loss of int8 is measured."""


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
    """Export a model as a graph from images to class scores, and check it against the model.

    The input is float32 images in 0..1 of shape (batch, 3, height, width), with sides that are
    multiples of the backbone's ``size_multiple`` (at least twice that for ``torch``). The output
    is cosine similarities of shape (batch, classes, height / stride, width / stride).

    Args:
        run: a run folder, or a model; its current classes are exported.
        path: file to write.
        format_name: ``onnx``, or ``torch`` for a ``torch.export`` program; by default inferred
            from the file suffix, ``.onnx`` or ``.pt2``.
        masks: also output the best class of each pixel, from bilinearly upsampled scores.
        int8: ONNX only: quantise the weights of matrix products to 8 bits, and activations
            dynamically, by their range in each image.
        fixed_ranges: with ``int8``: quantise activations statically, with ranges calibrated on
            the images, as accelerators require.
        images: with ``int8``: images for measuring the accuracy loss and for calibration; by
            default those that the run was fitted on, if they still exist.
        labels: with ``int8``: folder of label files of these images, to report the loss as mIoU.
        backbone: new location of the run's backbone, if it has moved.
        overwrite: replace an existing file.
        progress: show progress bars.

    Returns:
        What was written.

    Raises:
        UserError: invalid input, or the graph's outputs differ from the model's, in which case
            nothing is written.
    """
    target = Path(path)
    chosen = _chosen_format(target, format_name)
    _check_options(chosen, int8=int8, fixed_ranges=fixed_ranges, images=images, labels=labels)
    if target.exists() and not overwrite:
        raise UserError(f"{target}: already exists; choose another name, or add --overwrite")
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
        raise UserError(f"{path}: the name must end in .onnx or .pt2")
    if path.suffix != SUFFIXES[chosen]:
        raise UserError(f"{path}: for --format {chosen} the name must end in {SUFFIXES[chosen]}")
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
        raise UserError("--int8: only for ONNX; omit it, or write an .onnx file")
    if not int8 and (fixed_ranges or images is not None or labels is not None):
        raise UserError(
            "--fixed-ranges, --images and --labels: only for --int8; add --int8, or omit them"
        )
    if labels is not None and images is None:
        raise UserError("--labels: also give the images with --images")


def _on_cpu(run: Source | Segmenter, backbone: str | None) -> Segmenter:
    if isinstance(run, Segmenter):  # leave the caller's model on its device
        return deepcopy(run).place("cpu", "32-true")
    return load_segmenter(run, backbone, "cpu", "32-true")


def _files(
    run: Source | Segmenter, images: Source | Sequence[Source] | None, *, needed: bool
) -> list[ImageFile]:
    """Return the given images, or those of the run that still exist."""
    if images is not None:
        return image_files(images)
    if isinstance(run, Segmenter):
        if needed:
            raise UserError("--fixed-ranges: give images for calibration with --images")
        return []
    try:
        return images_or_run_images(run, None)
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
    some = evenly_spread(files, IMAGES_TO_MEASURE)
    return lambda full, eight_bit: loss_on_images(
        segmenter, full, eight_bit, some, progress=progress
    )

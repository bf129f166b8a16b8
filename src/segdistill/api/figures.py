"""Figures for papers: segmentation examples, legend, per-class IoU and training curves."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from segdistill.api.common import Source, images_or_run_images, load_segmenter, with_changes
from segdistill.api.evaluating import evaluate_set
from segdistill.api.labelled import labelled_files
from segdistill.config.settings import DeviceName, PrecisionName
from segdistill.evaluation.protocol import Protocol
from segdistill.figures.options import FigureOptions, figure_files
from segdistill.figures.samples import choose_images, cluster_features, segment_images
from segdistill.files import check_new
from segdistill.images.folder import ImageFile
from segdistill.labels.label_files import read_labels
from segdistill.labels.label_map import LabelMap
from segdistill.model.segmenter import Segmenter
from segdistill.runs.folder import RunFolder


def draw_figures(
    run: Source,
    out: Source,
    *,
    images: Source | Sequence[Source] | Sequence[ImageFile] | None = None,
    labels: Source | None = None,
    label_map: Source | LabelMap | None = None,
    kmeans: Source | None = None,
    options: FigureOptions | None = None,
    backbone: str | None = None,
    device: DeviceName = "auto",
    precision: PrecisionName = "auto",
    progress: bool = False,
    **changes: Any,
) -> list[Path]:
    """Draw figures for a paper.

    ``comparison`` shows images with their labels, k-means clusters of the features and the run's
    masks, in matching colours; ``legend`` names the colours; ``iou`` is a bar chart of the IoU of
    each label class, if labels are given; ``training`` shows the training curves.

    Label classes take the colour of the class they are matched to by :func:`evaluate`, over all
    labelled images. Feature clusters take the colour of the class they overlap most in the images
    shown, one to one. Hidden classes are transparent.

    Args:
        run: a run folder.
        out: folder to write to.
        images: images to show, and to evaluate if labels are given; by default those of the fit.
        labels: folder of label files with the same names; see :func:`labelled_folders`.
        label_map: what their numbers and colours mean, or a YAML file that says so.
        kmeans: a run to compare with; by default the features of the run's own backbone on
            ``images`` are clustered.
        options: figure options.
        backbone: new location of the run's backbone, if it has moved.
        device: device to compute on.
        precision: precision of matrix products.
        progress: show progress bars.
        **changes: options that override ``options``, such as ``columns=4``.

    Returns:
        The files written.

    Raises:
        UserError: invalid input, or figures already exist; the message says what is wrong and
            suggests a fix.
    """
    chosen = with_changes(options, changes, FigureOptions).validated()
    folder = Path(out)
    check_new(folder, figure_files(folder), "the figures", overwrite=chosen.overwrite)
    files = images_or_run_images(run, images)
    labelled = (
        None
        if labels is None
        else labelled_files(files, labels, label_map=label_map, progress=progress)
    )
    candidates = files if labelled is None else [image for image, _ in labelled.pairs]
    to_show = choose_images(candidates, chosen.show, chosen.columns * chosen.rows)
    segmenter = load_segmenter(run, backbone, device, precision)
    clustered = _clustered(segmenter, candidates, kmeans, device, precision, progress=progress)
    shown = segment_images(
        to_show,
        segmenter,
        clustered,
        label_files={} if labelled is None else {i.path: path for i, path in labelled.pairs},
        read_labels=read_labels if labelled is None else labelled.read,
        crf=chosen.crf,
        progress=progress,
    )
    scored = clusters_scored = None
    if labelled is not None:
        protocol = Protocol(crf=chosen.crf)
        scored = evaluate_set(segmenter, labelled, protocol=protocol, progress=progress)
        if clustered is not None:
            clusters_scored = evaluate_set(clustered, labelled, progress=progress)
    # matplotlib is slow to import and builds a font cache, so only import it for figures.
    from segdistill.figures.drawing import Subject, write_figures  # noqa: PLC0415

    clusters = 0 if clustered is None else len(clustered.classes)
    subject = Subject(
        RunFolder(Path(run)), segmenter.classes, clusters, shown, scored, clusters_scored
    )
    return write_figures(subject, folder, chosen)


def _clustered(
    segmenter: Segmenter,
    files: Sequence[ImageFile],
    kmeans: Source | None,
    device: DeviceName,
    precision: PrecisionName,
    *,
    progress: bool,
) -> Segmenter | None:
    """Return the baseline to compare with; ``None`` for runs that cluster features themselves."""
    if kmeans is not None:
        return load_segmenter(kmeans, None, device, precision)
    if segmenter.head is None:
        return None
    return cluster_features(segmenter, files, progress=progress)

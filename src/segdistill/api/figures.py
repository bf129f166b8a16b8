"""Figures for a paper: images beside their segments, a legend, IoU by class, training curves."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from segdistill.api.common import Source, changed, loaded
from segdistill.api.evaluating import evaluate_set
from segdistill.api.labelled import labelled_files
from segdistill.api.run_images import images_or_those_of_run
from segdistill.config.settings import DeviceName, PrecisionName
from segdistill.figures.options import FigureOptions, check_figures_folder
from segdistill.figures.samples import chosen_images, cluster_features, segment_shown
from segdistill.images.folder import ImageFile
from segdistill.images.labels import read_labels
from segdistill.inference.protocol import Protocol
from segdistill.model.segmenter import Segmenter
from segdistill.training.run_folder import RunFolder


def draw_figures(
    run: Source,
    out: Source,
    *,
    images: Source | Sequence[Source] | Sequence[ImageFile] | None = None,
    labels: Source | None = None,
    kmeans: Source | None = None,
    options: FigureOptions | None = None,
    backbone: str | None = None,
    device: DeviceName = "auto",
    precision: PrecisionName = "auto",
    progress: bool = False,
    **changes: Any,
) -> list[Path]:
    """Draw figures for a paper.

    ``comparison`` shows images above their labels, the clusters of the features themselves and the
    run's segments, in colours that can be compared; ``legend`` names the colours; ``iou`` shows the
    IoU of each label class as bars, where there are labels; ``training`` the curves of a run that
    was trained.

    Label classes have the colour of the class that they are matched to, over all images with
    labels, as :func:`evaluate` matches them; clusters of features have that of the class with which
    they overlap most in the images shown, one to one. Hidden classes are transparent.

    Args:
        run: a run folder.
        out: folder to write to.
        images: to show, and to score where there are labels; by default those of the fit.
        labels: folder of class-index images of the same names; 255 means 'not labelled'.
        kmeans: a run to compare with; by default the features of the run's own backbone are
            clustered, on ``images``.
        options: how.
        backbone: where the backbone of the run lies now, if it has moved.
        device: where to compute.
        precision: of matrix products.
        progress: show progress bars.
        **changes: single options that differ from ``options``, such as ``columns=4``.

    Returns:
        The files written.

    Raises:
        UserError: something given cannot be used, or figures exist already; the message names
            it and the fix.
    """
    chosen = changed(options, changes, FigureOptions).validated()
    check_figures_folder(Path(out), overwrite=chosen.overwrite)
    files = images_or_those_of_run(run, images)
    labelled = None if labels is None else labelled_files(files, labels)
    candidates = files if labelled is None else [image for image, _ in labelled.pairs]
    to_show = chosen_images(candidates, chosen.show, chosen.columns * chosen.rows)
    segmenter = loaded(run, backbone, device, precision)
    clustered = _clustered(segmenter, candidates, kmeans, device, precision, progress=progress)
    shown = segment_shown(
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
    # matplotlib is slow to import and caches fonts, so only where figures are drawn.
    from segdistill.figures.drawing import Subject, write_figures  # noqa: PLC0415

    clusters = 0 if clustered is None else len(clustered.classes)
    subject = Subject(
        RunFolder(Path(run)), segmenter.classes, clusters, shown, scored, clusters_scored
    )
    return write_figures(subject, Path(out), chosen)


def _clustered(
    segmenter: Segmenter,
    files: Sequence[ImageFile],
    kmeans: Source | None,
    device: DeviceName,
    precision: PrecisionName,
    *,
    progress: bool,
) -> Segmenter | None:
    """Return what to compare with, if anything: a run that has no head clusters features itself."""
    if kmeans is not None:
        return loaded(kmeans, None, device, precision)
    if segmenter.head is None:
        return None
    return cluster_features(segmenter, files, progress=progress)

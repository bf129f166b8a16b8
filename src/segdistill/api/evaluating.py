"""Scoring a model against labels."""

from pathlib import Path

from segdistill.api.common import Source, loaded
from segdistill.api.labelled import LabelledSet, labelled_folders
from segdistill.config.settings import DeviceName, PrecisionName
from segdistill.evaluation.confusion import score
from segdistill.evaluation.folder import confusion_over_files
from segdistill.evaluation.output import (
    PAGE_FILE,
    SCORES_FILE,
    check_output_folder,
    confusion_file,
    output_files,
    write_confusion_csv,
    write_scores_json,
)
from segdistill.evaluation.result import TITLES, Evaluation, is_label_class
from segdistill.files import remove_leftovers, translate_os_errors
from segdistill.inference.protocol import Protocol
from segdistill.model.linear_probe import LinearProbe, read_linear_probe, write_linear_probe
from segdistill.model.segmenter import Segmenter
from segdistill.report.evaluation_page import write_evaluation_page
from segdistill.training.linear_probe import fit_linear_probe


def evaluate(
    run: Source | Segmenter,
    images: Source,
    labels: Source,
    *,
    protocol: Protocol | None = None,
    strict: bool = False,
    progress: bool = False,
) -> Evaluation:
    """Score a model against the label files of a folder; see :func:`evaluate_set`.

    Args:
        run: a run folder, or a model.
        images: a folder or pattern.
        labels: a folder of class-index images of the same names; 255 means 'not labelled'.
        protocol: how masks are made; by default the product's way, at full size.
        strict: stop at the first image or label file that cannot be read, instead of skipping it.
        progress: show a progress bar.

    Raises:
        UserError: invalid input; the message says what is wrong and suggests a fix.
    """
    labelled = labelled_folders(images, labels)
    return evaluate_set(run, labelled, protocol=protocol, strict=strict, progress=progress)


def evaluate_set(
    run: Source | Segmenter,
    labelled: LabelledSet,
    *,
    protocol: Protocol | None = None,
    backbone: str | None = None,
    device: DeviceName = "auto",
    precision: PrecisionName = "auto",
    strict: bool = False,
    progress: bool = False,
) -> Evaluation:
    """Score a model, and the linear probe of its run folder, against labels.

    Args:
        run: a run folder, or a model.
        labelled: images with labels.
        protocol: how masks are made; by default the product's way, at full size.
        backbone: where the backbone of a run folder lies now, if it has moved.
        device: where to compute, for a run folder.
        precision: of matrix products, for a run folder.
        strict: stop at the first image or label file that cannot be read, instead of skipping it.
        progress: show a progress bar.

    Raises:
        UserError: invalid input; the message says what is wrong and suggests a fix.
    """
    way = protocol or Protocol()
    segmenter = loaded(run, backbone, device, precision)
    probe = None if isinstance(run, Segmenter) else read_linear_probe(Path(run))
    group = segmenter.compute.group
    counted = confusion_over_files(
        labelled.pairs,
        labelled.read,
        lambda image, labels: way.view(image, labels, segmenter),
        lambda image, size: way.predict(segmenter, probe, image, size),
        way.predictions(segmenter, probe),
        label_classes=len(labelled.names),
        strict=strict,
        progress=progress and group.is_first,
        group=group,
        read=segmenter.read,
    )
    counts = {kind: matrix.counts for kind, matrix in counted.matrices.items()}
    return Evaluation(
        scores={kind: score(each, matched=is_label_class(kind)) for kind, each in counts.items()},
        counts=counts,
        clusters=tuple(each.name for each in segmenter.classes),
        names=labelled.names,
        images=counted.images,
        skipped=tuple(counted.skipped),
        protocol=way.as_plain(segmenter),
        run="" if isinstance(run, Segmenter) else Path(run).resolve().name,
        boundaries=counted.boundaries,
    )


def write_evaluation(
    evaluation: Evaluation,
    folder: Source,
    *,
    overwrite: bool = False,
) -> None:
    """Write an evaluation as ``evaluation.json`` and, for display, ``evaluation.html``.

    For each kind of prediction there is a confusion matrix beside them, as CSV in pixels and as
    PNG in shares of each label class.

    Args:
        evaluation: what :func:`evaluate` gave.
        folder: where to.
        overwrite: replace an earlier evaluation.

    Raises:
        UserError: an earlier evaluation is there, or the folder cannot be written.
    """
    # matplotlib is slow to import and caches fonts, so only where figures are drawn.
    from segdistill.figures.confusion import write_confusion_png  # noqa: PLC0415

    target = Path(folder)
    check_output_folder(target, overwrite=overwrite)
    remove_leftovers(target)
    with translate_os_errors(target):
        for path in output_files(target):
            # What an earlier evaluation had and this one has not must not be taken for its own.
            path.unlink(missing_ok=True)
    for kind in evaluation.scores:
        table = evaluation.table(kind)
        write_confusion_csv(target / confusion_file(kind, ".csv"), table)
        title = TITLES.get(kind, kind)
        write_confusion_png(target / confusion_file(kind, ".png"), table, title=title)
    write_evaluation_page(target / PAGE_FILE, evaluation)
    # Last: where it is, all else is.
    write_scores_json(target / SCORES_FILE, evaluation)


def probe(
    run: Source,
    labelled: LabelledSet,
    *,
    seed: int = 0,
    backbone: str | None = None,
    device: DeviceName = "auto",
    precision: PrecisionName = "auto",
    progress: bool = False,
) -> LinearProbe:
    """Train a linear probe on a model's codes and keep it in the run folder.

    It measures what the codes hold; masks never depend on it.

    Args:
        run: a run folder.
        labelled: training images with labels.
        seed: of the choice of pixels and of the start.
        backbone: where the backbone lies now, if it has moved.
        device: where to compute.
        precision: of matrix products.
        progress: show progress bars.

    Raises:
        UserError: invalid input; the message says what is wrong and suggests a fix.
    """
    segmenter = loaded(run, backbone, device, precision)
    trained = fit_linear_probe(
        segmenter, labelled.pairs, labelled.read, seed=seed, progress=progress
    )
    write_linear_probe(trained, Path(run))
    return trained

"""Evaluation of a model against labels."""

import logging
from collections.abc import Sequence
from pathlib import Path

from segdistill.api.common import Source, load_segmenter
from segdistill.api.labelled import LabelledSet, labelled_folders
from segdistill.config.settings import DeviceName, PrecisionName
from segdistill.evaluation.confusion import score
from segdistill.evaluation.folder import confusion_over_files
from segdistill.evaluation.output import (
    check_output_folder,
    confusion_file,
    output_files,
    write_confusion_csv,
)
from segdistill.evaluation.protocol import Protocol
from segdistill.evaluation.record import record_of, write_record
from segdistill.evaluation.result import TITLES, Evaluation, is_label_class
from segdistill.files import remove_leftovers, translate_os_errors
from segdistill.labels.label_map import LabelMap
from segdistill.layout import SCORES_PAGE
from segdistill.model.linear_probe import LinearProbe, read_linear_probe, write_linear_probe
from segdistill.model.segmenter import Segmenter
from segdistill.report.evaluation_page import write_evaluation_page
from segdistill.training.linear_probe import fit_linear_probe

logger = logging.getLogger("segdistill")


def evaluate(
    run: Source | Segmenter,
    images: Source,
    labels: Source,
    *,
    label_map: Source | LabelMap | None = None,
    protocol: Protocol | None = None,
    strict: bool = False,
    progress: bool = False,
) -> Evaluation:
    """Evaluate a model against a folder of label files; see :func:`evaluate_set`.

    Args:
        run: a run folder, or a model.
        images: a folder or pattern.
        labels: a folder of label files with the same names.
        label_map: what the numbers and colours of the label files mean, or a YAML file that says
            so; by default numbers are class indices and 255 means 'not labelled'.
        protocol: evaluation protocol; by default at full size, as :func:`segdistill.segment` does.
        strict: stop at the first image or label file that cannot be read, instead of skipping it.
        progress: show a progress bar.

    Raises:
        UserError: invalid input; the message says what is wrong and suggests a fix.
    """
    labelled = labelled_folders(images, labels, label_map=label_map, progress=progress)
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
    """Evaluate a model, and the linear probe of its run folder, against labels.

    A probe trained on classes other than those of the labels is skipped with a warning.

    Args:
        run: a run folder, or a model.
        labelled: images with labels.
        protocol: evaluation protocol; by default at full size, as :func:`segdistill.segment` does.
        backbone: new location of the run's backbone, if it has moved.
        device: device to compute on; ignored for a loaded model.
        precision: precision of matrix products; ignored for a loaded model.
        strict: stop at the first image or label file that cannot be read, instead of skipping it.
        progress: show a progress bar.

    Raises:
        UserError: invalid input; the message says what is wrong and suggests a fix.
    """
    chosen = protocol or Protocol()
    segmenter = load_segmenter(run, backbone, device, precision)
    probe = None if isinstance(run, Segmenter) else _comparable_probe(Path(run), labelled)
    group = segmenter.compute.group
    counted = confusion_over_files(
        labelled.pairs,
        labelled.read,
        lambda image, labels: chosen.view(image, labels, segmenter),
        lambda image, size: chosen.predict(segmenter, probe, image, size),
        chosen.predictions(segmenter, probe),
        label_classes=len(labelled.names),
        strict=strict,
        progress=progress and group.is_first,
        group=group,
        read=segmenter.read_picture,
    )
    counts = {kind: matrix.counts for kind, matrix in counted.matrices.items()}
    return Evaluation(
        scores={kind: score(each, matched=is_label_class(kind)) for kind, each in counts.items()},
        counts=counts,
        clusters=tuple(each.name for each in segmenter.classes),
        names=labelled.names,
        images=counted.images,
        skipped=tuple(counted.skipped),
        protocol=chosen.as_plain(segmenter),
        run="" if isinstance(run, Segmenter) else Path(run).resolve().name,
        boundaries=counted.boundaries,
        halves={kind: matrix.counts for kind, matrix in counted.halves.items()},
    )


def _comparable_probe(run: Path, labelled: LabelledSet) -> LinearProbe | None:
    """Return the probe of a run, unless its classes have other names than those of the labels.

    If either has no names, only a different number of classes tells, and not for certain: rare
    classes may be missing in one of two sets. So that is a warning.
    """
    probe = read_linear_probe(run)
    if probe is None:
        return None
    if probe.names and labelled.names and probe.names != labelled.names:
        logger.warning(
            "%s: the linear probe was trained on classes (%s) that differ from those of the labels"
            " (%s), so it is not scored; train it again with `segdistill probe`",
            run,
            _few(probe.names),
            _few(labelled.names),
        )
        return None
    classes = len(labelled.names) or labelled.classes
    known = len(probe.names) or probe.out_features
    if classes and known != classes:
        logger.warning(
            "%s: the linear probe was trained on %d classes, but the labels have %d; if these are"
            " different classes, its scores mean nothing, so train it again with `segdistill"
            " probe`",
            run,
            known,
            classes,
        )
    return probe


def _few(names: Sequence[str], most: int = 6) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(name[:40] for name in names[:most]) + more


def write_evaluation(
    evaluation: Evaluation,
    folder: Source,
    *,
    overwrite: bool = False,
) -> None:
    """Write an evaluation as ``evaluation.json`` and, for viewing, ``evaluation.html``.

    Also writes the confusion matrix of each kind of prediction, as CSV (pixel counts) and as PNG
    (normalised by label class).

    Args:
        evaluation: result of :func:`evaluate`.
        folder: folder to write to.
        overwrite: replace an earlier evaluation.

    Raises:
        UserError: the folder holds an earlier evaluation, or cannot be written.
    """
    # matplotlib is slow to import and builds a font cache, so only import it for figures.
    from segdistill.figures.confusion import write_confusion_png  # noqa: PLC0415

    target = Path(folder)
    check_output_folder(target, overwrite=overwrite)
    remove_leftovers(target)
    with translate_os_errors(target):
        for path in output_files(target):
            # Files of an earlier evaluation that this one does not replace would be misleading.
            path.unlink(missing_ok=True)
    for kind in evaluation.scores:
        table = evaluation.table(kind)
        write_confusion_csv(target / confusion_file(kind, ".csv"), table)
        title = TITLES.get(kind, kind)
        write_confusion_png(target / confusion_file(kind, ".png"), table, title=title)
    write_evaluation_page(target / SCORES_PAGE, evaluation)
    # Written last: if it exists, the evaluation is complete.
    write_record(target, record_of(evaluation))


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
    """Train a linear probe on a model's codes and save it in the run folder.

    The probe measures the quality of the codes; masks do not depend on it.

    Args:
        run: a run folder.
        labelled: training images with labels.
        seed: random seed for the choice of pixels and the initial weights.
        backbone: new location of the run's backbone, if it has moved.
        device: device to compute on.
        precision: precision of matrix products.
        progress: show progress bars.

    Raises:
        UserError: invalid input; the message says what is wrong and suggests a fix.
    """
    segmenter = load_segmenter(run, backbone, device, precision)
    trained = fit_linear_probe(
        segmenter, labelled.pairs, labelled.read, seed=seed, progress=progress
    )
    trained.names = labelled.names
    write_linear_probe(trained, Path(run))
    return trained

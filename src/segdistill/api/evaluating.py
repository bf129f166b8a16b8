"""Scoring a model against labels."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segdistill.api.common import Source, loaded
from segdistill.api.labelled import LabelledSet, labelled_folders
from segdistill.config.settings import DeviceName, PrecisionName
from segdistill.evaluation.confusion import Scores, score
from segdistill.evaluation.folder import confusion_over_files
from segdistill.evaluation.output import (
    SCORES_FILE,
    plain_scores,
    write_confusion_csv,
    write_scores_json,
)
from segdistill.inference.protocol import Protocol
from segdistill.model.linear_probe import LinearProbe, read_linear_probe, write_linear_probe
from segdistill.model.segmenter import Segmenter
from segdistill.training.linear_probe import fit_linear_probe


@dataclass(frozen=True)
class Evaluation:
    """Scores of a model on a labelled set.

    Attributes:
        scores: of the clusters, after matching them to label classes.
        linear: of the linear probe, if the run has one.
        counts: confusion matrices by name, shape (predictions, label classes).
        names: of the label classes, as far as they are known.
        images: number of images scored.
    """

    scores: Scores
    linear: Scores | None
    counts: dict[str, NDArray[np.int64]]
    names: tuple[str, ...]
    images: int


def evaluate(
    run: Source | Segmenter,
    images: Source,
    labels: Source,
    *,
    protocol: Protocol | None = None,
    progress: bool = False,
) -> Evaluation:
    """Score a model against the label files of a folder; see :func:`evaluate_set`.

    Args:
        run: a run folder, or a model.
        images: a folder or pattern.
        labels: a folder of class-index images of the same names; 255 means 'not labelled'.
        protocol: how masks are made; by default the product's way, at full size.
        progress: show a progress bar.

    Raises:
        UserError: something given cannot be used; the message names it and the mend.
    """
    labelled = labelled_folders(images, labels)
    return evaluate_set(run, labelled, protocol=protocol, progress=progress)


def evaluate_set(
    run: Source | Segmenter,
    labelled: LabelledSet,
    *,
    protocol: Protocol | None = None,
    backbone: str | None = None,
    device: DeviceName = "auto",
    precision: PrecisionName = "auto",
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
        progress: show a progress bar.

    Raises:
        UserError: something given cannot be used; the message names it and the mend.
    """
    way = protocol or Protocol()
    segmenter = loaded(run, backbone, device, precision)
    probe = None if isinstance(run, Segmenter) else read_linear_probe(Path(run))
    clusters = {"cluster": len(segmenter.classes)}
    if probe is not None:
        clusters["linear"] = probe.out_features
    matrices = confusion_over_files(
        labelled.pairs,
        labelled.read,
        lambda image, labels: way.view(image, labels, segmenter),
        lambda image, size: way.predict(segmenter, probe, image, size),
        clusters,
        progress=progress,
    )
    counts = {name: matrix.counts for name, matrix in matrices.items()}
    return Evaluation(
        scores=score(counts["cluster"]),
        linear=None if probe is None else score(counts["linear"], matched=True),
        counts=counts,
        names=labelled.names,
        images=len(labelled.pairs),
    )


def write_evaluation(evaluation: Evaluation, folder: Path) -> None:
    """Write ``evaluation.json`` and a confusion matrix as CSV for each kind of prediction.

    Raises:
        UserError: the folder cannot be written.
    """
    content = {
        "images": evaluation.images,
        "cluster": plain_scores(evaluation.scores, evaluation.names),
        "linear": None
        if evaluation.linear is None
        else plain_scores(evaluation.linear, evaluation.names),
    }
    write_scores_json(folder / SCORES_FILE, content)
    for name, counts in evaluation.counts.items():
        write_confusion_csv(folder / f"confusion_{name}.csv", counts, evaluation.names)


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
        UserError: something given cannot be used; the message names it and the mend.
    """
    segmenter = loaded(run, backbone, device, precision)
    trained = fit_linear_probe(
        segmenter, labelled.pairs, labelled.read, seed=seed, progress=progress
    )
    write_linear_probe(trained, Path(run))
    return trained

"""Drawing and writing all figures of a run."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from segdistill.evaluation.confusion import ConfusionMatrix, score
from segdistill.evaluation.result import Evaluation
from segdistill.figures.colouring import (
    Picture,
    Rgba,
    class_colours,
    matched_colours,
    painted,
)
from segdistill.figures.comparison import comparison_figure
from segdistill.figures.curves import agreement_curve, loss_curves, training_figure
from segdistill.figures.iou import iou_figure
from segdistill.figures.legend import legend_entries, legend_figure
from segdistill.figures.options import (
    COMPARISON,
    IOU,
    LEGEND,
    TRAINING,
    FigureOptions,
    figure_files,
)
from segdistill.figures.samples import CLUSTERED, REFINED, SEGMENTED, Shown
from segdistill.figures.style import paper_style, write_figure
from segdistill.files import translate_os_errors
from segdistill.model.description import SegmentClass
from segdistill.runs.folder import RunFolder


@dataclass(frozen=True)
class Subject:
    """Content of the figures.

    Attributes:
        run: the run folder.
        classes: of the run.
        clusters: number of clusters of the k-means baseline; 0 without it.
        shown: images to show.
        scored: scores of the run, if there are labels.
        clusters_scored: scores of the k-means baseline, if there are labels.
    """

    run: RunFolder
    classes: tuple[SegmentClass, ...]
    clusters: int
    shown: Sequence[Shown]
    scored: Evaluation | None = None
    clusters_scored: Evaluation | None = None

    @property
    def matched(self) -> tuple[int | None, ...]:
        """For each label class the class of the run that is matched to it."""
        return () if self.scored is None else self.scored.scores["cluster"].predictions

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the label classes."""
        return () if self.scored is None else self.scored.labels

    @property
    def label_colours(self) -> list[Rgba]:
        """Colours of the label classes: those of their matched classes.

        Label classes matched to hidden classes are shown too, for reference.
        """
        return matched_colours(self.matched, [(*each.colour, 255) for each in self.classes])


def write_figures(subject: Subject, folder: Path, options: FigureOptions) -> list[Path]:
    """Draw and write all figures for which there is data.

    Args:
        folder: output folder; figures of an earlier call are removed.

    Returns:
        The written files.

    Raises:
        UserError: a file cannot be written.
    """
    with paper_style():
        colours = subject.label_colours
        entries = legend_entries(subject.classes, subject.labels, subject.matched, colours)
        figures = {
            COMPARISON: comparison_of(subject, options.columns),
            LEGEND: legend_figure(entries),
            IOU: iou_of(subject),
            TRAINING: training_of(subject.run),
        }
        with translate_os_errors(folder):
            for path in figure_files(folder):
                # Stale figures of an earlier call must not remain.
                path.unlink(missing_ok=True)
        return [
            path
            for name, figure in figures.items()
            if figure is not None
            for path in write_figure(figure, folder, name, options.formats)
        ]


def comparison_of(subject: Subject, columns: int) -> Figure:
    """Draw images, labels, the k-means baseline and segments."""
    shown, colours = subject.shown, class_colours(subject.classes)
    rows: list[tuple[str, Sequence[Picture | None]]] = [("Image", [each.image for each in shown])]
    if subject.scored is not None:
        of_labels = subject.label_colours
        labels = [
            None if each.labels is None else painted(each.labels, of_labels) for each in shown
        ]
        rows.append(("Label", labels))
    of_kind = {SEGMENTED: colours, REFINED: colours, CLUSTERED: cluster_colours(subject)}
    rows += [
        (kind, [painted(each.masks[kind], of_kind[kind]) for each in shown])
        for kind in shown[0].masks
    ]
    return comparison_figure(rows, columns=columns)


def cluster_colours(subject: Subject) -> list[Rgba]:
    """Return the colours of the baseline clusters.

    Clusters are matched one to one to the classes by overlap in the images shown. Unmatched
    clusters get new colours, and clusters mostly inside hidden classes are hidden.
    """
    if not subject.clusters:
        return []
    matrix = ConfusionMatrix(subject.clusters, len(subject.classes))
    for each in subject.shown:
        matrix.update(each.masks[CLUSTERED], each.masks[SEGMENTED].astype(np.int64))
    counts = matrix.counts
    colours = matched_colours(
        score(counts).match, class_colours(subject.classes), subject.label_colours
    )
    hidden = counts @ np.array([each.hidden for each in subject.classes]) > counts.sum(axis=1) / 2
    return [
        (*colour[:3], 0) if is_hidden else colour
        for colour, is_hidden in zip(colours, hidden, strict=True)
    ]


def iou_of(subject: Subject) -> Figure | None:
    """Draw the IoU of each label class, if there are labels."""
    if subject.scored is None:
        return None
    series = {}
    if subject.clusters_scored is not None:
        series[CLUSTERED] = subject.clusters_scored.scores["cluster"]
    for title, kind in ((SEGMENTED, "cluster"), (REFINED, "cluster_crf")):
        if kind in subject.scored.scores:
            series[title] = subject.scored.scores[kind]
    return iou_figure(series, subject.labels, subject.label_colours)


def training_of(run: RunFolder) -> Figure | None:
    """Draw the training curves, if the run was trained."""
    losses, facts = loss_curves(run.read_history()), run.read_facts()
    if not losses:
        return None
    return training_figure(losses, agreement_curve(facts.agreement_history), facts.kept_step)

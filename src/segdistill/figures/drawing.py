"""All figures of a run."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from matplotlib.figure import Figure

from segdistill.evaluation.result import Evaluation
from segdistill.figures.colouring import (
    Shade,
    match_masks,
    matched_shades,
    painted,
    shades_of,
    shares_within,
)
from segdistill.figures.comparison import GridRow, comparison_figure
from segdistill.figures.iou import IouSeries, iou_figure
from segdistill.figures.legend import legend_entries, legend_figure
from segdistill.figures.options import FigureOptions
from segdistill.figures.output import COMPARISON, IOU, LEGEND, TRAINING, figure_files
from segdistill.figures.samples import CLUSTERED, REFINED, SEGMENTED, Shown
from segdistill.figures.style import paper_style, write_figure
from segdistill.figures.training_curves import training_figure
from segdistill.files import translate_os_errors
from segdistill.model.description import SegmentClass
from segdistill.training.run_folder import RunFolder


@dataclass(frozen=True)
class Scored:
    """What labels tell of a run.

    Attributes:
        segments: scores of the run.
        clustered: scores of the clusters of features, if there are any.
    """

    segments: Evaluation
    clustered: Evaluation | None

    @property
    def matched(self) -> tuple[int | None, ...]:
        """For each label class the class of the run that is matched to it."""
        return self.segments.scores["cluster"].predictions


@dataclass(frozen=True)
class Subject:
    """What figures are drawn of.

    Attributes:
        run: the run folder.
        classes: of the run.
        clusters: number of clusters of features that the run is compared with.
        shown: the images.
        scored: what labels tell, if there are any.
    """

    run: RunFolder
    classes: tuple[SegmentClass, ...]
    clusters: int
    shown: Sequence[Shown]
    scored: Scored | None = None

    @property
    def label_shades(self) -> tuple[Shade, ...]:
        """How label classes are shown: in the colours of the classes that they are matched to.

        Those of hidden classes, too: labels are what segments are held against.
        """
        if self.scored is None:
            return ()
        colours = [Shade(each.colour) for each in self.classes]
        return matched_shades(self.scored.matched, colours)


def write_figures(subject: Subject, folder: Path, options: FigureOptions) -> list[Path]:
    """Draw and write all figures for which there is something to show.

    Args:
        subject: what to draw.
        folder: where to; the figures of an earlier call are removed.
        options: how.

    Returns:
        The files.

    Raises:
        UserError: a file cannot be written.
    """
    with paper_style():
        figures = {
            COMPARISON: comparison_of(subject, options.columns),
            LEGEND: legend_of(subject),
            IOU: iou_of(subject),
            TRAINING: training_of(subject.run),
        }
        with translate_os_errors(folder):
            for path in figure_files(folder):
                # What an earlier call drew and this one does not must not be taken for its own.
                path.unlink(missing_ok=True)
        return [
            path
            for name, figure in figures.items()
            if figure is not None
            for path in write_figure(figure, folder, name, options.formats)
        ]


def comparison_of(subject: Subject, columns: int) -> Figure:
    """Draw images above their labels, clusters of features and segments."""
    shown, shades = subject.shown, shades_of(subject.classes)
    rows = [GridRow("Image", [each.image for each in shown])]
    if subject.scored is not None:
        of_labels = subject.label_shades
        labels = [
            None if each.labels is None else painted(each.labels, of_labels) for each in shown
        ]
        rows.append(GridRow("Label", labels))
    of_kind = {SEGMENTED: shades, REFINED: shades, CLUSTERED: cluster_shades(subject)}
    rows += [
        GridRow(kind, [painted(each.masks[kind], of_kind[kind]) for each in shown])
        for kind in shown[0].masks
    ]
    return comparison_figure(rows, columns=columns)


def cluster_shades(subject: Subject) -> tuple[Shade, ...]:
    """Return how clusters of features are shown: as the classes that they overlap most.

    One to one, in the images shown; clusters that are left over have colours of their own. A
    cluster that lies mostly in hidden classes is hidden, too.
    """
    if not subject.clusters:
        return ()
    clusters = [each.masks[CLUSTERED] for each in subject.shown]
    segments = [each.masks[SEGMENTED] for each in subject.shown]
    match = match_masks(clusters, segments, subject.clusters, len(subject.classes))
    taken = [each.colour for each in subject.label_shades]
    shades = matched_shades(match, shades_of(subject.classes), taken)
    hidden = shares_within(
        clusters, segments, subject.clusters, [each.hidden for each in subject.classes]
    )
    return tuple(
        replace(shade, hidden=shade.hidden or share > 1 / 2)
        for shade, share in zip(shades, hidden.tolist(), strict=True)
    )


def legend_of(subject: Subject) -> Figure:
    """Draw the colours with their names."""
    if subject.scored is None:
        return legend_figure(legend_entries(subject.classes))
    scored = subject.scored
    return legend_figure(
        legend_entries(
            subject.classes, scored.segments.labels, scored.matched, subject.label_shades
        )
    )


def iou_of(subject: Subject) -> Figure | None:
    """Draw the IoU of each label class, if there are labels."""
    scored = subject.scored
    if scored is None:
        return None
    found = [] if scored.clustered is None else [(CLUSTERED, scored.clustered.scores["cluster"])]
    found.append((SEGMENTED, scored.segments.scores["cluster"]))
    if "cluster_crf" in scored.segments.scores:
        found.append((REFINED, scored.segments.scores["cluster_crf"]))
    return iou_figure(
        [IouSeries(title, scores.iou, scores.mean_iou) for title, scores in found],
        scored.segments.labels,
        subject.label_shades,
    )


def training_of(run: RunFolder) -> Figure | None:
    """Draw the curves of a training, if there was one."""
    history, facts = run.read_history(), run.read_facts()
    if not history:
        return None
    return training_figure(
        history, facts.get("agreement_history", facts.get("looks", [])), facts.get("kept_step")
    )

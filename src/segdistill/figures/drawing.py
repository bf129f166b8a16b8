"""Drawing and writing all figures of a run."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from matplotlib.figure import Figure

from segdistill.evaluation.result import Evaluation
from segdistill.figures.colouring import (
    ClassStyle,
    class_styles,
    colour_mask,
    match_masks,
    matched_styles,
    shares_within,
)
from segdistill.figures.comparison import GridRow, comparison_figure
from segdistill.figures.iou import IouSeries, iou_figure
from segdistill.figures.legend import legend_entries, legend_figure
from segdistill.figures.options import FigureOptions
from segdistill.figures.output import COMPARISON, IOU, LEGEND, TRAINING, figure_files
from segdistill.figures.samples import CLUSTERED, REFINED, SEGMENTED, FigureImage
from segdistill.figures.style import paper_style, write_figure
from segdistill.figures.training_curves import training_figure
from segdistill.files import translate_os_errors
from segdistill.model.description import SegmentClass
from segdistill.training.run_folder import RunFolder


@dataclass(frozen=True)
class FigureScores:
    """Scores against labels.

    Attributes:
        segments: evaluation of the run.
        clustered: evaluation of the k-means baseline, if any.
    """

    segments: Evaluation
    clustered: Evaluation | None

    @property
    def matched(self) -> tuple[int | None, ...]:
        """The class of the run matched to each label class, or ``None``."""
        return self.segments.scores["cluster"].predictions


@dataclass(frozen=True)
class FigureData:
    """Content of the figures.

    Attributes:
        run: the run folder.
        classes: classes of the run.
        clusters: number of clusters of the k-means baseline; 0 without it.
        shown: images to show.
        scored: scores against labels, if there are labels.
    """

    run: RunFolder
    classes: tuple[SegmentClass, ...]
    clusters: int
    shown: Sequence[FigureImage]
    scored: FigureScores | None = None

    @property
    def label_styles(self) -> tuple[ClassStyle, ...]:
        """Display styles of the label classes, in the colours of their matched classes.

        Label classes matched to hidden classes are shown too, for reference.
        """
        if self.scored is None:
            return ()
        colours = [ClassStyle(each.colour) for each in self.classes]
        return matched_styles(self.scored.matched, colours)


def write_figures(data: FigureData, folder: Path, options: FigureOptions) -> list[Path]:
    """Draw and write all figures for which there is data.

    Args:
        data: content of the figures.
        folder: output folder; figures of an earlier call are removed.
        options: figure options.

    Returns:
        The written files.

    Raises:
        UserError: a file cannot be written.
    """
    with paper_style():
        figures = {
            COMPARISON: comparison_of(data, options.columns),
            LEGEND: legend_of(data),
            IOU: iou_of(data),
            TRAINING: training_of(data.run),
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


def comparison_of(data: FigureData, columns: int) -> Figure:
    """Draw images, labels, the k-means baseline and segments."""
    shown, styles = data.shown, class_styles(data.classes)
    rows = [GridRow("Image", [each.image for each in shown])]
    if data.scored is not None:
        of_labels = data.label_styles
        labels = [
            None if each.labels is None else colour_mask(each.labels, of_labels) for each in shown
        ]
        rows.append(GridRow("Label", labels))
    of_kind = {SEGMENTED: styles, REFINED: styles, CLUSTERED: cluster_styles(data)}
    rows += [
        GridRow(kind, [colour_mask(each.masks[kind], of_kind[kind]) for each in shown])
        for kind in shown[0].masks
    ]
    return comparison_figure(rows, columns=columns)


def cluster_styles(data: FigureData) -> tuple[ClassStyle, ...]:
    """Return the display styles of the baseline clusters.

    Clusters are matched one to one to the classes by overlap in the images shown. Unmatched
    clusters get other colours, and clusters mostly inside hidden classes are hidden.
    """
    if not data.clusters:
        return ()
    clusters = [each.masks[CLUSTERED] for each in data.shown]
    segments = [each.masks[SEGMENTED] for each in data.shown]
    match = match_masks(clusters, segments, data.clusters, len(data.classes))
    taken = [each.colour for each in data.label_styles]
    styles = matched_styles(match, class_styles(data.classes), taken)
    hidden = shares_within(
        clusters, segments, data.clusters, [each.hidden for each in data.classes]
    )
    return tuple(
        replace(style, hidden=style.hidden or share > 1 / 2)
        for style, share in zip(styles, hidden.tolist(), strict=True)
    )


def legend_of(data: FigureData) -> Figure:
    """Draw the legend."""
    if data.scored is None:
        return legend_figure(legend_entries(data.classes))
    scored = data.scored
    return legend_figure(
        legend_entries(data.classes, scored.segments.labels, scored.matched, data.label_styles)
    )


def iou_of(data: FigureData) -> Figure | None:
    """Draw the IoU of each label class, if there are labels."""
    scored = data.scored
    if scored is None:
        return None
    found = [] if scored.clustered is None else [(CLUSTERED, scored.clustered.scores["cluster"])]
    found.append((SEGMENTED, scored.segments.scores["cluster"]))
    if "cluster_crf" in scored.segments.scores:
        found.append((REFINED, scored.segments.scores["cluster_crf"]))
    return iou_figure(
        [IouSeries(title, scores.iou, scores.mean_iou) for title, scores in found],
        scored.segments.labels,
        data.label_styles,
    )


def training_of(run: RunFolder) -> Figure | None:
    """Draw the training curves, if the run was trained."""
    history, facts = run.read_history(), run.read_facts()
    if not history:
        return None
    return training_figure(
        history, facts.get("agreement_history", facts.get("looks", [])), facts.get("kept_step")
    )

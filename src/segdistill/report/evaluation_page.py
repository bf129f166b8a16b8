"""The self-contained page that shows how a model scores against labels."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from segdistill.evaluation.confusion_table import ConfusionTable
from segdistill.evaluation.output import SCORES_FILE, confusion_file
from segdistill.evaluation.result import TITLES, Evaluation, is_label_class
from segdistill.files import write_text_atomically
from segdistill.report import recall_curves, text
from segdistill.report.recall_curves import PrecisionRecallCurve
from segdistill.report.rendering import render, skipped_files
from segdistill.version import __version__

LISTED_SKIPS = 200
MOST_CELLS = 4096
"""Confusion matrices of more cells than this are left to their CSV files."""

HIGH_SHARE = 0.7
"""Share from which a cell is so strong in colour that its text takes the other colour."""

LOW_SHARE = 0.005
"""Share below which a cell says 0."""


@dataclass(frozen=True)
class Headline:
    """What one kind of prediction reaches.

    Attributes:
        title: of the kind.
        accuracy: in words.
        mean_iou: in words.
        boundary_f: in words; empty where it was not measured.
    """

    title: str
    accuracy: str
    mean_iou: str
    boundary_f: str = ""


@dataclass(frozen=True)
class ClassScore:
    """IoU of a label class by one kind of prediction.

    Attributes:
        iou: in words.
        bar: length of the bar, from 0 to 1.
        match: the cluster matched to the class, in words; empty where nothing is matched.
    """

    iou: str
    bar: float
    match: str


@dataclass(frozen=True)
class ClassRow:
    """A row of the table of label classes.

    Attributes:
        name: of the class.
        share: of the labelled pixels, in words.
        scores: one for each kind of prediction.
    """

    name: str
    share: str
    scores: list[ClassScore]


@dataclass(frozen=True)
class Cell:
    """A cell of a confusion matrix.

    Attributes:
        text: per cent of its row; empty for none.
        share: of its row, 0..1, by which it is shaded.
        style: names that the style sheet knows.
    """

    text: str
    share: float
    style: str


@dataclass(frozen=True)
class Confusions:
    """A confusion matrix of the page.

    Attributes:
        title: of the kind of prediction.
        headings: of the columns.
        rows: names of label classes with their cells; empty where the matrix is too large.
        csv: name of the file with the counts.
    """

    title: str
    headings: tuple[str, ...]
    rows: list[tuple[str, list[Cell]]]
    csv: str


def write_evaluation_page(
    path: Path, evaluation: Evaluation, *, curves: Sequence[PrecisionRecallCurve] = ()
) -> None:
    """Write one HTML file that needs no other file and no network.

    Args:
        path: of the file.
        evaluation: what is shown.
        curves: precision and recall of correspondences; their section is left out without any.

    Raises:
        UserError: the file cannot be written.
    """
    kinds = list(evaluation.scores)
    context = {
        "page": "evaluation",
        "title": evaluation.run or "Evaluation",
        "summary": summary(evaluation),
        "headlines": headlines(evaluation),
        "titles": [TITLES.get(kind, kind) for kind in kinds],
        "has_boundaries": any(map(evaluation.boundary_scores, kinds)),
        "has_clusters": not all(map(is_label_class, kinds)),
        "classes": class_rows(evaluation),
        "confusions": [confusions(evaluation, kind) for kind in kinds],
        "facts": facts(evaluation),
        "curves": recall_curves.draw(curves),
        "drawing": recall_curves,
        "scores_file": SCORES_FILE,
        **skipped_files(
            [(str(each.file.path), each.reason) for each in evaluation.skipped], LISTED_SKIPS
        ),
    }
    page = render("evaluation.html.j2", context, styles=("style.css", "evaluation.css"))
    write_text_atomically(path, page)


def summary(evaluation: Evaluation) -> str:
    """Say in a few words what was scored."""
    images = text.counted(evaluation.images, "image")
    labels = text.counted(len(evaluation.labels), "label class", "label classes")
    pixels = next(iter(evaluation.scores.values())).pixels
    return f"Scored against the labels of {images}: {pixels:,} labelled pixels, {labels}."


def headlines(evaluation: Evaluation) -> list[Headline]:
    """Prepare accuracy, mean IoU and boundary F of each kind of prediction."""
    found = []
    for kind, scores in evaluation.scores.items():
        boundary = evaluation.boundary_scores(kind)
        found.append(
            Headline(
                TITLES.get(kind, kind),
                tenths(scores.accuracy),
                tenths(scores.mean_iou),
                "" if boundary is None else tenths(boundary.mean_f),
            )
        )
    return found


def class_rows(evaluation: Evaluation) -> list[ClassRow]:
    """Prepare the table of label classes."""
    pixels = next(iter(evaluation.counts.values())).sum(axis=0)
    shares = (pixels / max(int(pixels.sum()), 1)).tolist()
    columns = [class_scores(evaluation, kind) for kind in evaluation.scores]
    return [
        ClassRow(name, text.percent(share), list(scores))
        for name, share, *scores in zip(evaluation.labels, shares, *columns, strict=True)
    ]


def class_scores(evaluation: Evaluation, kind: str) -> list[ClassScore]:
    """Prepare the IoU of each label class by one kind of prediction."""
    scores, predictions = evaluation.scores[kind], evaluation.predictions(kind)
    found = []
    for iou, matched in zip(scores.iou, scores.predictions, strict=True):
        if is_label_class(kind) or math.isnan(iou):
            match = ""
        else:
            match = "no cluster" if matched is None else predictions[matched]
        bar = 0.0 if math.isnan(iou) else round(iou, 4)
        found.append(ClassScore(tenths(iou), bar, match))
    return found


def confusions(evaluation: Evaluation, kind: str) -> Confusions:
    """Prepare the confusion matrix of one kind of prediction."""
    table = evaluation.table(kind)
    rows = (
        [] if table.counts.size > MOST_CELLS else list(zip(table.rows, cells(table), strict=True))
    )
    return Confusions(TITLES.get(kind, kind), table.headings, rows, confusion_file(kind, ".csv"))


def cells(table: ConfusionTable) -> list[list[Cell]]:
    """Prepare the cells of a confusion matrix, row by row."""
    shares = np.nan_to_num(table.shares).tolist()
    return [
        [
            Cell(
                f"{100 * share:.0f}" if share else "",
                round(share, 3),
                cell_style(share, agrees=column == matched),
            )
            for column, share in enumerate(row)
        ]
        for row, matched in zip(shares, table.matched, strict=True)
    ]


def cell_style(share: float, *, agrees: bool) -> str:
    """Return what the style sheet should know of a cell.

    Example:
        >>> cell_style(0.9, agrees=True), cell_style(0.001, agrees=False)
        ('agrees high', 'low')
    """
    shade = "high" if share >= HIGH_SHARE else "low" if share < LOW_SHARE else ""
    return " ".join(name for name in ("agrees" if agrees else "", shade) if name)


def facts(evaluation: Evaluation) -> list[tuple[str, str]]:
    """Say how masks were made, and by what."""
    way = evaluation.protocol
    resizing = {"bicubic": "bicubic", "nearest": "nearest pixel, as STEGO's code does"}
    said = [
        ("Run", evaluation.run or "a model in memory"),
        ("Images scored", f"{evaluation.images:,}"),
        ("Images skipped", f"{len(evaluation.skipped):,}"),
    ]
    if way:
        said += [
            ("Scored", "the middle square" if way["square"] else "whole images at full size"),
            ("Shorter side as seen", f"{way['resolution']} pixels"),
            ("Resizing", resizing.get(way["resampling"], str(way["resampling"]))),
            ("Averaged with the mirrored image", "yes" if way["mirror"] else "no"),
            ("CRF", "yes, beside masks without it" if way["crf"] else "no"),
        ]
    return [*said, ("segdistill", __version__), ("PyTorch", torch.__version__)]


def tenths(share: float) -> str:
    """Write a share from 0 to 1 in per cent with one decimal.

    Example:
        >>> tenths(0.5).replace(text.NO_BREAK_SPACE, " "), tenths(float("nan"))
        ('50.0 %', '–')
    """
    return "–" if math.isnan(share) else f"{100 * share:.1f}{text.NO_BREAK_SPACE}%"

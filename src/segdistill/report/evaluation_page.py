"""Self-contained HTML report of an evaluation."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch

from segdistill.evaluation.confusion_table import ConfusionTable
from segdistill.evaluation.output import confusion_file
from segdistill.evaluation.result import TITLES, Evaluation, is_label_class
from segdistill.files import write_text_atomically
from segdistill.layout import SCORES_FILE
from segdistill.report import text
from segdistill.report.rendering import render, skipped_files
from segdistill.version import __version__

MOST_CELLS = 4096
"""Maximum number of cells of a confusion matrix on the page; larger ones are only in CSV files."""

HIGH_SHARE = 0.7
"""Share from which cells use the text colour for strong backgrounds."""

LOW_SHARE = 0.005
"""Share below which a cell is rounded to 0."""


def write_evaluation_page(path: Path, evaluation: Evaluation) -> None:
    """Write a self-contained HTML report of an evaluation.

    Raises:
        UserError: the file cannot be written.
    """
    kinds = list(evaluation.scores)
    skipped = [(str(each.file.path), each.reason) for each in evaluation.skipped]
    context = {
        "page": "evaluation",
        "title": evaluation.run or "Evaluation",
        "summary": summary(evaluation),
        "headlines": [headline(evaluation, kind) for kind in kinds],
        "titles": [TITLES.get(kind, kind) for kind in kinds],
        "has_many_to_one": any(map(evaluation.many_to_one, kinds)),
        "has_boundaries": any(map(evaluation.boundary_scores, kinds)),
        "has_clusters": not all(map(is_label_class, kinds)),
        "classes": class_rows(evaluation),
        "confusions": [confusions(evaluation, kind) for kind in kinds],
        "facts": facts(evaluation),
        "scores_file": SCORES_FILE,
        **correspondences(evaluation),
        **skipped_files(skipped),
    }
    page = render("evaluation.html.j2", context, styles=("style.css", "evaluation.css"))
    write_text_atomically(path, page)


def summary(evaluation: Evaluation) -> str:
    """Summarise what was scored in one sentence."""
    images = text.counted(evaluation.images, "image")
    labels = text.counted(len(evaluation.listed), "label class", "label classes")
    pixels = next(iter(evaluation.scores.values())).pixels
    return f"Scored against the labels of {images}: {pixels:,} labelled pixels, {labels}."


def headline(evaluation: Evaluation, kind: str) -> tuple[str, list[tuple[str, str]]]:
    """Return the title and the named scores of a kind of prediction."""
    scores, boundary = evaluation.scores[kind], evaluation.boundary_scores(kind)
    named = [("Accuracy", scores.accuracy), ("mIoU", scores.mean_iou)]
    if boundary is not None:
        named.append(("Boundary F", boundary.mean_f))
    many = evaluation.many_to_one(kind)
    if many is not None:
        named += [("Many-to-one accuracy", many.accuracy), ("Many-to-one mIoU", many.mean_iou)]
    return TITLES.get(kind, kind), [(name, tenths(share)) for name, share in named]


def class_rows(evaluation: Evaluation) -> list[tuple[str, str, list[tuple[str, float, str]]]]:
    """Return the name, share and scores of each label class; see :func:`class_scores`."""
    pixels = next(iter(evaluation.counts.values())).sum(axis=0)
    shares = (pixels / max(int(pixels.sum()), 1)).tolist()
    columns = [class_scores(evaluation, kind) for kind in evaluation.scores]
    return [
        (name, text.percent(shares[index]), [scores[index] for scores in columns])
        for index, name in evaluation.listed_labels
    ]


def class_scores(evaluation: Evaluation, kind: str) -> list[tuple[str, float, str]]:
    """Return the IoU, its bar length in 0..1, and the matched cluster of each label class."""
    scores, predictions = evaluation.scores[kind], evaluation.predictions(kind)
    found = []
    for iou, matched in zip(scores.iou, scores.predictions, strict=True):
        match = "no cluster" if matched is None else predictions[matched]
        if is_label_class(kind) or math.isnan(iou):
            match = ""
        found.append((tenths(iou), 0.0 if math.isnan(iou) else round(iou, 4), match))
    return found


def confusions(evaluation: Evaluation, kind: str) -> dict[str, Any]:
    """Return the title, headings, rows and CSV file of a confusion matrix."""
    table = evaluation.table(kind)
    shown = table.counts.size <= MOST_CELLS
    return {
        "title": TITLES.get(kind, kind),
        "headings": table.headings,
        "rows": list(zip(table.rows, cells(table), strict=True)) if shown else [],
        "csv": confusion_file(kind, ".csv"),
    }


def cells(table: ConfusionTable) -> list[list[tuple[str, float, str]]]:
    """Return the text, share and CSS classes of each cell of a confusion matrix, row by row."""
    return [
        [
            (
                f"{100 * share:.0f}" if share else "",
                round(share, 3),
                cell_style(share, agrees=column == matched),
            )
            for column, share in enumerate(row)
        ]
        for row, matched in zip(np.nan_to_num(table.shares).tolist(), table.matched, strict=True)
    ]


def cell_style(share: float, *, agrees: bool) -> str:
    """Return the CSS classes of a cell.

    Example:
        >>> cell_style(0.9, agrees=True), cell_style(0.001, agrees=False)
        ('agrees high', 'low')
    """
    shade = "high" if share >= HIGH_SHARE else "low" if share < LOW_SHARE else ""
    return " ".join(name for name in ("agrees" if agrees else "", shade) if name)


def facts(evaluation: Evaluation) -> list[tuple[str, str]]:
    """Return the run, the protocol and the versions."""
    way = evaluation.protocol
    resizing = {"bicubic": "bicubic", "nearest": "nearest neighbour, as in STEGO's code"}
    rows = [
        ("Run", evaluation.run or "a model in memory"),
        ("Images scored", f"{evaluation.images:,}"),
        ("Images skipped", f"{len(evaluation.skipped):,}"),
    ]
    if way:
        rows += [
            ("Scored", "the middle square" if way["square"] else "whole images at full size"),
            ("Shorter side of the input", f"{way['resolution']} pixels"),
            ("Resizing", resizing.get(way["resampling"], str(way["resampling"]))),
            ("Averaged with the mirrored image", "yes" if way["mirror"] else "no"),
            ("CRF", "yes, in addition to masks without it" if way["crf"] else "no"),
        ]
    return [*rows, ("segdistill", __version__), ("PyTorch", torch.__version__)]


def correspondences(evaluation: Evaluation) -> dict[str, Any]:
    """Return the section on precision and recall of correspondences, if measured."""
    if not evaluation.curves:
        return {"curves": [], "recall_chart": ""}
    # matplotlib is slow to import and caches fonts, so import it only to draw charts.
    from segdistill.report.charts import recall_chart  # noqa: PLC0415

    chart, styles = recall_chart(evaluation.curves)
    return {
        "recall_chart": chart,
        "curves": [
            (curve.name, *style, f"{curve.average_precision:.3f}")
            for curve, style in zip(evaluation.curves, styles, strict=True)
        ],
    }


def tenths(share: float) -> str:
    """Format a share in 0..1 as a percentage with one decimal.

    Example:
        >>> tenths(0.5), tenths(float("nan"))
        ('50.0%', '–')
    """
    return "–" if math.isnan(share) else f"{share:.1%}"

"""Output of scores as CSV and text, and the files of an evaluation."""

import csv
import math
from pathlib import Path

from segdistill.evaluation.confusion_table import ConfusionTable
from segdistill.evaluation.result import TITLES, Evaluation
from segdistill.files import atomic_path, check_new
from segdistill.layout import SCORES_FILE, SCORES_PAGE


def confusion_file(kind: str, suffix: str) -> str:
    """Return the file name of a confusion matrix, such as ``confusion_cluster.csv``."""
    return f"confusion_{kind}{suffix}"


def output_files(folder: Path) -> list[Path]:
    """Return all files that an evaluation may write to a folder."""
    matrices = [confusion_file(kind, suffix) for kind in TITLES for suffix in (".csv", ".png")]
    return [folder / name for name in (SCORES_FILE, SCORES_PAGE, *matrices)]


def check_output_folder(folder: Path, *, overwrite: bool) -> None:
    """Check that an evaluation can be written, before loading a model.

    Raises:
        UserError: the path is a file, or a folder with an earlier evaluation without ``overwrite``.
    """
    check_new(folder, output_files(folder), "the evaluation", overwrite=overwrite)


def write_confusion_csv(path: Path, table: ConfusionTable) -> None:
    """Write a confusion matrix in pixels, with one row per label class.

    Raises:
        UserError: the file cannot be written.
    """
    with (
        atomic_path(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(["label", *table.columns])
        for name, counts in zip(table.rows, table.counts.tolist(), strict=True):
            writer.writerow([name, *counts])


def scores_text(evaluation: Evaluation) -> str:
    """Format accuracy, mIoU, boundary F and per-class IoU as text, with one column per kind."""
    kinds = list(evaluation.scores)
    titles = [TITLES.get(kind, kind) for kind in kinds]
    values = list(evaluation.scores.values())
    lines = [
        ("", *titles, ""),
        ("Accuracy:", *(_percent(scores.accuracy) for scores in values), ""),
        ("mIoU:", *(_percent(scores.mean_iou) for scores in values), ""),
    ]
    boundaries = [evaluation.boundary_scores(kind) for kind in kinds]
    if any(boundaries):
        means = (math.nan if each is None else each.mean_f for each in boundaries)
        lines.append(("Boundary F:", *map(_percent, means), ""))
    many = [evaluation.many_to_one(kind) for kind in kinds]
    if any(many):
        shares = [
            (math.nan,) * 2 if each is None else (each.accuracy, each.mean_iou) for each in many
        ]
        accuracies, ious = zip(*shares, strict=True)
        lines.append(("Many-to-one accuracy:", *map(_percent, accuracies), ""))
        lines.append(("Many-to-one mIoU:", *map(_percent, ious), ""))
    lines.append(("IoU:", *("" for _ in kinds), "matched"))
    matched, predictions = values[0].predictions, evaluation.predictions(kinds[0])
    for index, name in evaluation.listed_labels:
        prediction = matched[index]
        lines.append(
            (
                f"  {name}",
                *(_percent(scores.iou[index]) for scores in values),
                "none" if prediction is None else predictions[prediction],
            )
        )
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = "\n".join(_align(line, widths) for line in lines)
    unmatched = values[0].match.count(-1)
    if unmatched:
        text += (
            f"\n{unmatched} of {len(predictions)} clusters match no label class;"
            " their pixels count as wrong."
        )
    if any(many):
        text += (
            "\nMany-to-one: each cluster is assigned to its best class, chosen on half of the"
            " images and scored on the other half."
        )
    return text


def _align(cells: tuple[str, ...], widths: list[int]) -> str:
    first, *middle, last = cells
    numbers = [f"{cell:>{width}}" for cell, width in zip(middle, widths[1:-1], strict=True)]
    return "  ".join([f"{first:<{widths[0]}}", *numbers, last]).rstrip()


def _percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{share:.1%}"

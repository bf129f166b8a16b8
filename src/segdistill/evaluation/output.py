"""Output of scores as JSON, CSV and text."""

import csv
import json
import math
from pathlib import Path
from typing import Any

from segdistill.errors import UserError
from segdistill.evaluation.confusion import score_as_released
from segdistill.evaluation.confusion_table import ConfusionTable
from segdistill.evaluation.result import TITLES, Evaluation, is_label_class
from segdistill.files import atomic_path, write_text_atomically
from segdistill.version import __version__

SCORES_FILE = "evaluation.json"
PAGE_FILE = "evaluation.html"


def confusion_file(kind: str, suffix: str) -> str:
    """Return the file name of a confusion matrix, such as ``confusion_cluster.csv``."""
    return f"confusion_{kind}{suffix}"


def output_files(folder: Path) -> list[Path]:
    """Return all files that an evaluation may write to a folder."""
    matrices = [confusion_file(kind, suffix) for kind in TITLES for suffix in (".csv", ".png")]
    return [folder / name for name in (SCORES_FILE, PAGE_FILE, *matrices)]


def check_output_folder(folder: Path, *, overwrite: bool) -> None:
    """Check that an evaluation can be written, before loading a model.

    Raises:
        UserError: the path is a file, or a folder with an earlier evaluation without ``overwrite``.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: is a file, not a folder; choose another --out")
    there = [path for path in output_files(folder) if path.exists()]
    if there and not overwrite:
        raise UserError(
            f"{there[0]}: already exists; add --overwrite to replace the evaluation, or choose"
            " another --out"
        )


def evaluation_content(evaluation: Evaluation) -> dict[str, Any]:
    """Convert an evaluation to plain values for JSON: shares in 0..1, ``None`` if undefined."""
    return {
        "segdistill": __version__,
        "run": evaluation.run,
        "images": evaluation.images,
        "skipped": [
            {"file": str(skipped.file.path), "reason": skipped.reason}
            for skipped in evaluation.skipped
        ],
        "protocol": dict(evaluation.protocol),
        "scores": {kind: _plain_scores(evaluation, kind) for kind in evaluation.scores},
        "correspondences": [
            {
                "name": curve.name,
                "average_precision": curve.average_precision,
                "chance": curve.positive_share,
                "pairs": curve.pairs,
            }
            for curve in evaluation.curves
        ],
    }


def _plain_scores(evaluation: Evaluation, kind: str) -> dict[str, Any]:
    scores, counts = evaluation.scores[kind], evaluation.counts[kind]
    boundary = evaluation.boundary_scores(kind)
    pixels = counts.sum(axis=0).tolist()
    content: dict[str, Any] = {
        "accuracy": scores.accuracy,
        "mean_iou": scores.mean_iou,
        **({} if boundary is None else {"boundary_f": _or_none(boundary.mean_f)}),
        "pixels": scores.pixels,
        "classes": [
            {
                "index": index,
                "name": name,
                "pixels": pixels[index],
                "iou": _or_none(scores.iou[index]),
                **({} if boundary is None else {"boundary_f": _or_none(boundary.f[index])}),
                "matched": scores.predictions[index],
            }
            for index, name in enumerate(evaluation.labels)
        ],
        "unmatched": [index for index, label in enumerate(scores.match) if label < 0],
    }
    clusters, labels = counts.shape
    # With more clusters than label classes, published results use STEGO's released metric.
    if clusters > labels and not is_label_class(kind) and counts[:labels].any():
        released = score_as_released(counts)
        content["as_released"] = {"accuracy": released.accuracy, "mean_iou": released.mean_iou}
    return content


def write_scores_json(path: Path, evaluation: Evaluation) -> None:
    """Write an evaluation as JSON.

    Raises:
        UserError: the file cannot be written.
    """
    write_text_atomically(path, json.dumps(evaluation_content(evaluation), indent=2) + "\n")


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
    lines.append(("IoU:", *("" for _ in kinds), "matched"))
    matched, predictions = values[0].predictions, evaluation.predictions(kinds[0])
    for index, name in enumerate(evaluation.labels):
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
    return text


def _align(cells: tuple[str, ...], widths: list[int]) -> str:
    first, *middle, last = cells
    numbers = [f"{cell:>{width}}" for cell, width in zip(middle, widths[1:-1], strict=True)]
    return "  ".join([f"{first:<{widths[0]}}", *numbers, last]).rstrip()


def _or_none(share: float) -> float | None:
    return None if math.isnan(share) else share


def _percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{share:.1%}"

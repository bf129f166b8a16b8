"""Scores as JSON, CSV and text."""

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segdistill.evaluation.confusion import Scores
from segdistill.files import atomic_path, write_text_atomically

SCORES_FILE = "evaluation.json"


def plain_scores(scores: Scores, names: tuple[str, ...]) -> dict[str, Any]:
    """Return scores as plain values, shares from 0 to 1, ``None`` where there is none.

    Args:
        scores: of one kind of prediction.
        names: of the label classes; those beyond get a number.
    """
    return {
        "accuracy": scores.accuracy,
        "mean_iou": scores.mean_iou,
        "pixels": scores.pixels,
        "classes": [
            {
                "index": index,
                "name": label_name(index, names),
                "iou": None if math.isnan(iou) else iou,
                "cluster": scores.match.index(index) if index in scores.match else None,
            }
            for index, iou in enumerate(scores.iou)
        ],
        "unmatched_clusters": [cluster for cluster, label in enumerate(scores.match) if label < 0],
    }


def label_name(index: int, names: tuple[str, ...]) -> str:
    """Return the name of a label class, or a number where it has none."""
    return names[index] if index < len(names) else f"label {index}"


def write_scores_json(path: Path, content: dict[str, Any]) -> None:
    """Write scores as JSON."""
    write_text_atomically(path, json.dumps(content, indent=2) + "\n")


def write_confusion_csv(path: Path, counts: NDArray[np.int64], names: tuple[str, ...]) -> None:
    """Write a confusion matrix: a row for each cluster, a column for each label class."""
    with (
        atomic_path(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(["cluster", *(label_name(i, names) for i in range(counts.shape[1]))])
        writer.writerows([row, *map(int, values)] for row, values in enumerate(counts))


def score_table(scores: Scores, names: tuple[str, ...]) -> str:
    """Return IoU by label class as aligned text."""
    width = max((len(label_name(i, names)) for i in range(len(scores.iou))), default=0)
    lines = []
    for index, iou in enumerate(scores.iou):
        value = "     -" if math.isnan(iou) else f"{100 * iou:5.1f} %"
        cluster = f"class {scores.match.index(index)}" if index in scores.match else "none"
        lines.append(f"  {label_name(index, names):<{width}}  {value}  {cluster}")
    return "\n".join(lines)

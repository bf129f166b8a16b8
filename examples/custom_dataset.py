"""Images and labels in a layout of your own: here, a table that names both.

python custom_dataset.py table.csv

with the columns ``image``, ``label`` and ``split`` (train or val). Labels are only scored.
"""

import csv
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import segdistill
from segdistill import LabelledSet
from segdistill.images.folder import ImageFile

CLASSES = ("sky", "ground", "road", "tree", "building", "vehicle")


def read_label(path: Path) -> NDArray[np.int64]:
    """Return class indices of shape (height, width); 255 is not scored."""
    return np.asarray(Image.open(path), np.int64)


def main(table: str) -> None:
    with Path(table).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    train = [row["image"] for row in rows if row["split"] == "train"]
    segmenter = segdistill.fit(train, classes=len(CLASSES))
    pairs = [
        (ImageFile(Path(row["image"]), Path(row["image"])), Path(row["label"]))
        for row in rows
        if row["split"] == "val"
    ]
    labelled = LabelledSet(pairs, read_label, CLASSES, len(CLASSES))
    scores = segdistill.evaluate_set(segmenter, labelled).scores["cluster"]
    print(f"accuracy {scores.accuracy:.1%}, mIoU {scores.mean_iou:.1%}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(*sys.argv[1:])

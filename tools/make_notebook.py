"""Write ``examples/tutorial.ipynb``: cells without output, from the list below.

    python -m tools.make_notebook

A notebook is hard to review as JSON; here it is text. A test holds the file equal to this list.
"""

import json
from pathlib import Path
from typing import Any

NOTEBOOK = Path(__file__).parents[1] / "examples" / "tutorial.ipynb"

CELLS = (
    """# Segment images without labels
Four steps: a toy world, a model, masks, scores. Set `TRAIN` and `STEPS` lower for a quick try.""",
    """import os

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

import segdistill

TRAIN = int(os.environ.get("TUTORIAL_TRAIN", "48"))
STEPS = int(os.environ.get("TUTORIAL_STEPS", "0")) or None  # None: until codes stop improving""",
    """## A toy world
Rendered outdoor scenes with exact labels. Labels are only used at the end, to score. For your own
photos, set `images` to their folder.""",
    """world = segdistill.write_sample("world", train=TRAIN, val=8)
images = world / "imgs" / "train"
photo = np.asarray(Image.open(min(images.iterdir())))
plt.imshow(photo)
plt.axis("off");""",
    """## Fit
Features are computed once and stored; a second fit on the same images is faster.""",
    """settings = segdistill.FitSettings(training=segdistill.TrainingSettings(steps=STEPS))
segmenter = segdistill.fit(images, settings=settings, out="runs/world", overwrite=True)
[(each.index, each.name) for each in segmenter.classes]""",
    """## Masks
`segment` takes a file, a Pillow image or an array, and returns class indices, one per pixel.""",
    """mask = segmenter.segment(photo)
colours = np.array([each.colour for each in segmenter.classes], np.uint8)
figure, axes = plt.subplots(1, 2, figsize=(8, 3))
for axis, picture in zip(axes, (photo, colours[mask]), strict=True):
    axis.imshow(picture)
    axis.axis("off")""",
    """## More classes, fewer classes
In a second, without training: the levels coarse, medium and fine, or any number.""",
    """segdistill.recluster("runs/world", classes=6)
segmenter = segdistill.Segmenter.load("runs/world")
len(segmenter.classes)""",
    """## Scores
Clusters are matched to label classes one to one.""",
    """scores = segdistill.evaluate(segmenter, world / "imgs" / "val", world / "labels" / "val")
accuracy, iou = scores.scores["cluster"].accuracy, scores.scores["cluster"].mean_iou
print(f"accuracy {accuracy:.1%}, mIoU {iou:.1%}")""",
)


def notebook() -> dict[str, Any]:
    """Return the notebook as JSON values."""
    cells = []
    for index, source in enumerate(CELLS):
        is_text = source.startswith("#")
        cell: dict[str, Any] = {"cell_type": "markdown" if is_text else "code"}
        cell |= {"id": f"cell-{index}", "metadata": {}, "source": source.splitlines(keepends=True)}
        cells.append(cell if is_text else cell | {"execution_count": None, "outputs": []})
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {
        "cells": cells,
        "metadata": {"kernelspec": kernel},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def text() -> str:
    """Return the text of the notebook's file."""
    return json.dumps(notebook(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    NOTEBOOK.write_text(text(), encoding="utf-8")

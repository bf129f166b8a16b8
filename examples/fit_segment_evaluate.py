"""Fit a model to a folder of images, write masks of another, and score them if there are labels.

python fit_segment_evaluate.py photos more_photos [labels_of_more_photos]
"""

import sys
from pathlib import Path

import segdistill


def main(photos: str, more_photos: str, labels: str | None = None) -> None:
    segmenter = segdistill.fit(photos, out="runs/example", overwrite=True)
    print(f"{len(segmenter.classes)} classes; the report is runs/example/report.html")
    files = segdistill.segment(segmenter, more_photos, "masks/example", overwrite=True)
    print(f"{files.written} masks in masks/example")
    mask = segmenter.segment(min(Path(more_photos).iterdir()))
    print(f"the first has {mask.shape[1]} x {mask.shape[0]} pixels, classes up to {mask.max()}")
    if labels is not None:
        scores = segdistill.evaluate(segmenter, more_photos, labels).scores["cluster"]
        print(f"accuracy {scores.accuracy:.1%}, mIoU {scores.mean_iou:.1%}")


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    main(*sys.argv[1:])

"""Compare stages and resolutions of the embedded backbone, with k-means and the full method.

Prints a Markdown table of accuracy and mIoU on CamVid's validation images. Labels are used only for
scoring. Needs SEGDISTILL_DATA; takes about 4 minutes per row on two cores.

    python benchmarks/embedded_backbone.py
"""

import os
import sys
import time
from pathlib import Path

from segdistill import evaluate
from segdistill.backbones.efficientnet_lite import EfficientNetLite
from segdistill.config.settings import FitSettings
from segdistill.devices import choose_compute
from segdistill.images.folder import check_images, find_images
from segdistill.training.fit import learn

CLASSES = 11
CHOICES: list[tuple[tuple[int, ...], int]] = [
    ((4, 10, 15), 704),
    ((10, 15), 704),
    ((10,), 704),
    ((15,), 704),
    ((7, 10, 14), 704),
    ((4, 7, 10, 14, 15), 704),
    ((4, 10, 15), 480),
    ((4, 10, 15), 960),
]


def main() -> None:
    named = os.environ.get("SEGDISTILL_DATA")
    if not named:
        sys.exit("Set SEGDISTILL_DATA to the folder that contains camvid/")
    root = Path(named) / "camvid"
    images, _ = check_images(find_images(root))
    print("| blocks | resolution | k-means | segdistill | seconds |")
    print("|---|---|---|---|---|", flush=True)
    for blocks, resolution in CHOICES:
        start = time.perf_counter()
        cells = []
        for method in ("kmeans", "stego"):
            settings = FitSettings(classes=CLASSES, resolution=resolution, method=method)
            backbone = EfficientNetLite(blocks)
            segmenter = learn(images, backbone, settings, choose_compute()).segmenter
            result = evaluate(segmenter, root / "imgs/val", root / "labels/val")
            scores = result.scores["cluster"]
            cells.append(f"{100 * scores.accuracy:.1f} / {100 * scores.mean_iou:.1f}")
        seconds = time.perf_counter() - start
        print(f"| {blocks} | {resolution} | {' | '.join(cells)} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()

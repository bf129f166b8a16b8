"""Measure how smoothing affects the labels of a video, and what it costs.

Makes a video (H.264) of CamVid's validation frames (SEGDISTILL_DATA names a folder that contains
`camvid`), segments it with a run in several ways, and also the same frames as a folder of images.
Prints a Markdown table: the share of pixels that change class from one frame to the next, accuracy
and mIoU against the labels in percent, and seconds, also relative to the folder. The ways run in
turn, and the best of several runs counts. Labels change, too, since the camera moves: the last row
shows how much.

    python -m benchmarks.video runs/camvid
"""

import argparse
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import numpy as np
import torch
from numpy.typing import NDArray

import segdistill
from benchmarks.table import Conditions, circumstances
from segdistill.api.labelled import LabelledSet, labelled_folders
from segdistill.decoding.decode import read_image
from segdistill.evaluation.confusion import ConfusionMatrix, score
from segdistill.images.palette import VOID
from segdistill.inference.video_writer import VideoFormat, video_writer
from segdistill.labels.label_files import read_labels
from segdistill.refinement import smoothing
from segdistill.refinement.smoothing import Motion

RATE = 15
HEADINGS = ("way", "pixels that change class %", "accuracy", "mIoU", "s", "times the folder's")


class Way(NamedTuple):
    """How frames are segmented."""

    name: str
    video: bool
    smooth: float = 0.0
    follows: bool = True


WAYS = (
    Way("folder of images", video=False),
    Way("video, `--smooth 0`", video=True),
    Way("video, `--smooth 0.7`", video=True, smooth=0.7),
    Way("video, `--smooth 0.9`", video=True, smooth=0.9),
    Way("video, 0.7 without following the motion", video=True, smooth=0.7, follows=False),
)


def stand_still(locations: torch.Tensor, _before: torch.Tensor) -> Motion:
    """Replace `find_motion`: nothing moves, and earlier scores count in full."""
    h, w = (side // smoothing.SUBDIVISIONS for side in locations.shape[1:])
    return Motion(torch.zeros(2, h, w), torch.zeros(h, w))


def write_video(path: Path, labelled: LabelledSet) -> None:
    with video_writer(path, VideoFormat(Fraction(RATE), Fraction(1, RATE))) as writer:
        for number, (image, _) in enumerate(labelled.pairs):
            writer.add(read_image(image.path), number)


def masks_of(
    segmenter: segdistill.Segmenter, source: Path, way: Way, folder: Path
) -> tuple[list[Path], float]:
    """Return the masks in the order of the frames, and the seconds they took."""
    smooth = way.smooth if way.video else None
    follows = nullcontext() if way.follows else patch.object(smoothing, "find_motion", stand_still)
    start = time.perf_counter()
    with follows:
        segdistill.segment(segmenter, source, folder, smooth=smooth, overwrite=True)
    return sorted(folder.glob("*.png")), time.perf_counter() - start


def changing(frames: Sequence[NDArray[np.int64]]) -> float:
    """Return the share of pixels that change, among those labelled in both frames."""
    shares = []
    for before, after in pairwise(frames):
        both = (before != VOID) & (after != VOID)
        shares.append(float((before != after)[both].mean()))
    return float(np.mean(shares))


def lines(
    segmenter: segdistill.Segmenter, images: Path, labels: Path, work: Path, *, runs: int = 1
) -> Iterator[str]:
    """Yield the table, line by line.

    Args:
        segmenter: model, on its device.
        images: folder of frames, in the order of their names.
        labels: folder of their labels, under the same names.
        work: folder for the video and masks.
        runs: number of runs of each way; the best counts.
    """
    labelled = labelled_folders(images, labels)
    video = work / "video.mp4"
    write_video(video, labelled)
    # Warm up: one-time work.
    segmenter.segment(labelled.pairs[0][0].path)
    masks: dict[Way, list[Path]] = {}
    seconds = dict.fromkeys(WAYS, float("inf"))
    for _ in range(runs):
        for number, way in enumerate(WAYS):
            source = video if way.video else images
            masks[way], taken = masks_of(segmenter, source, way, work / str(number))
            seconds[way] = min(seconds[way], taken)
    truth = [labelled.read(path) for _, path in labelled.pairs]
    yield f"| {' | '.join(HEADINGS)} |"
    yield f"|{'---|' * len(HEADINGS)}"
    for way in WAYS:
        found = [read_labels(path) for path in masks[way]]
        matrix = ConfusionMatrix(len(segmenter.classes), len(labelled.names))
        for mask, label in zip(found, truth, strict=True):
            matrix.update(mask.astype(np.uint8), label)
        result = score(matrix.counts)
        scores = f"{100 * result.accuracy:.1f} | {100 * result.mean_iou:.1f}"
        times = f"{seconds[way]:.1f} | {seconds[way] / seconds[WAYS[0]]:.2f}"
        yield f"| {way.name} | {100 * changing(found):.1f} | {scores} | {times} |"
    yield f"| the labels themselves | {100 * changing(truth):.1f} | | | | |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument(
        "--runs", type=int, default=2, help="number of runs of each way; the best counts"
    )
    parser.add_argument("--threads", type=int, default=1, help="number of torch threads on the CPU")
    options = parser.parse_args()
    data = os.environ.get("SEGDISTILL_DATA")
    if data is None:
        parser.error("SEGDISTILL_DATA is not set; set it to the folder that contains camvid")
    torch.set_num_threads(options.threads)
    segmenter = segdistill.Segmenter.load(options.run)
    root = Path(data) / "camvid"
    print(f"{circumstances(Conditions(segmenter.compute, options.runs))}\n", flush=True)
    with tempfile.TemporaryDirectory() as work:
        for line in lines(
            segmenter,
            *(root / "imgs" / "val", root / "labels" / "val", Path(work)),
            runs=options.runs,
        ):
            print(line, flush=True)


if __name__ == "__main__":
    main()

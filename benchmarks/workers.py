"""Measure how `segment` scales with Ray workers: images per second once the workers have started.

Each worker has one thread. Images are repeated under other names until there are enough of them.
Masks go to a temporary folder. Prints a Markdown table, with the start-up time in its own column.

    python benchmarks/workers.py runs/photos photos --workers 1 2 --count 400
"""

import argparse
import itertools
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from segdistill.engines.ray_data import run_in_ray
from segdistill.engines.work import Item
from segdistill.images.finding import ImageFile, find_images
from segdistill.inference.image_masks import MaskWork
from segdistill.inference.options import MaskOptions
from segdistill.storage import LocalFolder

BATCH = 8


class Timing(NamedTuple):
    """Speed of a number of workers.

    Attributes:
        rate: images per second once all had started.
        start: seconds until the first masks were written.
    """

    rate: float
    start: float


def timing(run: Path, images: Path, count: int, workers: int) -> Timing:
    """Segment images and record when each is done."""
    files = itertools.islice(itertools.cycle(find_images(images)), count)
    items = []
    for number, file in enumerate(files):
        name = Path(f"{number}{file.path.suffix}")
        items.append(Item.of(ImageFile(file.path, name), f"{number}.png"))
    times = []
    with tempfile.TemporaryDirectory() as scratch:
        work = MaskWork(str(run.absolute()), LocalFolder(Path(scratch)), MaskOptions())
        begun = time.perf_counter()
        for result in run_in_ray(work, items, workers=workers, batch=BATCH):
            if result.reason:
                raise SystemExit(result.reason)
            times.append(time.perf_counter() - begun)
    # When the first batch is done, every worker has done about one batch.
    return Timing((count - BATCH * workers) / (times[-1] - times[0]), times[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="run folder")
    parser.add_argument("images", type=Path, help="folder of images")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--count", type=int, default=400, help="number of images")
    options = parser.parse_args()
    if options.count <= BATCH * max(options.workers):
        parser.error(f"--count must be more than {BATCH} images per worker")
    print("| workers | images per second | against the first row | seconds to the first masks |")
    print("|---|---|---|---|")
    first = None
    for workers in options.workers:
        found = timing(options.run, options.images, options.count, workers)
        first = first or found
        ratio = found.rate / first.rate
        print(f"| {workers} | {found.rate:.1f} | {ratio:.2f} | {found.start:.1f} |", flush=True)


if __name__ == "__main__":
    main()

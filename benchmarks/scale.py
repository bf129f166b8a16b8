"""Measure time and memory of what grows with the number of images: store, batches, evaluation.

All entries are synthetic: a view of an image that does not exist, and a tiny feature map in a
temporary store. Each stage runs twice: once for its time, and once for the peak memory that Python
and NumPy allocate beyond what was allocated before. Prints a Markdown table; its last column
extrapolates to a million entries.

    python benchmarks/scale.py 1000 10000 100000
"""

import argparse
import hashlib
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from segdistill.backbones import Backbone
from segdistill.config.settings import FitSettings
from segdistill.devices import choose_compute
from segdistill.evaluation.folder import confusion_over_files
from segdistill.features.extract import FeatureMaps
from segdistill.features.preparation import FeaturePreparation
from segdistill.features.store import FeatureStore
from segdistill.features.views import View, views_of
from segdistill.images.folder import CheckedImage, ImageFile
from segdistill.images.resize import Viewing
from segdistill.labels.label_files import read_labels
from segdistill.training.batches import draw_batch
from segdistill.training.fit import check_enough
from segdistill.training.head_training import data_fingerprint
from segdistill.training.training_set import TrainingSet

MILLION = 10**6
CHANNELS = 8
NEIGHBOURS = 7
BATCHES = 32
NO_BOUND = 10**12


class Tiny(Backbone):
    """Stand in for a network that is never run."""

    name = "tiny"
    fingerprint = "0123456789abcdef"
    stride = 8
    size_multiple = 8
    channel_groups = (CHANNELS,)
    standardise = False
    resolution = 32
    licence = "none"

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        raise RuntimeError(f"{tuple(images.shape)}: every map should be in the store")


class Cost(NamedTuple):
    seconds: float
    bytes: int


def cost(work: Callable[[], object]) -> Cost:
    start = time.perf_counter()
    work()
    seconds = time.perf_counter() - start
    tracemalloc.start()
    # Kept until the peak is read, so that the result counts, too.
    result = work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    del result
    return Cost(seconds, peak)


def made_views(count: int) -> list[View]:
    images = []
    for number in range(count):
        name = Path(f"scene_{number % 1000:04}") / f"{number:08}.jpg"
        digest = hashlib.blake2b(str(number).encode(), digest_size=16).hexdigest()
        images.append(CheckedImage(ImageFile("photos" / name, name), digest, 48, 64))
    return views_of(images, Viewing(32, 8))


def evaluate(folder: Path, count: int) -> None:
    image, labels = folder / "image.png", folder / "labels.png"
    Image.new("RGB", (16, 16)).save(image)
    Image.new("L", (16, 16)).save(labels)

    def predict(_image: NDArray[np.uint8], size: tuple[int, int]) -> dict[str, NDArray[np.uint8]]:
        return {"cluster": np.zeros(size, np.uint8)}

    confusion_over_files(
        [(ImageFile(image, Path(image.name)), labels)] * count,
        read_labels,
        lambda image, labels: (image, labels),
        predict,
        {"cluster": 27},
    )


def costs(count: int, folder: Path) -> dict[str, Cost]:
    """Return the cost of each stage for this many entries."""
    found = {"list the views": cost(lambda: made_views(count))}
    views = made_views(count)
    store = FeatureStore(folder / "store", max_bytes=NO_BOUND)
    backbone, compute = Tiny(), choose_compute("cpu", "32-true")

    def maps_of() -> FeatureMaps:
        return FeatureMaps(views, backbone, store, compute)

    found["make FeatureMaps"] = cost(maps_of)
    maps = maps_of()
    grid = np.zeros((*maps.grid(0), CHANNELS), np.float16)

    def write() -> None:
        for view in views:
            store.write(maps.folder, view.key, grid)

    found["write the store"] = cost(write)
    found["fill a full store"] = cost(maps.fill_store)
    full = FeatureStore(folder / "store", max_bytes=1)
    keep = FeatureMaps(views, backbone, full, compute)
    found["fill a store over its bound"] = cost(keep.fill_store)
    found["list the store"] = cost(store.contents)
    settings = FitSettings(classes=CHANNELS)

    def check() -> str:
        check_enough(maps, settings)
        return data_fingerprint(maps)

    found["checks before a fit"] = cost(check)
    neighbours = torch.randint(count, (count, NEIGHBOURS))
    data = TrainingSet(maps, neighbours, FeaturePreparation((CHANNELS,)))

    def draw() -> None:
        for step in range(BATCHES):
            draw_batch(data, settings, step=step)

    found[f"draw {BATCHES} batches"] = cost(draw)
    found["evaluate"] = cost(lambda: evaluate(folder, count))
    found["clear the store"] = Cost(_seconds(store.clear), 0)
    return found


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", type=int, nargs="*", default=[1_000, 10_000])
    sizes: list[int] = sorted(parser.parse_args().sizes)
    found = {}
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            found[size] = costs(size, Path(folder))
    titles = " | ".join(f"{size} s | {size} MB" for size in sizes)
    print(f"| stage | {titles} | bytes per entry | {MILLION} MB |")
    print(f"|{'---|' * (2 * len(sizes) + 3)}")
    for stage in found[sizes[0]]:
        each = [found[size][stage] for size in sizes]
        cells = " | ".join(f"{one.seconds:.2f} | {one.bytes / 1e6:.1f}" for one in each)
        an_entry = each[-1].bytes / sizes[-1]
        if len(sizes) > 1:  # constant memory is not a cost per entry
            an_entry = max(0, each[-1].bytes - each[0].bytes) / (sizes[-1] - sizes[0])
        print(f"| {stage} | {cells} | {an_entry:.0f} | {an_entry * MILLION / 1e6:.0f} |")


if __name__ == "__main__":
    main()

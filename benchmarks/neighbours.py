"""Nearest neighbours of made descriptors, exact and approximate: seconds, memory, recall.

Prints a Markdown table. Seconds are those of one processor, in one thread, so that other work on
the machine spoils little. Memory is the most that a fresh process held beyond the descriptors and
what Python, torch and faiss take by themselves. Recall is measured on images apart from those that
the search itself looks at.

Descriptors are made so that the approximate search must look as far as on real features: of a
hundred thousand it searches 37 of 632 lists, and searched 36 of 624 for as many means of 3x3 places
of CamVid's feature maps.

    python benchmarks/neighbours.py
    python benchmarks/neighbours.py 1000 10000 100000 --channels 472
    python benchmarks/neighbours.py 1000000 --channels 128 --skip-exact
"""

import argparse
import os
import platform
import resource
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import faiss
import numpy as np
import torch

from segdistill.features.inverted_file import most_similar
from segdistill.features.neighbours import nearest_neighbours, recall

COUNT = 7
FRAMES = 20
TRAITS = 12
"""Numbers that make up what an image shows; its descriptor is a curved function of them."""

CHANGE = 0.5
"""How much the frames of a film differ, as a share of how much films do."""

JUDGED_IMAGES = 1_000
BYTES_A_UNIT = 1 if sys.platform == "darwin" else 1024


@dataclass(frozen=True)
class Measured:
    seconds: float
    extra_megabytes: float
    recall: float


def made_descriptors(images: int, channels: int) -> torch.Tensor:
    """Unit vectors of shape (images, channels), made film by film so that nothing else is held."""
    random = torch.Generator().manual_seed(0)
    mixing = torch.randn(TRAITS, channels, generator=random) * (2 / TRAITS) ** 0.5
    descriptors = torch.empty(images, channels)
    for frames in torch.split(descriptors, FRAMES):
        scene = torch.randn(TRAITS, generator=random)
        change = torch.randn(len(frames), TRAITS, generator=random)
        vectors = torch.tanh((scene + CHANGE * change) @ mixing)
        frames.copy_(vectors / vectors.norm(dim=1, keepdim=True))
    return descriptors


def megabytes_held() -> float:
    """The most that this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * BYTES_A_UNIT / 1e6


def measure(images: int, channels: int, *, exact: bool) -> Measured:
    torch.set_num_threads(1)
    faiss.omp_set_num_threads(1)
    descriptors = made_descriptors(images, channels)
    before = megabytes_held()
    start = time.process_time()
    found = nearest_neighbours(descriptors, COUNT, exact_up_to=images if exact else 0)
    seconds = time.process_time() - start
    extra = megabytes_held() - before
    judged = np.random.default_rng(1).choice(images, min(JUDGED_IMAGES, images), replace=False)
    vectors = descriptors.numpy()
    true = most_similar(vectors[judged], vectors, COUNT + 1)[0][:, 1:]
    scores = np.einsum("nc,nkc->nk", vectors[judged], vectors[found.numpy()[judged]])
    return Measured(seconds, extra, recall(scores, true))


def in_fresh_process(images: int, channels: int, *, exact: bool) -> Measured:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(measure, images, channels, exact=exact).result()


def row(images: int, channels: int, *, skip_exact: bool) -> str:
    cells = [f"{images:,}", str(channels), f"{images * channels * 4 / 1e6:,.0f}"]
    if skip_exact:
        cells += ["", ""]
    else:
        exact = in_fresh_process(images, channels, exact=True)
        cells += [f"{exact.seconds:,.2f}", f"{exact.extra_megabytes:,.0f}"]
    approximate = in_fresh_process(images, channels, exact=False)
    cells += [f"{approximate.seconds:,.2f}", f"{approximate.extra_megabytes:,.0f}"]
    return f"| {' | '.join([*cells, f'{approximate.recall:.4f}'])} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("images", type=int, nargs="*", default=[1_000, 10_000])
    parser.add_argument("--channels", type=int, nargs="+", default=[472])
    parser.add_argument("--skip-exact", action="store_true", help="it takes hours for a million")
    arguments = parser.parse_args()
    # Read by the matrix products of the processes that measure.
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
    print(f"faiss {faiss.__version__}, 1 thread, {platform.machine()}, {COUNT} neighbours\n")
    print("| images | channels | descriptors MB | exact s | MB | approximate s | MB | recall |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for channels in arguments.channels:
        for images in arguments.images:
            print(row(images, channels, skip_exact=arguments.skip_exact), flush=True)


if __name__ == "__main__":
    main()

"""Nearest neighbours of synthetic descriptors: plain, exact in blocks, and by an index.

The plain implementation computes the matrix of all similarities. Times are processor seconds of one
thread, so that other work on the machine has little effect. Memory is the peak of a fresh process,
without the descriptors and what Python, torch and faiss need by themselves. Recall is measured on
other images than those that the search itself uses. Neighbours are found on the CPU, whatever the
device.

The descriptors are generated so that the approximate search must look as far as on real features:
for a hundred thousand, it searches 37 of 632 lists; for as many means of 3x3 locations of CamVid's
feature maps, it searched 36 of 624.

Run this module for other sizes than in the common table:

    python -m benchmarks.neighbours 1000 10000 100000 --channels 472
    python -m benchmarks.neighbours 1000000 --channels 128 --skip-exact
"""

import argparse
import os
import platform
import resource
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from typing import Literal

import faiss
import numpy as np
import torch

from benchmarks.table import Agreement, Conditions, Row
from segdistill.features.inverted_file import most_similar
from segdistill.features.neighbours import MIN_RECALL, nearest_neighbours, recall

Form = Literal["plain", "exact", "index"]

NAME = "neighbours"
COUNT = 7
FRAMES = 20
TRAITS = 12
"""Number of latent variables of an image; its descriptor is a non-linear function of them."""

CHANGE = 0.5
"""How much frames of a video differ, relative to how much videos differ."""

JUDGED_IMAGES = 1_000
BYTES_A_UNIT = 1 if sys.platform == "darwin" else 1024
EXACT_RECALL = 0.999
"""Rounding alone may swap neighbours."""


@dataclass(frozen=True)
class Measured:
    seconds: float
    extra_megabytes: float
    recall: float


def rows(conditions: Conditions) -> Iterator[Row]:
    sizes = (200, 1_000, 16) if conditions.smallest else (10_000, 100_000, 472)
    few, many, channels = sizes

    def measured(images: int, form: Form) -> Measured:
        # A fresh process takes seconds; in this one, other memory would count, too.
        if conditions.smallest:
            return replace(measure(images, channels, form), extra_megabytes=0.0)
        return in_fresh_process(images, channels, form)

    yield row(
        "exact neighbours in blocks, compared with the matrix of all similarities",
        f"{few:,} images, {channels} channels, all of them",
        measured(few, "plain"),
        measured(few, "exact"),
        EXACT_RECALL,
    )
    yield row(
        "neighbours by an index, compared with exact ones",
        f"{many:,} images, {channels} channels, all of them",
        measured(many, "exact"),
        measured(many, "index"),
        MIN_RECALL,
    )


def row(what: str, size: str, plain: Measured, this: Measured, least_recall: float) -> Row:
    missed = 1 - min(plain.recall, this.recall)
    held = plain.extra_megabytes, this.extra_megabytes
    return Row(
        NAME,
        f"{what}, on the CPU",
        size,
        Agreement("share of neighbours missed", missed, round(1 - least_recall, 6)),
        plain=plain.seconds * 1000,
        this=this.seconds * 1000,
        memory=held if min(held) > 0 else None,
    )


def made_descriptors(images: int, channels: int) -> torch.Tensor:
    """Return unit vectors of shape (images, channels), made one video at a time to save memory."""
    random = torch.Generator().manual_seed(0)
    mixing = torch.randn(TRAITS, channels, generator=random) * (2 / TRAITS) ** 0.5
    descriptors = torch.empty(images, channels)
    for frames in torch.split(descriptors, FRAMES):
        scene = torch.randn(TRAITS, generator=random)
        change = torch.randn(len(frames), TRAITS, generator=random)
        vectors = torch.tanh((scene + CHANGE * change) @ mixing)
        frames.copy_(vectors / vectors.norm(dim=1, keepdim=True))
    return descriptors


def plain_neighbours(descriptors: torch.Tensor, count: int) -> torch.Tensor:
    similarities = descriptors @ descriptors.mT
    return similarities.fill_diagonal_(-torch.inf).topk(count).indices


def found_neighbours(descriptors: torch.Tensor, form: Form) -> torch.Tensor:
    if form == "plain":
        return plain_neighbours(descriptors, COUNT)
    max_exact = len(descriptors) if form == "exact" else 0
    return nearest_neighbours(descriptors, COUNT, max_exact=max_exact)


def megabytes_held() -> float:
    """Return the peak memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * BYTES_A_UNIT / 1e6


def measure(images: int, channels: int, form: Form) -> Measured:
    descriptors = made_descriptors(images, channels)
    before = megabytes_held()
    start = time.process_time()
    found = found_neighbours(descriptors, form)
    seconds = time.process_time() - start
    extra = megabytes_held() - before
    judged = np.random.default_rng(1).choice(images, min(JUDGED_IMAGES, images), replace=False)
    vectors = descriptors.numpy()
    true = most_similar(vectors[judged], vectors, COUNT + 1)[0][:, 1:]
    scores = np.einsum("nc,nkc->nk", vectors[judged], vectors[found.numpy()[judged]])
    return Measured(seconds, extra, recall(scores, true))


def measure_in_one_thread(images: int, channels: int, form: Form) -> Measured:
    torch.set_num_threads(1)
    faiss.omp_set_num_threads(1)
    return measure(images, channels, form)


def in_fresh_process(images: int, channels: int, form: Form) -> Measured:
    # The BLAS of the measuring process reads these when it starts.
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(measure_in_one_thread, images, channels, form).result()


def line(images: int, channels: int, *, skip_exact: bool) -> str:
    cells = [f"{images:,}", str(channels), f"{images * channels * 4 / 1e6:,.0f}"]
    if skip_exact:
        cells += ["", ""]
    else:
        exact = in_fresh_process(images, channels, "exact")
        cells += [f"{exact.seconds:,.2f}", f"{exact.extra_megabytes:,.0f}"]
    index = in_fresh_process(images, channels, "index")
    cells += [f"{index.seconds:,.2f}", f"{index.extra_megabytes:,.0f}", f"{index.recall:.4f}"]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("images", type=int, nargs="*", default=[1_000, 10_000])
    parser.add_argument("--channels", type=int, nargs="+", default=[472])
    parser.add_argument(
        "--skip-exact",
        action="store_true",
        help="skip the exact search, which takes hours for a million",
    )
    arguments = parser.parse_args()
    print(f"faiss {faiss.__version__}, 1 thread, {platform.machine()}, {COUNT} neighbours\n")
    print("| images | channels | descriptors MB | exact s | MB | index s | MB | recall |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for channels in arguments.channels:
        for images in arguments.images:
            print(line(images, channels, skip_exact=arguments.skip_exact), flush=True)


if __name__ == "__main__":
    main()

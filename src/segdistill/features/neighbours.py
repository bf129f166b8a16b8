"""Nearest neighbours among images: exact, and approximate where there are very many.

Memory: of all that is held, only the descriptors grow with images times channels, and they are
not copied. As float32, those of a million images take 0.5 GB at 128 channels, 1.9 GB at 472 and
3.1 GB at 768.
"""

import logging
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from segdistill.features.inverted_file import InvertedFile, most_similar
from segdistill.progress import progress_bar

EXACT_UP_TO = 100_000
"""Images compared each with each: the work grows with their square."""

MIN_RECALL = 0.99
"""Share of the true neighbours that an approximate search must find."""

AIMED_RECALL = 0.995
"""The search is set for a little more, since recall is measured on a sample."""

SAMPLE_IMAGES = 1_000
"""Images searched exactly, half to set the approximate search, half to measure its recall."""

WORTHWHILE_SHARE = 1 / 4
"""An approximate search of a larger share of the lists takes no less time than an exact one."""

QUERIES_AT_ONCE = 4_096
LISTED_QUERIES_AT_ONCE = 16_384
"""Larger, since queries that search the same list do so in one matrix product."""

PROBES_AT_ONCE = 2**20
"""Bounds the memory for which query searches which list."""

TIED = 1e-6
"""Cosine similarities that differ by less are as good as equal in float32."""

logger = logging.getLogger("segdistill")

Found = tuple[NDArray[np.float32], NDArray[np.int64]]
"""Cosine similarities, falling, and indices of neighbours, each of shape (queries, count)."""


def nearest_neighbours(
    descriptors: torch.Tensor,
    count: int,
    *,
    exact_up_to: int = EXACT_UP_TO,
    seed: int = 0,
    progress: bool = False,
) -> torch.Tensor:
    """Find, for every image, the images most like it.

    Above ``exact_up_to`` images, only the most promising part of them is compared with each: an
    inverted file (Sivic and Zisserman, "Video Google", ICCV 2003; Jégou et al., "Product
    Quantization for Nearest Neighbor Search", TPAMI 2011, without the quantization). Its recall is
    measured on images searched exactly; where it stays below :data:`MIN_RECALL`, as it does for
    descriptors without any structure, all are searched exactly after all.

    Args:
        descriptors: unit vectors, shape (images, channels).
        count: neighbours wanted; at most ``images - 1`` are to be had.
        exact_up_to: number of images up to which the search is exact.
        seed: of the approximate search; the same seed finds the same neighbours.
        progress: show a progress bar, if there are many images.

    Returns:
        Indices by falling cosine similarity, the image itself left out, int64, of shape (images,
        min(count, images - 1)).

    Raises:
        ValueError: fewer than two images.

    Example:
        >>> nearest_neighbours(torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.8, 0.6]]), 1).tolist()
        [[2], [2], [1]]
    """
    images = len(descriptors)
    if images < 2:
        raise ValueError("nearest neighbours take at least 2 images")
    count = min(count, images - 1)
    vectors = np.ascontiguousarray(descriptors.float().numpy())  # shares memory with float32
    if images > exact_up_to:
        found = _approximate(vectors, count, seed=seed, progress=progress)
        if found is not None:
            return torch.from_numpy(found)
    found = np.empty((images, count), np.int64)
    shown = progress and images > QUERIES_AT_ONCE
    with progress_bar("Comparing images", images, shown=shown) as advance:
        for queries in _blocks(np.arange(images), QUERIES_AT_ONCE):
            found[queries] = _exact(vectors, queries, count)[1]
            advance(len(queries))
    return torch.from_numpy(found)


def recall(found: NDArray[np.float32], exact: NDArray[np.float32]) -> float:
    """Return the share of found neighbours that are true ones.

    Similarities are compared, not indices: of images that are exactly alike, such as the frames of
    a still video, any are true neighbours.

    Args:
        found: similarities of found neighbours, shape (queries, count).
        exact: similarities of the true ones, falling, in the same shape.

    Example:
        >>> exact = np.array([[0.9, 0.8]], np.float32)
        >>> recall(np.array([[0.9, 0.7]], np.float32), exact)
        0.5
    """
    return float((found >= exact[:, -1:] - TIED).mean())


def _exact(vectors: NDArray[np.float32], queries: NDArray[np.int64], count: int) -> Found:
    # faiss compares a few thousand vectors at a time: no matrix of all pairs arises.
    return _without_self(*most_similar(vectors[queries], vectors, count + 1), queries)


def _approximate(
    vectors: NDArray[np.float32], count: int, *, seed: int, progress: bool
) -> NDArray[np.int64] | None:
    """Search an inverted file; ``None`` where that would not be worthwhile."""
    images = len(vectors)
    lists = InvertedFile(vectors, seed=seed)
    random = np.random.default_rng(seed)
    sample = random.choice(images, min(SAMPLE_IMAGES, images), replace=False)
    probes, measured = _fit_probes(lists, sample, count)
    if probes > WORTHWHILE_SHARE * len(lists):
        logger.info("neighbours of %d images: searched exactly, for want of structure", images)
        return None
    logger.info(
        "neighbours of %d images: %d of %d lists searched, recall %.4f (of %d images)",
        *(images, probes, len(lists), measured, len(sample[1::2])),
    )
    found = np.empty((images, count), np.int64)
    at_once = min(LISTED_QUERIES_AT_ONCE, PROBES_AT_ONCE // probes)
    with progress_bar("Comparing images", images, shown=progress) as advance:
        for queries in _blocks(lists.order, at_once):
            found[queries] = _listed(lists, queries, count, probes)[1]
            advance(len(queries))
    return found


def _fit_probes(lists: InvertedFile, sample: NDArray[np.int64], count: int) -> tuple[int, float]:
    """Return how many lists to search for each image, and the recall measured with that many."""
    fitting, measuring = sample[::2], sample[1::2]
    needed = lists.probes_needed(fitting, _exact(lists.vectors, fitting, count)[1])
    probes = int(np.quantile(needed, AIMED_RECALL, method="higher"))
    exact = _exact(lists.vectors, measuring, count)[0]
    while True:
        measured = recall(_listed(lists, measuring, count, probes)[0], exact)
        if measured >= MIN_RECALL or probes > WORTHWHILE_SHARE * len(lists):
            return probes, measured
        probes *= 2


def _listed(lists: InvertedFile, queries: NDArray[np.int64], count: int, probes: int) -> Found:
    scores, found = lists.search(queries, count + 1, probes)
    # The lists searched may hold fewer images than wanted.
    short = (found < 0).any(axis=1)
    if short.any():
        scores[short], found[short] = most_similar(
            lists.vectors[queries[short]], lists.vectors, count + 1
        )
    return _without_self(scores, found, queries)


def _without_self(
    scores: NDArray[np.float32], found: NDArray[np.int64], queries: NDArray[np.int64]
) -> Found:
    """Leave one column out: the image itself, or else the last.

    An image usually comes first among its own neighbours, but identical images may come before,
    or even take all locations.
    """
    kept = np.argsort(found == queries[:, None], axis=1, kind="stable")[:, :-1]
    return np.take_along_axis(scores, kept, 1), np.take_along_axis(found, kept, 1)


def _blocks(queries: NDArray[np.int64], size: int) -> Iterator[NDArray[np.int64]]:
    # Of about equal size: faiss takes another path, rounded otherwise, for a handful of queries.
    yield from np.array_split(queries, -(-len(queries) // size))

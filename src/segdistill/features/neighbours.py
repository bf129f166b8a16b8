"""Nearest neighbours of images: exact search, or approximate search for large sets.

Images are compared by the mean of their features. Memory use is dominated by these descriptors,
which are not copied: for a million images in float32, 0.5 GB with 128 channels, 3.1 GB with 768.
"""

import logging
from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from segdistill.features.extract import FeatureMaps
from segdistill.features.inverted_file import InvertedFile, most_similar
from segdistill.features.preparation import FeaturePreparation
from segdistill.progress import progress_bar

LOCATION_BLOCK = 512
"""Block size that fits into the CPU cache; processing whole maps takes about twice as long."""

MAX_EXACT = 100_000
"""Maximum number of images for exact search, whose time is quadratic."""

MIN_RECALL = 0.99
"""Minimum recall of the approximate search."""

TARGET_RECALL = 0.995
"""Target recall when tuning the search, with a margin since recall is measured on a sample."""

SAMPLE_IMAGES = 1_000
"""Images searched exactly: half to tune the approximate search, half to measure its recall."""

MAX_PROBED_SHARE = 1 / 4
"""Maximum share of lists to search; beyond it, exact search is as fast."""

QUERY_BLOCK = 4_096
LISTED_QUERY_BLOCK = 16_384
"""Larger, since queries of the same list share one matrix product."""

MAX_PROBE_PAIRS = 2**20
"""Maximum number of (query, list) pairs at once, to bound memory."""

TIED = 1e-6
"""Tolerance below which float32 cosine similarities count as equal."""

logger = logging.getLogger("segdistill")

Found = tuple[NDArray[np.float32], NDArray[np.int64]]
"""Cosine similarities in descending order and neighbour indices, both of shape (queries, count)."""


def mean_descriptors(
    maps: FeatureMaps, preparation: FeaturePreparation, *, progress: bool = False
) -> torch.Tensor:
    """Return the unit-length mean of the normalised features of each map, (maps, channels).

    Without PCA: as in STEGO (Hamilton et al., ICLR 2022), images are compared by their original
    features. Each map is read once, with read-ahead.
    """
    descriptors = torch.empty(len(maps), maps.channels)
    with progress_bar("Finding neighbours", len(maps), shown=progress) as advance:
        for index, raw in enumerate(maps.iterate(range(len(maps)))):
            valid = maps.valid_cells(index)
            cells = raw if valid is None else raw.reshape(1, -1, raw.shape[-1])[:, valid]
            descriptors[index] = mean_feature(torch.from_numpy(cells), preparation)
            advance(1)
    return descriptors


def mean_feature(raw: torch.Tensor, preparation: FeaturePreparation) -> torch.Tensor:
    """Return the unit-length mean of the normalised features of one map, shape (channels,).

    Example:
        >>> mean_feature(torch.tensor([[[0.0, 3.0], [4.0, 1.0]]]), FeaturePreparation((2,)))
        tensor([0.7071, 0.7071])
    """
    locations = raw.flatten(0, 1)  # (height, width, channels) -> (locations, channels)
    total = torch.zeros(locations.shape[1])
    for part in torch.split(locations, LOCATION_BLOCK):
        total += preparation.normalise(part.float()).sum(dim=0)
    return F.normalize(total, dim=0)


def nearest_neighbours(
    descriptors: torch.Tensor,
    count: int,
    *,
    max_exact: int = MAX_EXACT,
    seed: int = 0,
    progress: bool = False,
) -> torch.Tensor:
    """Find the nearest neighbours of each image by cosine similarity.

    With more than ``max_exact`` images, the search is approximate and uses an inverted file
    (Sivic and Zisserman, "Video Google", ICCV 2003; Jégou et al., "Product Quantization for Nearest
    Neighbor Search", TPAMI 2011, without the quantization). Recall is measured on a sample that is
    also searched exactly. If :data:`MIN_RECALL` is too costly to reach, as for descriptors without
    structure, the search falls back to exact.

    Args:
        descriptors: unit vectors, shape (images, channels).
        count: number of neighbours; at most ``images - 1`` are returned.
        max_exact: maximum number of images for exact search.

    Returns:
        Neighbour indices in descending order of similarity, without the image itself, int64, shape
        (images, min(count, images - 1)).

    Raises:
        ValueError: fewer than two images.

    Example:
        >>> nearest_neighbours(torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.8, 0.6]]), 1).tolist()
        [[2], [2], [1]]
    """
    images = len(descriptors)
    if images < 2:
        raise ValueError("nearest neighbours need at least 2 images")
    count = min(count, images - 1)
    vectors = np.ascontiguousarray(descriptors.float().numpy())  # shares memory with float32
    if images > max_exact:
        found = _approximate(vectors, count, seed=seed, progress=progress)
        if found is not None:
            return torch.from_numpy(found)
    found = np.empty((images, count), np.int64)
    shown = progress and images > QUERY_BLOCK
    with progress_bar("Comparing images", images, shown=shown) as advance:
        for queries in _blocks(np.arange(images), QUERY_BLOCK):
            found[queries] = _exact(vectors, queries, count)[1]
            advance(len(queries))
    return torch.from_numpy(found)


def recall(found: NDArray[np.float32], exact: NDArray[np.float32]) -> float:
    """Return the recall of an approximate search, from similarities of shape (queries, count).

    Similarities are compared instead of indices, because identical images, such as the frames of a
    static video, are interchangeable.

    Example:
        >>> exact = np.array([[0.9, 0.8]], np.float32)
        >>> recall(np.array([[0.9, 0.7]], np.float32), exact)
        0.5
    """
    return float((found >= exact[:, -1:] - TIED).mean())


def _exact(vectors: NDArray[np.float32], queries: NDArray[np.int64], count: int) -> Found:
    # faiss works in blocks of a few thousand vectors, without a matrix of all pairs.
    return _without_self(*most_similar(vectors[queries], vectors, count + 1), queries)


def _approximate(
    vectors: NDArray[np.float32], count: int, *, seed: int, progress: bool
) -> NDArray[np.int64] | None:
    """Search an inverted file; ``None`` if exact search is as fast."""
    images = len(vectors)
    lists = InvertedFile(vectors, seed=seed)
    random = np.random.default_rng(seed)
    sample = random.choice(images, min(SAMPLE_IMAGES, images), replace=False)
    probes, measured = _fit_probes(lists, sample, count)
    if probes > MAX_PROBED_SHARE * len(lists):
        logger.info(
            "neighbours of %d images: exact search, since approximate search is not faster", images
        )
        return None
    logger.info(
        "neighbours of %d images: searched %d of %d lists, recall %.4f (on %d images)",
        *(images, probes, len(lists), measured, len(sample[1::2])),
    )
    found = np.empty((images, count), np.int64)
    at_once = min(LISTED_QUERY_BLOCK, MAX_PROBE_PAIRS // probes)
    with progress_bar("Comparing images", images, shown=progress) as advance:
        for queries in _blocks(lists.order, at_once):
            found[queries] = _listed(lists, queries, count, probes)[1]
            advance(len(queries))
    return found


def _fit_probes(lists: InvertedFile, sample: NDArray[np.int64], count: int) -> tuple[int, float]:
    """Return the number of lists to search per image, and the measured recall."""
    fitting, measuring = sample[::2], sample[1::2]
    needed = lists.probes_needed(fitting, _exact(lists.vectors, fitting, count)[1])
    probes = int(np.quantile(needed, TARGET_RECALL, method="higher"))
    exact = _exact(lists.vectors, measuring, count)[0]
    while True:
        measured = recall(_listed(lists, measuring, count, probes)[0], exact)
        if measured >= MIN_RECALL or probes > MAX_PROBED_SHARE * len(lists):
            return probes, measured
        probes *= 2


def _listed(lists: InvertedFile, queries: NDArray[np.int64], count: int, probes: int) -> Found:
    scores, found = lists.search(queries, count + 1, probes)
    # The searched lists may contain too few images.
    short = (found < 0).any(axis=1)
    if short.any():
        scores[short], found[short] = most_similar(
            lists.vectors[queries[short]], lists.vectors, count + 1
        )
    return _without_self(scores, found, queries)


def _without_self(
    scores: NDArray[np.float32], found: NDArray[np.int64], queries: NDArray[np.int64]
) -> Found:
    """Drop the query image from its neighbours, or the last neighbour if it is not among them."""
    kept = np.argsort(found == queries[:, None], axis=1, kind="stable")[:, :-1]
    return np.take_along_axis(scores, kept, 1), np.take_along_axis(found, kept, 1)


def _blocks(queries: NDArray[np.int64], size: int) -> Iterator[NDArray[np.int64]]:
    # Of about equal size, since faiss rounds differently for small numbers of queries.
    yield from np.array_split(queries, -(-len(queries) // size))

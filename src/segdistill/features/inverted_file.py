"""An inverted file: vectors in lists, one for each of a few thousand centroids.

A search compares a query with the members of the lists whose centroids are most like it. Many
queries are searched together: for each list, those that search it meet its members in one matrix
product, which is several times faster than one query after the other. The vectors stay where they
are; faiss's own index would hold a second copy.
"""

import faiss
import numpy as np
from numpy.typing import NDArray

LISTS_A_ROOT = 2
"""Lists as a multiple of the square root of the number of vectors.

Of 1, 2, 3, 4 and 8, this was the fastest or nearly so, on a hundred thousand means of parts of
CamVid's feature maps as well as on made descriptors.
"""

MAX_LISTS = 4_096
MIN_MEMBERS = 16
CENTROID_VECTORS = 65_536
"""Vectors that the centroids are learned from."""

CENTROID_STEPS = 8
MEMBERS_AT_ONCE = 16_384


def most_similar(
    queries: NDArray[np.float32], vectors: NDArray[np.float32], count: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return inner products, falling, and indices of the best vectors for each query.

    Args:
        queries: shape (queries, channels).
        vectors: shape (vectors, channels).
        count: vectors wanted for each query; at most as many as there are.

    Returns:
        Two arrays of shape (queries, count).
    """
    scores: NDArray[np.float32]
    found: NDArray[np.int64]
    scores, found = faiss.knn(queries, vectors, count, metric=faiss.METRIC_INNER_PRODUCT)
    return scores, found


class InvertedFile:
    """Unit vectors in lists by the most similar centroid; no list is empty.

    Args:
        vectors: shape (vectors, channels); kept, not copied.
        seed: of the centroids.

    Attributes:
        vectors: as given.
        centroids: unit vectors, shape (lists, channels).
        home: the list of each vector, shape (vectors,).
        order: indices of all vectors, list by list, shape (vectors,).

    Example:
        >>> vectors = np.eye(64, dtype=np.float32)[np.arange(640) % 4]
        >>> lists = InvertedFile(vectors, seed=0)
        >>> scores, found = lists.search(np.array([5]), count=3, probes=1)
        >>> scores.tolist(), (found % 4).tolist()
        ([[1.0, 1.0, 1.0]], [[1, 1, 1]])
    """

    def __init__(self, vectors: NDArray[np.float32], *, seed: int) -> None:
        self.vectors = vectors
        centroids = learned_centroids(vectors, seed=seed)
        home = most_similar(vectors, centroids, 1)[1][:, 0]
        used, self.home = np.unique(home, return_inverse=True)
        self.centroids = centroids[used]
        self.order: NDArray[np.int64] = np.argsort(self.home, kind="stable")
        self._ends = np.cumsum(np.bincount(self.home))

    def __len__(self) -> int:
        return len(self.centroids)

    def members(self, index: int) -> NDArray[np.int64]:
        """Return the indices of the vectors in a list."""
        start = self._ends[index - 1] if index else 0
        return self.order[start : self._ends[index]]

    def probes_needed(
        self, queries: NDArray[np.int64], wanted: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Return how many lists each query must search to meet each vector wanted.

        Args:
            queries: indices of vectors, shape (queries,).
            wanted: indices of vectors, shape (queries, count).

        Returns:
            Numbers from 1 to that of all lists, shape (queries, count).
        """
        similarities = self.vectors[queries] @ self.centroids.T  # (queries, lists)
        own = np.take_along_axis(similarities, self.home[wanted], axis=1)
        better = [
            (row > each[:, None]).sum(axis=1) for row, each in zip(similarities, own, strict=True)
        ]
        return np.stack(better) + 1

    def search(
        self, queries: NDArray[np.int64], count: int, probes: int
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Search the lists most like each query.

        Args:
            queries: indices of vectors, shape (queries,); the faster the more lists they share.
            count: vectors wanted for each query.
            probes: lists searched for each query, at most all.

        Returns:
            Inner products, falling, and indices, each of shape (queries, count). Where the lists
            hold fewer vectors, index -1 fills up.
        """
        vectors = self.vectors[queries]
        probed = most_similar(vectors, self.centroids, min(probes, len(self)))[1]
        best = faiss.ResultHeap(len(queries), count, keep_max=True)
        pairs = np.argsort(probed, axis=None, kind="stable")  # list by list
        lists, starts = np.unique(probed.ravel()[pairs], return_index=True)
        for index, of_list in zip(lists, np.split(pairs, starts[1:]), strict=True):
            rows = of_list // probed.shape[1]
            members = self.members(index)
            for start in range(0, len(members), MEMBERS_AT_ONCE):
                part = members[start : start + MEMBERS_AT_ONCE]
                scores, at = most_similar(vectors[rows], self.vectors[part], min(count, len(part)))
                best.add_result_subset(rows, scores, part[at])
        best.finalize()
        return best.D, best.I


def learned_centroids(vectors: NDArray[np.float32], *, seed: int) -> NDArray[np.float32]:
    """Learn the centroids of lists by spherical k-means of a sample.

    Args:
        vectors: unit vectors, shape (vectors, channels).
        seed: of the sample and of the first centroids.

    Returns:
        Unit vectors of shape (lists, channels).
    """
    total, channels = vectors.shape
    lists = max(1, min(int(LISTS_A_ROOT * total**0.5), total // MIN_MEMBERS, MAX_LISTS))
    sample = vectors
    if total > CENTROID_VECTORS:
        random = np.random.default_rng(seed)
        sample = vectors[np.sort(random.choice(total, CENTROID_VECTORS, replace=False))]
    kmeans = faiss.Kmeans(
        channels,
        lists,
        niter=CENTROID_STEPS,
        seed=seed,
        spherical=True,
        # The sample is as it should be: faiss neither draws another nor warns.
        min_points_per_centroid=1,
        max_points_per_centroid=CENTROID_VECTORS,
    )
    kmeans.train(sample)
    return np.ascontiguousarray(kmeans.centroids)

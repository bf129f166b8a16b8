"""Clustering of the trained head's codes: spherical k-means on prototypes, refined on codes.

Codes are first quantised to many prototypes. Clustering prototypes into any number of classes is
fast even with many restarts, so the number can be changed later without the images. The best
clusterings are then refined on the codes themselves.

Centres are unit vectors of shape (clusters, channels). Codes have shape (locations, channels) and
any length other than zero.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import faiss
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from segdistill.cpu_threads import in_parallel, one_thread
from segdistill.model.class_sets import ClassSet
from segdistill.model.prototypes import Prototypes
from segdistill.objective.merge_tree import cut_tree, merge_tree
from segdistill.objective.spherical_kmeans import cluster_vectors, group_sums

PROTOTYPES = 1024
RESTARTS = 40
FINALISTS = 12
SCORED_FINALISTS = 40
COMPARED_LOCATIONS = 20_000
SPLIT_ITERATIONS = 10
REFINEMENT_ITERATIONS = 20


class QuantisedCodes(NamedTuple):
    """Codes quantised to prototypes.

    Attributes:
        prototypes: the prototypes, with their shares and merge tree.
        owners: the prototype of each code, shape (locations,), int64.
    """

    prototypes: Prototypes
    owners: torch.Tensor


def spherical_kmeans(codes: torch.Tensor, clusters: int, *, seed: int) -> torch.Tensor:
    """Cluster codes by spherical k-means, that is, by cosine similarity.

    Of several restarts, the one with the highest mean similarity to the centres is kept.

    Args:
        codes: non-zero vectors of any length, shape (locations, channels).

    Returns:
        Unit vectors of shape (clusters, channels), largest cluster first.

    Raises:
        ValueError: fewer locations than clusters.

    Example:
        >>> locations = torch.tensor([[1.0, 0.0], [2.0, 0.1], [0.0, 1.0], [0.1, 3.0], [0.0, 2.0]])
        >>> spherical_kmeans(locations, 2, seed=0).round().abs().tolist()
        [[0.0, 1.0], [1.0, 0.0]]
    """
    if len(codes) < clusters:
        raise ValueError(f"{len(codes)} locations cannot make {clusters} clusters")
    prototypes = quantise_codes(codes, seed=seed).prototypes
    candidates = cluster_prototypes(prototypes, clusters, seed=seed)
    return refine_clusters(codes, candidates, seed=seed)


@one_thread()
def quantise_codes(codes: torch.Tensor, *, count: int = PROTOTYPES, seed: int) -> QuantisedCodes:
    """Quantise codes to prototypes by two-level k-means, and build the tree of their merges.

    About ``count`` prototypes are made; with fewer locations, each is its own prototype.
    """
    directions = F.normalize(codes.float(), dim=1)
    owners = _two_level_kmeans(directions, count, seed)
    vectors = group_sums(directions, owners, int(owners.max()) + 1) / len(codes)
    shares = torch.bincount(owners) / len(codes)
    merges, heights = merge_tree(vectors)
    return QuantisedCodes(Prototypes(vectors.float(), shares, merges, heights.float()), owners)


@one_thread()
def cluster_prototypes(
    prototypes: Prototypes, clusters: int, *, seed: int, restarts: int = RESTARTS
) -> torch.Tensor:
    """Cluster prototypes, starting from a cut through their merge tree and from random centres.

    Returns:
        Unit vectors of shape (starts, clusters, channels), as returned by :func:`cluster_vectors`.
    """
    vectors = prototypes.vectors.double()
    if clusters > len(vectors):
        return cluster_vectors(vectors, clusters, seed=seed, restarts=restarts)
    groups = cut_tree(prototypes.merges, clusters)
    cut = F.normalize(group_sums(vectors, groups, clusters), dim=1)
    return cluster_vectors(vectors, clusters, seed=seed, restarts=restarts, start=cut)


def classes_of_prototypes(prototypes: Prototypes, classes: int) -> torch.Tensor:
    """Return the centres for a given number of classes, largest class first."""
    centres = cluster_prototypes(prototypes, classes, seed=0)[0].float()
    shares = group_shares(prototypes, centres)
    return centres[shares.argsort(descending=True, stable=True)]


def group_shares(prototypes: Prototypes, centres: torch.Tensor) -> torch.Tensor:
    """Return the share of all codes in each cluster of prototypes, shape (clusters,)."""
    shares = prototypes.shares[:, None].double()
    return group_sums(shares, nearest_centres(prototypes, centres), len(centres))[:, 0]


def nearest_centres(prototypes: Prototypes, centres: torch.Tensor) -> torch.Tensor:
    """Return the nearest centre to each prototype, as indices of shape (prototypes,)."""
    nearest: torch.Tensor = (prototypes.vectors @ F.normalize(centres.float(), dim=1).mT).argmax(1)
    return nearest


def prototype_classes(prototypes: Prototypes, classes: ClassSet) -> NDArray[np.int64]:
    """Return the class of each prototype's nearest cluster, shape (prototypes,)."""
    class_of = np.empty(len(classes.centres), np.int64)
    for each in classes.classes:
        class_of[list(each.members)] = each.index
    found: NDArray[np.int64] = class_of[nearest_centres(prototypes, classes.centres).numpy()]
    return found


def refine_clusters(
    codes: torch.Tensor,
    candidates: torch.Tensor,
    *,
    seed: int,
    judge: Callable[[torch.Tensor], float] | None = None,
) -> torch.Tensor:
    """Refine clusterings of prototypes on the codes themselves, and return the best.

    Codes carry detail that prototypes lose: the best candidates are refined on a subset of the
    codes and compared, and the winner is refined on all codes.

    Args:
        codes: non-zero vectors of any length, shape (locations, channels).
        candidates: centres from :func:`cluster_prototypes`, best first, shape (starts, clusters,
            channels).
        judge: a function that scores centres, higher is better; by default, the mean similarity of
            all codes to their nearest centres. Called in several threads.

    Returns:
        Unit vectors of shape (clusters, channels), largest cluster first.
    """
    directions = F.normalize(codes.float(), dim=1)
    order = torch.randperm(len(directions), generator=torch.Generator().manual_seed(seed))
    some = directions[order[:COMPARED_LOCATIONS]]
    finalists = candidates[: FINALISTS if judge is None else SCORED_FINALISTS]
    score = judge or partial(mean_similarity, directions)

    def refined(start: torch.Tensor) -> tuple[float, torch.Tensor]:
        centres = _kmeans_from(some, start.float())
        return score(centres), centres

    compared = list(in_parallel(refined, finalists))
    _, best = max(compared, key=lambda each: each[0])
    return order_by_share(_kmeans_from(directions, best), directions)


def mean_similarity(directions: torch.Tensor, centres: torch.Tensor) -> float:
    """Return the mean cosine similarity of unit-length codes to their nearest centres."""
    return float((directions @ centres.mT).amax(dim=1).double().mean())


def order_by_share(centres: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
    """Sort centres by the number of codes nearest to them, largest first."""
    nearest = (codes @ F.normalize(centres, dim=1).mT).argmax(dim=1)
    counts = torch.bincount(nearest, minlength=len(centres))
    return centres[counts.argsort(descending=True, stable=True)]


def relabel_sequential(numbers: torch.Tensor) -> torch.Tensor:
    """Renumber integers from 0 without gaps, keeping their order.

    Example:
        >>> relabel_sequential(torch.tensor([7, 2, 7, 5])).tolist()
        [2, 0, 2, 1]
    """
    return torch.from_numpy(np.unique(numbers.numpy(), return_inverse=True)[1])


def _two_level_kmeans(directions: torch.Tensor, count: int, seed: int) -> torch.Tensor:
    """Return the group of each location, about ``count`` in all: make a few, then split each."""
    locations = len(directions)
    if locations <= count:
        return torch.arange(locations)
    first = _groups(directions, math.isqrt(count), seed)
    owners = torch.empty(locations, dtype=torch.int64)
    used = 0
    for group in range(int(first.max()) + 1):
        members = (first == group).nonzero()[:, 0]
        parts = max(1, round(count * len(members) / locations))
        owners[members] = used + _groups(directions[members], parts, seed)
        used += parts
    return relabel_sequential(owners)


def _groups(directions: torch.Tensor, clusters: int, seed: int) -> torch.Tensor:
    """Return the cluster of each location, by spherical k-means with a single start."""
    if len(directions) <= clusters:
        return torch.arange(len(directions))
    kmeans = _faiss_kmeans(directions, clusters, iterations=SPLIT_ITERATIONS, seed=seed)
    plain = directions.numpy()
    kmeans.train(plain)
    nearest: NDArray[np.int64] = kmeans.index.search(plain, 1)[1][:, 0]
    return torch.from_numpy(nearest)


def _kmeans_from(directions: torch.Tensor, centres: torch.Tensor) -> torch.Tensor:
    """Run k-means on codes from given centres, and return the new centres."""
    kmeans = _faiss_kmeans(directions, len(centres), iterations=REFINEMENT_ITERATIONS)
    kmeans.train(directions.numpy(), init_centroids=centres.numpy())
    return F.normalize(torch.from_numpy(kmeans.centroids), dim=1)


def _faiss_kmeans(
    directions: torch.Tensor, clusters: int, *, iterations: int, seed: int = 0
) -> Any:
    return faiss.Kmeans(
        directions.shape[1],
        clusters,
        niter=iterations,
        seed=seed,
        spherical=True,
        # Use all locations, however few or many there are per cluster.
        min_points_per_centroid=1,
        max_points_per_centroid=len(directions),
    )

"""Clustering codes once the head is trained: spherical k-means, by way of prototypes.

Codes are first gathered into many prototypes. Any number of classes is then found among those in
moments, with many starts, so that the number can be changed later without the images. The starts
that fit best continue with the codes themselves.

Centres are unit vectors of shape (clusters, channels), codes of shape (locations, channels) and of
any length but zero.
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
    """Codes in prototypes.

    Attributes:
        prototypes: directions, shares and tree.
        owners: prototype of each code, shape (locations,), int64.
    """

    prototypes: Prototypes
    owners: torch.Tensor


def spherical_kmeans(codes: torch.Tensor, clusters: int, *, seed: int) -> torch.Tensor:
    """Cluster directions: k-means on the unit sphere, by cosine similarity.

    Of several starts the one whose codes lie closest to their centres is kept.

    Args:
        codes: shape (locations, channels), of any length but zero.
        clusters: number of clusters, at most the number of locations.
        seed: seed of the starts.

    Returns:
        Unit vectors of shape (clusters, channels), the cluster of most locations first.

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


def quantise_codes(codes: torch.Tensor, *, count: int = PROTOTYPES, seed: int) -> QuantisedCodes:
    """Gather codes into prototypes: k-means in two levels, and a tree of merges above it.

    About ``count`` prototypes are made; with fewer locations each is its own.
    """
    directions = F.normalize(codes.float(), dim=1)
    owners = _two_level_kmeans(directions, count, seed)
    vectors = group_sums(directions, owners, int(owners.max()) + 1) / len(codes)
    shares = torch.bincount(owners) / len(codes)
    merges, heights = merge_tree(vectors)
    return QuantisedCodes(Prototypes(vectors.float(), shares, merges, heights.float()), owners)


def cluster_prototypes(
    prototypes: Prototypes, clusters: int, *, seed: int, restarts: int = RESTARTS
) -> torch.Tensor:
    """Find clusters of prototypes, from a cut through their tree and from random starts.

    Returns:
        Unit vectors of shape (starts, clusters, channels), as :func:`cluster_vectors` gives them.
    """
    vectors = prototypes.vectors.double()
    if clusters > len(vectors):
        return cluster_vectors(vectors, clusters, seed=seed, restarts=restarts)
    groups = cut_tree(prototypes.merges, clusters)
    cut = F.normalize(group_sums(vectors, groups, clusters), dim=1)
    return cluster_vectors(vectors, clusters, seed=seed, restarts=restarts, start=cut)


def classes_of_prototypes(prototypes: Prototypes, classes: int) -> torch.Tensor:
    """Return the centres of any number of classes, the class of the largest share first."""
    centres = cluster_prototypes(prototypes, classes, seed=0)[0].float()
    shares = group_shares(prototypes, centres)
    return centres[shares.argsort(descending=True, stable=True)]


def group_shares(prototypes: Prototypes, centres: torch.Tensor) -> torch.Tensor:
    """Return the share of all codes that each cluster of prototypes holds."""
    shares = prototypes.shares[:, None].double()
    return group_sums(shares, nearest_centres(prototypes, centres), len(centres))[:, 0]


def nearest_centres(prototypes: Prototypes, centres: torch.Tensor) -> torch.Tensor:
    """Return the cluster of each prototype, shape (prototypes,)."""
    nearest: torch.Tensor = (prototypes.vectors @ F.normalize(centres.float(), dim=1).mT).argmax(1)
    return nearest


def prototype_classes(prototypes: Prototypes, classes: ClassSet) -> NDArray[np.int64]:
    """Return the class of each prototype, that of its nearest cluster, shape (prototypes,)."""
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
    """Continue with the best clusterings of prototypes on the codes themselves, and keep the best.

    What prototypes cannot distinguish, codes can: the best of the candidates are compared after a
    few rounds on some of the codes, and the best of them continues with all.

    Args:
        codes: shape (locations, channels), of any length but zero.
        candidates: shape (starts, clusters, channels), best first, of :func:`cluster_prototypes`.
        seed: seed of the choice of codes.
        judge: centres to how good they are; by default how close all codes lie to them.

    Returns:
        Unit vectors of shape (clusters, channels), the cluster of most locations first.
    """
    directions = F.normalize(codes.float(), dim=1)
    order = torch.randperm(len(directions), generator=torch.Generator().manual_seed(seed))
    some = directions[order[:COMPARED_LOCATIONS]]
    finalists = candidates[: FINALISTS if judge is None else SCORED_FINALISTS]
    compared = [_kmeans_from(some, start.float()) for start in finalists]
    best = max(compared, key=judge or partial(mean_similarity, directions))
    return order_by_share(_kmeans_from(directions, best), directions)


def mean_similarity(directions: torch.Tensor, centres: torch.Tensor) -> float:
    """Return the mean cosine of codes, as unit vectors, with the nearest centre."""
    return float((directions @ centres.mT).amax(dim=1).double().mean())


def order_by_share(centres: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
    """Sort centres by the number of codes nearest to them, largest first."""
    nearest = (codes @ F.normalize(centres, dim=1).mT).argmax(dim=1)
    counts = torch.bincount(nearest, minlength=len(centres))
    return centres[counts.argsort(descending=True, stable=True)]


def relabel_sequential(numbers: torch.Tensor) -> torch.Tensor:
    """Return whole numbers as numbers from 0 without gaps, in the same order.

    Example:
        >>> relabel_sequential(torch.tensor([7, 2, 7, 5])).tolist()
        [2, 0, 2, 1]
    """
    return torch.from_numpy(np.unique(numbers.numpy(), return_inverse=True)[1])


def _two_level_kmeans(directions: torch.Tensor, count: int, seed: int) -> torch.Tensor:
    """Return the group of each location, about ``count`` groups: a few first, each then split."""
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
    """Return the cluster of each location by plain k-means with one start."""
    if len(directions) <= clusters:
        return torch.arange(len(directions))
    kmeans = _faiss_kmeans(directions, clusters, iterations=SPLIT_ITERATIONS, seed=seed)
    plain = directions.numpy()
    kmeans.train(plain)
    nearest: NDArray[np.int64] = kmeans.index.search(plain, 1)[1][:, 0]
    return torch.from_numpy(nearest)


def _kmeans_from(directions: torch.Tensor, centres: torch.Tensor) -> torch.Tensor:
    """Move centres on the codes themselves."""
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
        # All locations are used, however few or many there are a cluster.
        min_points_per_centroid=1,
        max_points_per_centroid=len(directions),
    )

"""Clustering codes once the head is trained."""

import faiss
import numpy as np
import torch
import torch.nn.functional as F

ITERATIONS = 40
RESTARTS = 5


def spherical_kmeans(
    codes: torch.Tensor, clusters: int, *, seed: int, restarts: int = RESTARTS
) -> torch.Tensor:
    """Cluster directions: k-means on the unit sphere, by cosine similarity.

    Of several starts the one whose codes lie closest to their centres is kept.

    Args:
        codes: shape (places, channels), of any length but zero.
        clusters: number wanted, at most the number of places.
        seed: of the starts.
        restarts: number of starts.

    Returns:
        Unit vectors of shape (clusters, channels), the cluster of most places first.

    Raises:
        ValueError: fewer places than clusters.

    Example:
        >>> places = torch.tensor([[1.0, 0.0], [2.0, 0.1], [0.0, 1.0], [0.1, 3.0], [0.0, 2.0]])
        >>> spherical_kmeans(places, 2, seed=0).round().abs().tolist()
        [[0.0, 1.0], [1.0, 0.0]]
    """
    if len(codes) < clusters:
        raise ValueError(f"{len(codes)} places cannot make {clusters} clusters")
    directions = np.ascontiguousarray(F.normalize(codes.float(), dim=1).numpy())
    kmeans = faiss.Kmeans(
        directions.shape[1],
        clusters,
        niter=ITERATIONS,
        nredo=restarts,
        seed=seed,
        spherical=True,
        # All places are used, however few or many there are a cluster.
        min_points_per_centroid=1,
        max_points_per_centroid=len(directions),
    )
    kmeans.train(directions)
    centres = torch.from_numpy(kmeans.centroids)
    return order_by_share(centres, torch.from_numpy(directions))


def order_by_share(centres: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
    """Sort centres by the number of codes nearest to them, largest first.

    Args:
        centres: shape (clusters, channels).
        codes: shape (places, channels).
    """
    nearest = (codes @ F.normalize(centres, dim=1).mT).argmax(dim=1)
    counts = torch.bincount(nearest, minlength=len(centres))
    return centres[counts.argsort(descending=True, stable=True)]

"""Spherical k-means: clustering of directions by cosine similarity, from many starts at once.

Each vector may represent many codes, and its length is its weight. The objective, which is
maximised, is the total length of the vector sums of the clusters. If vectors are sums of unit
codes, it equals the sum of the cosine similarities between codes and their centres. Up to
constants, this is the likelihood of von Mises-Fisher distributions with a shared concentration
(Banerjee et al., 2005).
"""

import torch
import torch.nn.functional as F

ITERATIONS = 100
TRIALS = 4
SAME_FIT = 1e-6


def cluster_vectors(
    vectors: torch.Tensor,
    clusters: int,
    *,
    seed: int,
    restarts: int,
    start: torch.Tensor | None = None,
) -> torch.Tensor:
    """Cluster directions by spherical k-means with many starts.

    Args:
        vectors: vectors weighted by their lengths, shape (prototypes, channels), float64.
        start: an additional start: unit vectors of shape (clusters, channels).

    Returns:
        Centres found from each start: unit vectors of shape (starts, clusters, channels), float64,
        best fit first, without duplicates.

    Example:
        >>> vectors = torch.tensor([[3.0, 0.0], [2.0, 0.2], [0.0, 1.0]]).double()
        >>> best = cluster_vectors(vectors, 2, seed=0, restarts=5)[0]
        >>> (vectors @ best.mT).argmax(dim=1).unique().tolist()
        [0, 1]
    """
    starts = kmeans_plus_plus(vectors, clusters, restarts, seed=seed)
    if start is not None:
        starts = torch.cat([start[None], starts])
    centres, fits = refine_centres(vectors, starts)
    order = fits.argsort(descending=True, stable=True)
    falls = -fits[order].diff(prepend=fits.new_tensor([torch.inf]))
    return centres[order[falls > SAME_FIT * fits.max()]]


def kmeans_plus_plus(
    vectors: torch.Tensor, clusters: int, starts: int, *, seed: int
) -> torch.Tensor:
    """Draw starts with greedy k-means++ (Arthur and Vassilvitskii, 2007).

    Vectors are drawn as centres with a probability proportional to their length and to their cosine
    distance from the nearest previous centre; the best of :data:`TRIALS` candidates is kept.

    Returns:
        Unit vectors of shape (starts, clusters, channels), float64.
    """
    generator = torch.Generator().manual_seed(seed)
    # Zero vectors have no direction, but if all vectors are zero, some must still be drawn.
    weights = vectors.norm(dim=1).double().clamp_min(1e-30)
    directions = F.normalize(vectors.double(), dim=1)
    drawn = torch.multinomial(weights, starts, replacement=True, generator=generator)
    chosen = [drawn]
    farness = 1 - directions[drawn] @ directions.mT  # (starts, prototypes)
    for _ in range(1, clusters):
        # If all vectors coincide with centres, draw any.
        chances = (farness.clamp_min(0) + 1e-12) * weights
        tried = torch.multinomial(chances, TRIALS, replacement=True, generator=generator)
        with_each = torch.minimum(farness[:, None], 1 - directions[tried] @ directions.mT)
        best = (with_each @ weights).argmin(dim=1, keepdim=True)  # (starts, 1)
        chosen.append(tried.gather(1, best)[:, 0])
        farness = with_each[torch.arange(starts), best[:, 0]]
    return directions[torch.stack(chosen, dim=1)]


def refine_centres(
    vectors: torch.Tensor, centres: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Move centres until no vector changes its cluster, for several starts at once.

    Args:
        vectors: vectors weighted by their lengths, shape (prototypes, channels), float64.
        centres: unit vectors of shape (starts, clusters, channels).

    Returns:
        Refined centres in the shape of ``centres``, and the total length of the vector sums of the
        clusters, shape (starts,).
    """
    starts, clusters, channels = centres.shape
    rows = torch.arange(starts) * clusters
    before = torch.empty(0)
    for _ in range(ITERATIONS):
        similarity = vectors @ centres.flatten(0, 1).mT  # (prototypes, starts * clusters)
        nearest = similarity.view(-1, starts, clusters).argmax(dim=2) + rows
        if torch.equal(nearest, before):
            break
        before = nearest
        sums = group_sums(
            vectors[:, None].expand(-1, starts, -1).reshape(-1, channels),
            nearest.flatten(),
            starts * clusters,
        ).view_as(centres)
        lengths = sums.norm(dim=2, keepdim=True)
        # Empty clusters keep their centres.
        centres = torch.where(lengths > 0, sums / lengths.clamp_min(1e-300), centres)
    return centres, lengths.sum(dim=(1, 2))


def group_sums(vectors: torch.Tensor, groups: torch.Tensor, count: int) -> torch.Tensor:
    """Sum the vectors of each group, (locations, channels) to (count, channels), float64."""
    sums = torch.zeros(count, vectors.shape[1], dtype=torch.float64)
    return sums.index_add_(0, groups, vectors.double())

"""Coarse, medium and fine levels of classes.

Medium classes are found first, by :mod:`segdistill.clustering.code_clusters`. Each is then split
into fine clusters, in proportion to its share of the codes, and coarse classes are unions of medium
ones. On CamVid and the toy world, medium classes made of fine clusters match labels slightly better
than the medium centres alone, since each class is modelled by several centres.
"""

from typing import NamedTuple

import torch

from segdistill.clustering.code_clusters import cluster_prototypes, group_shares, nearest_centres
from segdistill.cpu_threads import one_thread
from segdistill.model.levels import Grouping, Levels
from segdistill.model.prototypes import Prototypes
from segdistill.objective.spherical_kmeans import cluster_vectors

FINE_PER_MEDIUM = 4
MAX_FINE_CLUSTERS = 128
RESTARTS = 8


class LevelledClusters(NamedTuple):
    """Fine clusters, largest first, and their grouping at each level.

    Attributes:
        centres: centres of the fine clusters, unit vectors of shape (clusters, code channels).
        levels: the grouping of fine clusters into classes at each level.
    """

    centres: torch.Tensor
    levels: Levels


def fine_count(medium: int) -> int:
    """Return the number of fine clusters for a number of medium classes.

    Example:
        >>> fine_count(11), fine_count(100), fine_count(200)
        (44, 128, 200)
    """
    return max(medium, min(MAX_FINE_CLUSTERS, FINE_PER_MEDIUM * medium))


def coarse_count(medium: int) -> int:
    """Return the default number of coarse classes: half the number of medium ones, rounded up.

    Example:
        >>> coarse_count(11), coarse_count(3)
        (6, 2)
    """
    return max(2, (medium + 1) // 2)


@one_thread()
def levels_of_prototypes(
    prototypes: Prototypes,
    medium: torch.Tensor,
    *,
    coarse: int | None = None,
    seed: int = 0,
) -> LevelledClusters:
    """Split medium classes into fine clusters, and group them into coarse classes.

    Args:
        medium: centres of the medium classes, unit vectors of shape (classes, code channels).
        coarse: the number of coarse classes; by default, half the number of medium ones.

    Example:
        >>> from segdistill.clustering.code_clusters import quantise_codes, spherical_kmeans
        >>> codes = torch.randn(300, 5)
        >>> medium = spherical_kmeans(codes, 4, seed=0)
        >>> levels = levels_of_prototypes(quantise_codes(codes, seed=0).prototypes, medium).levels
        >>> levels.counts["medium"]
        4
    """
    owners = nearest_centres(prototypes, medium)
    parts = _split(prototypes, owners, medium, fine_count(len(medium)), seed)
    centres = torch.cat(parts).float()
    parent = torch.arange(len(medium)).repeat_interleave(torch.tensor([len(p) for p in parts]))
    shares = group_shares(prototypes, centres)
    order = shares.argsort(descending=True, stable=True)
    centres, parent, shares = centres[order], parent[order], shares[order]
    grandparent = _coarse_of_medium(
        prototypes, owners, len(medium), coarse or coarse_count(len(medium)), seed
    )
    return LevelledClusters(
        centres,
        Levels(
            coarse=_grouping(grandparent[parent], shares),
            medium=_grouping(parent, shares),
            fine=tuple((index,) for index in range(len(centres))),
        ),
    )


def _split(
    prototypes: Prototypes, owners: torch.Tensor, medium: torch.Tensor, wanted: int, seed: int
) -> list[torch.Tensor]:
    """Split each class into centres, their number in proportion to its share of the codes."""
    vectors = prototypes.vectors.double()
    parts = []
    for index, centre in enumerate(medium.double()):
        members = vectors[owners == index]
        share = float(prototypes.shares[owners == index].sum())
        count = min(len(members), max(1, round(wanted * share)))
        # A class without prototypes of its own stays a single cluster.
        split = cluster_vectors(members, count, seed=seed, restarts=RESTARTS)[0] if count else None
        parts.append(centre[None] if split is None else split)
    return parts


def _coarse_of_medium(
    prototypes: Prototypes, owners: torch.Tensor, classes: int, wanted: int, seed: int
) -> torch.Tensor:
    """Return the coarse class of each medium class: the cluster that holds most of its codes.

    Merging medium classes one pair at a time makes more mistakes.
    """
    if wanted >= classes:
        return torch.arange(classes)
    centres = cluster_prototypes(prototypes, wanted, seed=seed)[0]
    held = torch.zeros(classes, wanted, dtype=torch.float64)
    nearest = nearest_centres(prototypes, centres)
    held.index_put_((owners, nearest), prototypes.shares.double(), accumulate=True)
    return held.argmax(dim=1)


def _grouping(parent: torch.Tensor, shares: torch.Tensor) -> Grouping:
    """Return the clusters of each class, largest class first."""
    groups = [(parent == each).nonzero()[:, 0] for each in sorted(set(parent.tolist()))]
    groups.sort(key=lambda members: -float(shares[members].sum()))
    return tuple(tuple(members.tolist()) for members in groups)

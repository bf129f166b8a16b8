"""How many classes do the codes speak for? Told from the codes alone, without labels.

Two halves of the images are clustered apart, and both clusterings are laid over all codes. Where
they agree, the number of classes is one that other images of the same kind would give, too (Lange,
Roth, Braun and Buhmann, 2004). Among the numbers at which they agree, the one is taken whose
classes are told apart best (the silhouette of Rousseeuw, 1987, with distances to centres).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from segdistill.config.settings import DEFAULT_CLASSES
from segdistill.objective.merge_tree import cut_tree
from segdistill.objective.spherical_kmeans import cluster_vectors, group_sums
from segdistill.training.clustering import Gathered, renumbered

CANDIDATES = (*range(2, 21), 22, 24, 27, 30)
STABLE = 0.8
HALVINGS = 4
FEWEST_IMAGES = 4
GROUPS = 256
RESTARTS = 8


@dataclass(frozen=True)
class ClassCount:
    """The number of classes that codes speak for, and why.

    Attributes:
        chosen: the number.
        stands_out: whether it was found; otherwise no number is stable, and it is the default.
        candidates: numbers tried, rising.
        stability: agreement of clusterings of two halves of the images at each, at most 1; 0 is
            chance.
        silhouette: how well classes are told apart at each, from 0 to 1.
        needed: stability that a number needs to be taken.
    """

    chosen: int
    stands_out: bool
    candidates: tuple[int, ...]
    stability: tuple[float, ...]
    silhouette: tuple[float, ...]
    needed: float = STABLE


def estimate_class_count(
    codes: torch.Tensor, images: torch.Tensor, gathered: Gathered, *, seed: int
) -> ClassCount:
    """Estimate the number of classes.

    Args:
        codes: shape (locations, channels), of any length but zero.
        images: number of the image (or view) of each code, shape (locations,), int64, from 0.
        gathered: the same codes in prototypes.
        seed: of halves and starts.
    """
    tree = gathered.prototypes.merges
    count = min(GROUPS, len(tree) + 1)
    groups = cut_tree(tree, count)[gathered.owners]
    directions = F.normalize(codes.float(), dim=1)
    whole = group_sums(directions, groups, count)
    shares = torch.bincount(groups, minlength=count) / len(codes)
    halves = []
    for half in halves_of(images, seed=seed):
        sums = group_sums(directions[half], groups[half], count)
        halves.append((sums, whole - sums))
    candidates = tuple(number for number in CANDIDATES if number <= max(2, count - 1))
    stability, silhouette = [], []
    for number in candidates:
        stability.append(mean_agreement(whole, shares, halves, number, seed=seed))
        centres = cluster_vectors(whole, number, seed=seed, restarts=RESTARTS)[0]
        silhouette.append(mean_silhouette(whole, shares, centres))
    chosen = choose_count(candidates, stability, silhouette)
    return ClassCount(
        DEFAULT_CLASSES if chosen is None else chosen,
        chosen is not None,
        candidates,
        tuple(stability),
        tuple(silhouette),
    )


def choose_count(
    candidates: Sequence[int], stability: Sequence[float], silhouette: Sequence[float]
) -> int | None:
    """Return the number of best silhouette among the stable ones, if there are any.

    Example:
        >>> choose_count([2, 3, 4, 5], [1.0, 0.97, 0.99, 0.6], [0.5, 0.6, 0.7, 0.8])
        4
        >>> choose_count([2, 3], [0.5, 0.4], [0.5, 0.6]) is None
        True
    """
    stable = [
        (apart, -number)
        for number, agreement, apart in zip(candidates, stability, silhouette, strict=True)
        if agreement >= STABLE
    ]
    return -max(stable)[1] if stable else None


def halves_of(images: torch.Tensor, *, seed: int) -> list[torch.Tensor]:
    """Draw halves of the images.

    Args:
        images: number of the image of each code, shape (locations,), int64, from 0.
        seed: of the draws.

    Returns:
        Masks of shape (locations,): the codes of one half of the images, or, where images are too few
        to be halved, one half of the codes.
    """
    generator = torch.Generator().manual_seed(seed)
    units = renumbered(images)
    if int(units.max()) + 1 < FEWEST_IMAGES:
        units = torch.arange(len(images))
    count = int(units.max()) + 1
    halves = []
    for _ in range(HALVINGS):
        taken = torch.zeros(count, dtype=torch.bool)
        taken[torch.randperm(count, generator=generator)[: count // 2]] = True
        halves.append(taken[units])
    return halves


def mean_agreement(
    vectors: torch.Tensor,
    shares: torch.Tensor,
    halves: Sequence[tuple[torch.Tensor, torch.Tensor]],
    number: int,
    *,
    seed: int,
) -> float:
    """Return how well clusterings of two halves agree on all codes, on average over halvings.

    Args:
        vectors: of groups of codes, shape (groups, channels), float64.
        shares: of the groups, shape (groups,).
        halves: the vectors of the same groups in one half of the images and in the other.
        number: of clusters.
        seed: of the starts.

    Returns:
        Adjusted Rand index: at most 1, and 0 on average for random clusterings.
    """
    agreements = []
    for pair in halves:
        one, other = (
            (vectors @ cluster_vectors(half, number, seed=seed, restarts=RESTARTS)[0].mT).argmax(1)
            for half in pair
        )
        agreements.append(adjusted_rand_index(one, other, shares))
    return sum(agreements) / len(agreements)


def adjusted_rand_index(one: torch.Tensor, other: torch.Tensor, weights: torch.Tensor) -> float:
    """Return how far two clusterings agree beyond chance (Hubert and Arabie, 1985).

    Items stand for many locations each, so that an item makes pairs with itself, too.

    Args:
        one: clusters of items, shape (items,), int64.
        other: the same of another clustering.
        weights: of the items, shape (items,), summing to 1.

    Returns:
        1 if they agree, 0 on average for random clusterings of the same sizes.

    Example:
        >>> halves, thirds = torch.tensor([0, 0, 1, 1]), torch.tensor([1, 1, 0, 2])
        >>> adjusted_rand_index(halves, 1 - halves, torch.full((4,), 0.25))
        1.0
        >>> round(adjusted_rand_index(halves, thirds, torch.full((4,), 0.25)), 3)
        0.75
    """
    table = torch.zeros(int(one.max()) + 1, int(other.max()) + 1, dtype=torch.float64)
    table.index_put_((one, other), weights.double(), accumulate=True)
    together, first, second = (
        float((part**2).sum()) for part in (table, table.sum(dim=1), table.sum(dim=0))
    )
    by_chance, most = first * second, (first + second) / 2
    return 1.0 if most == by_chance else (together - by_chance) / (most - by_chance)


def mean_silhouette(vectors: torch.Tensor, shares: torch.Tensor, centres: torch.Tensor) -> float:
    """Return how much nearer codes are to their own centre than to the next one.

    Each group of codes counts ``1 - a / b``, where a and b are the cosine distances of its middle
    from the nearest centre and from the second nearest.

    Args:
        vectors: of groups of codes, shape (groups, channels).
        shares: of the groups, shape (groups,), summing to 1.
        centres: unit vectors of shape (clusters, channels), at least two.

    Returns:
        From 0, between two centres, to 1, on the centre.
    """
    similarity = F.normalize(vectors, dim=1) @ centres.to(vectors).mT
    nearest, next_one = (1 - similarity.topk(2, dim=1).values).clamp_min(0).unbind(dim=1)
    apart = torch.where(next_one > 0, 1 - nearest / next_one.clamp_min(1e-12), 0)
    return float((apart * shares).sum())

"""Estimation of the number of classes in a set of images, from codes alone, without labels.

There is rarely one right number, so two are estimated, with a confidence:

- The *coarse* number gives the best separated classes: the largest product of stability and
  silhouette.
- The *medium* number is the largest that is still reproducible: up to it, clusterings of two halves
  of the images agree. It is the default, since merging classes is easier than splitting them.

Stability is the agreement on all codes between two clusterings, each fitted to one half of the
images (Lange, Roth, Braun and Buhmann, 2004), averaged over several random splits. The silhouette
(Rousseeuw, 1987) uses distances to cluster centres.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from segdistill.clustering.code_clusters import QuantisedCodes, relabel_sequential
from segdistill.clustering.levels import coarse_count, fine_count
from segdistill.config.settings import DEFAULT_CLASSES
from segdistill.cpu_threads import in_parallel
from segdistill.objective.merge_tree import cut_tree
from segdistill.objective.spherical_kmeans import cluster_vectors, group_sums
from segdistill.progress import progress_bar
from segdistill.runs.facts import ClassCount, Confidence

CANDIDATES = (*range(3, 21), 22, 24, 27, 30)
STABLE = 0.8
CLEAR = 0.9
FEWEST_BY_DEFAULT = 6
RANDOM_SPLITS = 10
FEWEST_IMAGES = 4
GROUPS = 256
RESTARTS = 8


def estimate_class_count(
    codes: torch.Tensor,
    images: torch.Tensor,
    quantised: QuantisedCodes,
    *,
    seed: int,
    progress: bool = False,
) -> ClassCount:
    """Estimate the number of classes.

    Args:
        codes: non-zero vectors of any length, shape (locations, channels).
        images: the image (or view) index of each code, from 0, shape (locations,), int64.
    """
    tree = quantised.prototypes.merges
    count = min(GROUPS, len(tree) + 1)
    groups = cut_tree(tree, count)[quantised.owners]
    directions = F.normalize(codes.float(), dim=1)
    whole = group_sums(directions, groups, count)
    shares = torch.bincount(groups, minlength=count) / len(codes)
    halves = []
    for half in random_halves(images, seed=seed):
        sums = group_sums(directions[half], groups[half], count)
        halves.append((sums, whole - sums))
    candidates = tuple(number for number in CANDIDATES if number < count) or (min(2, count),)

    def measured(number: int) -> tuple[float, float]:
        agreement = mean_agreement(whole, shares, halves, number, seed=seed)
        centres = cluster_vectors(whole, number, seed=seed, restarts=RESTARTS)[0]
        return agreement, mean_silhouette(whole, shares, centres) if number > 1 else 0.0

    stability, silhouette = [], []
    with progress_bar("Counting classes", len(candidates), shown=progress) as advance:
        for agreement, separation in in_parallel(measured, candidates):
            stability.append(agreement)
            silhouette.append(separation)
            advance(1)
    coarse, medium, confidence = choose_counts(candidates, stability, silhouette)
    # Never more classes than there are groups of codes.
    medium = min(medium, count)
    return ClassCount(
        chosen=medium,
        coarse=min(coarse, medium),
        fine=min(fine_count(medium), len(tree) + 1),
        confidence=confidence,
        candidates=candidates,
        stability=tuple(stability),
        silhouette=tuple(silhouette),
        needed=STABLE,
    )


def choose_counts(
    candidates: Sequence[int], stability: Sequence[float], silhouette: Sequence[float]
) -> tuple[int, int, Confidence]:
    """Choose the coarse and medium numbers of classes, and the confidence.

    The coarse number has the largest product of stability and silhouette. The medium number rises
    from there while clusterings remain stable, to at most twice the coarse number, so that well
    separated classes are not split into many; it is at least 6, since fewer classes are rarely
    useful. Stability is smoothed over neighbouring candidates, which are in ascending order.

    Example:
        >>> choose_counts([3, 4, 5, 6, 7, 8, 9], [1, 1, 1, 1, 0.9, 0.8, 0.6], [0.6] * 2 + [0.7] * 5)
        (4, 7, 'high')
        >>> choose_counts([3, 4], [0.5, 0.4], [0.5, 0.6])
        (6, 12, 'none')
    """
    peak = max(range(len(candidates)), key=lambda i: (stability[i] * silhouette[i], -i))
    last = peak
    while last + 1 < len(candidates) and _smoothed(stability, last + 1) >= STABLE:
        last += 1
    # Two or three barely reproducible classes only separate smooth from textured areas.
    needed = CLEAR if candidates[last] < FEWEST_BY_DEFAULT else STABLE
    if stability[peak] < needed:
        return coarse_count(DEFAULT_CLASSES), DEFAULT_CLASSES, "none"
    coarse = candidates[peak]
    most = max(2 * coarse, FEWEST_BY_DEFAULT + 2)
    medium = max(min(candidates[last], most), FEWEST_BY_DEFAULT)
    # Keep the levels visibly different.
    coarse = min(coarse, max(2, medium * 2 // 3))
    return coarse, medium, "high" if stability[peak] >= CLEAR else "low"


def _smoothed(values: Sequence[float], index: int) -> float:
    near = values[max(index - 1, 0) : index + 2]
    return sum(near) / len(near)


def random_halves(images: torch.Tensor, *, seed: int) -> list[torch.Tensor]:
    """Draw random halves of the images, as masks over codes of shape (locations,).

    With too few images, the codes are split instead. ``images`` holds the image of each code.
    """
    generator = torch.Generator().manual_seed(seed)
    units = relabel_sequential(images)
    if int(units.max()) + 1 < FEWEST_IMAGES:
        units = torch.arange(len(images))
    count = int(units.max()) + 1
    halves = []
    for _ in range(RANDOM_SPLITS):
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
    """Return the agreement of clusterings of two halves on all codes, averaged over the splits.

    Args:
        vectors: summed vectors of groups of codes, shape (groups, channels), float64.
        shares: the share of the codes in each group, shape (groups,).
        halves: the vectors of the same groups in each half of the images, one pair per split.
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
    """Return the adjusted Rand index of two clusterings (Hubert and Arabie, 1985).

    Each item represents many locations, so pairs of an item with itself count, too.

    Args:
        one: the cluster of each item, shape (items,), int64.
        other: the same for the other clustering.
        weights: weights of the items, summing to 1, shape (items,).

    Returns:
        1 for identical clusterings; 0 on average for random clusterings of the same sizes.

    Example:
        >>> halves, thirds = torch.tensor([0, 0, 1, 1]), torch.tensor([1, 1, 0, 2])
        >>> round(adjusted_rand_index(halves, thirds, torch.full((4,), 0.25)), 3)
        0.75
    """
    table = torch.zeros(int(one.max()) + 1, int(other.max()) + 1, dtype=torch.float64)
    table.index_put_((one, other), weights.double(), accumulate=True)
    same, first, second = (
        float((part**2).sum()) for part in (table, table.sum(dim=1), table.sum(dim=0))
    )
    by_chance, most = first * second, (first + second) / 2
    return 1.0 if most == by_chance else (same - by_chance) / (most - by_chance)


def mean_silhouette(vectors: torch.Tensor, shares: torch.Tensor, centres: torch.Tensor) -> float:
    """Return the mean silhouette of codes with respect to cluster centres, from 0 to 1.

    The silhouette of a group of codes is ``1 - a / b``, where a and b are the cosine distances from
    its mean to the nearest and second nearest centres.

    Args:
        vectors: summed vectors of groups of codes, shape (groups, channels).
        shares: the share of the codes in each group, summing to 1, shape (groups,).
        centres: at least two unit vectors, shape (clusters, channels).
    """
    similarity = F.normalize(vectors, dim=1) @ centres.to(vectors).mT
    nearest, next_one = (1 - similarity.topk(2, dim=1).values).clamp_min(0).unbind(dim=1)
    apart = torch.where(next_one > 0, 1 - nearest / next_one.clamp_min(1e-12), 0)
    return float((apart * shares).sum())

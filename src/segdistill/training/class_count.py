"""Estimating how many classes a set of images calls for, from codes alone, without labels.

There is rarely one right number, so two are estimated, and a confidence:

- The *coarse* number is the one whose classes are best separated: the largest product of stability
  and silhouette.
- The *medium* number is the largest one that is still reproducible: up to it, clusterings of two
  halves of the images agree. It is the default, since merging classes is easier than splitting
  them.

Stability is the agreement of two clusterings, each of one half of the images, on all codes (Lange,
Roth, Braun and Buhmann, 2004), averaged over several halvings. The silhouette (Rousseeuw, 1987)
uses distances to cluster centres.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F

from segdistill.config.settings import DEFAULT_CLASSES
from segdistill.objective.merge_tree import cut_tree
from segdistill.objective.spherical_kmeans import cluster_vectors, group_sums
from segdistill.training.clustering import QuantisedCodes, relabel_sequential
from segdistill.training.levels import coarse_count, fine_count

CANDIDATES = (*range(3, 21), 22, 24, 27, 30)
STABLE = 0.8
CLEAR = 0.9
FEWEST_BY_DEFAULT = 6
RANDOM_SPLITS = 10
FEWEST_IMAGES = 4
GROUPS = 256
RESTARTS = 8

Confidence = Literal["high", "low", "none"]


@dataclass(frozen=True)
class ClassCount:
    """Estimated numbers of classes, and the evidence.

    Attributes:
        chosen: the medium number, which the fit takes.
        coarse: the coarse number.
        fine: the number of fine clusters.
        confidence: ``high`` if clusterings of two halves of the images agree well at the coarse
            number (0.9 or more); ``low`` if they agree fairly (0.8 or more); ``none`` if no number
            is reproducible, so that ``chosen`` is the default.
        candidates: numbers tried, rising.
        stability: agreement of clusterings of two halves of the images at each candidate, at most
            1; 0 is chance.
        silhouette: how well classes are separated at each candidate, from 0 to 1.
        needed: stability that a number needs to count as reproducible.
    """

    chosen: int
    coarse: int
    fine: int
    confidence: Confidence
    candidates: tuple[int, ...]
    stability: tuple[float, ...]
    silhouette: tuple[float, ...]
    needed: float = STABLE

    @property
    def is_default(self) -> bool:
        """Whether no number was reproducible."""
        return self.confidence == "none"

    @property
    def stability_of_chosen(self) -> float:
        """Stability at the candidate nearest to the chosen number."""
        nearest = min(self.candidates, key=lambda number: abs(number - self.chosen))
        return self.stability[self.candidates.index(nearest)]


def estimate_class_count(
    codes: torch.Tensor, images: torch.Tensor, quantised: QuantisedCodes, *, seed: int
) -> ClassCount:
    """Estimate the number of classes.

    Args:
        codes: shape (locations, channels), of any length but zero.
        images: image (or view) of each code, shape (locations,), int64, from 0.
        quantised: the same codes in prototypes.
        seed: seed of halves and starts.
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
    stability, silhouette = [], []
    for number in candidates:
        stability.append(mean_agreement(whole, shares, halves, number, seed=seed))
        centres = cluster_vectors(whole, number, seed=seed, restarts=RESTARTS)[0]
        silhouette.append(mean_silhouette(whole, shares, centres) if number > 1 else 0.0)
    coarse, medium, confidence = choose_counts(candidates, stability, silhouette)
    # Never more classes than codes can make.
    medium = min(medium, count)
    return ClassCount(
        medium,
        min(coarse, medium),
        min(fine_count(medium), len(tree) + 1),
        confidence,
        candidates,
        tuple(stability),
        tuple(silhouette),
    )


def choose_counts(
    candidates: Sequence[int], stability: Sequence[float], silhouette: Sequence[float]
) -> tuple[int, int, Confidence]:
    """Choose the coarse and the medium number of classes, and the confidence.

    The coarse number has the largest product of stability and silhouette. From there the medium
    number rises as long as stability holds, to at most twice the coarse number, so that well
    separated classes are not cut into many; it is at least 6, since too few classes are of little
    use. Stability is smoothed over neighbouring candidates, which rise.

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
    # Two or three classes that are barely reproducible say no more than "smooth or textured".
    needed = CLEAR if candidates[last] < FEWEST_BY_DEFAULT else STABLE
    if stability[peak] < needed:
        return coarse_count(DEFAULT_CLASSES), DEFAULT_CLASSES, "none"
    coarse = candidates[peak]
    most = max(2 * coarse, FEWEST_BY_DEFAULT + 2)
    medium = max(min(candidates[last], most), FEWEST_BY_DEFAULT)
    # The levels would look alike if they were closer.
    coarse = min(coarse, max(2, medium * 2 // 3))
    return coarse, medium, "high" if stability[peak] >= CLEAR else "low"


def _smoothed(values: Sequence[float], index: int) -> float:
    near = values[max(index - 1, 0) : index + 2]
    return sum(near) / len(near)


def random_halves(images: torch.Tensor, *, seed: int) -> list[torch.Tensor]:
    """Draw halves of the images as masks of codes, each of shape (locations,).

    Where images are too few to be halved, codes are. ``images`` holds the image of each code.
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
    """Return how well clusterings of two halves agree on all codes, averaged over the halvings.

    Args:
        vectors: vectors of groups of codes, shape (groups, channels), float64.
        shares: shares of the groups, shape (groups,).
        halves: the vectors of the same groups in one half of the images and in the other.
        number: number of clusters.
        seed: seed of the starts.
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
        weights: weights of the items, shape (items,), summing to 1.

    Returns:
        1 if they agree, 0 on average for random clusterings of the same sizes.

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
    """Return how much nearer codes are to their own centre than to the next one, from 0 to 1.

    Each group of codes counts ``1 - a / b``, where a and b are the cosine distances of its mean
    from the nearest centre and from the second nearest.

    Args:
        vectors: vectors of groups of codes, shape (groups, channels).
        shares: shares of the groups, shape (groups,), summing to 1.
        centres: unit vectors of shape (clusters, channels), at least two.
    """
    similarity = F.normalize(vectors, dim=1) @ centres.to(vectors).mT
    nearest, next_one = (1 - similarity.topk(2, dim=1).values).clamp_min(0).unbind(dim=1)
    apart = torch.where(next_one > 0, 1 - nearest / next_one.clamp_min(1e-12), 0)
    return float((apart * shares).sum())

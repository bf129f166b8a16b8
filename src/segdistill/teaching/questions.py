"""Which regions to ask about, and in which order.

Questions come in rounds. A round clusters the cells, weighted by how little is known about them,
and holds one region of each cluster, to choose the next question from: the one whose cluster stands
for most and whose class is least certain by then. In the first round all cells weigh the same.
Later rounds weigh them by the uncertainty of the classifier made from the answers so far, so that
clusters whose answers disagree are split, and rare classes by more than their share.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from segdistill.teaching.cells import CellPool, Cells
from segdistill.teaching.classifier import LinearClassifier

CANDIDATES = 100
"""Clusters of a round; fewer if there would be less than :data:`CELLS_PER_CLUSTER` in each."""

CELLS_PER_CLUSTER = 30

FIRST_ROUND = 50
LATER_ROUND = 25
"""Questions that are asked of a round, before the cells are clustered again."""

CLUSTERED_CELLS = 20_000
CLUSTERING_STEPS = 15
SMALLEST_REGION = 3
"""Smaller regions, in cells, are hard to name."""

CERTAIN_WEIGHT = 0.05
"""Weight of a cell whose class is certain; that of an uncertain one is 1 more."""

RARITY = 0.7
"""Power of a class's share by which its cells weigh less."""

CERTAIN_PRIORITY = 0.1
"""Priority of a question whose answer is certain; that of an uncertain one is 1 more."""

ALIKE = 5
CELLS_AT_ONCE = 50_000


@dataclass(frozen=True)
class Question:
    """A region to be named.

    Attributes:
        cells: the region: cells of one image.
        share: share of the weight of all cells in the cluster that the region stands for.
        alike: regions of the same cluster in other images, the most similar first.
    """

    cells: Cells
    share: float
    alike: tuple[Cells, ...] = ()


def plan_round(
    pool: CellPool,
    classifier: LinearClassifier | None,
    asked: NDArray[np.bool_],
    *,
    seed: int,
    count: int = CANDIDATES,
) -> list[Question]:
    """Return the questions of a round, the most important first.

    Args:
        pool: the cells.
        classifier: made from the answers so far, or ``None``.
        asked: which cells have been asked about, shape (cells,).
        seed: seed of the clustering.
        count: number of clusters, and the most questions.

    Returns:
        At most one question per cluster; none if nothing is left to ask about.
    """
    free = pool.valid & ~asked
    if not free.any():
        return []
    weights = _cell_weights(pool, classifier)
    count = max(1, min(count, int(free.sum()) // CELLS_PER_CLUSTER))
    centres = _cluster(pool, weights, free, count, seed=seed)
    clusters, distances = nearest_centres(pool.features, centres)
    found = (weights.numpy(), clusters.numpy(), distances.numpy())
    return list(_questions(pool, free, *found, smallest=SMALLEST_REGION)) or list(
        _questions(pool, free, *found, smallest=1)
    )


def by_importance(
    questions: Sequence[Question], pool: CellPool, classifier: LinearClassifier | None
) -> list[Question]:
    """Sort questions: the first stands for much, and is little known.

    Args:
        questions: of a round.
        pool: the cells.
        classifier: made from the answers so far, or ``None``: then the order stays.
    """
    if classifier is None or not questions:
        return list(questions)
    means = torch.stack(
        [pool.features[torch.from_numpy(each.cells)].mean(dim=0) for each in questions]
    )
    doubts, _ = uncertainty(classifier, means)
    shares = torch.tensor([each.share for each in questions])
    order = (shares * (CERTAIN_PRIORITY + doubts)).argsort(descending=True, stable=True)
    return [questions[index] for index in order.tolist()]


def uncertainty(
    classifier: LinearClassifier, features: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return how uncertain a classifier is about cells, and their classes.

    Args:
        classifier: the classifier.
        features: shape (cells, channels).

    Returns:
        1 minus the difference of the two largest probabilities, from 0 to 1, and the likeliest
        class, both of shape (cells,). Where the likeliest class is none that was taught, nothing
        is known: 1.
    """
    taught = len(classifier.bias) if classifier.taught is None else classifier.taught
    doubts, classes = [], []
    for part in torch.split(features, CELLS_AT_ONCE):
        likely = classifier.logits(part).softmax(dim=1).topk(min(2, len(classifier.bias)), dim=1)
        values = likely.values
        second = values[:, 1] if values.shape[1] > 1 else torch.zeros(len(values))
        best = likely.indices[:, 0]
        doubts.append(torch.where(best < taught, 1 - values[:, 0] + second, 1.0))
        classes.append(best)
    return torch.cat(doubts), torch.cat(classes)


def nearest_centres(
    features: torch.Tensor, centres: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the index of the nearest centre of each cell, and the squared distance from it.

    Args:
        features: shape (cells, channels).
        centres: shape (centres, channels).
    """
    lengths = centres.square().sum(dim=1)
    parts = [
        torch.addmm(lengths, part, centres.mT, alpha=-2).min(dim=1)
        for part in torch.split(features, CELLS_AT_ONCE)
    ]
    nearest = torch.cat([part.indices for part in parts])
    distances = torch.cat([part.values for part in parts]) + features.square().sum(dim=1)
    return nearest, distances.clamp_min(0)


def shares_of_cells(pool: CellPool, regions: Sequence[Cells]) -> NDArray[np.float64]:
    """Return the share of cells whose features are most like the mean of each region's.

    It is measured on cells spread over all images, at most :data:`CLUSTERED_CELLS`.

    Args:
        pool: the cells.
        regions: at least one.

    Returns:
        Shape (regions,), summing to 1.
    """
    means = torch.stack([pool.features[torch.from_numpy(cells)].mean(dim=0) for cells in regions])
    known = np.flatnonzero(pool.valid)
    # Drawn, since steps of equal size could follow the columns of the grids.
    drawn = np.random.default_rng(0).permutation(known)[:CLUSTERED_CELLS]
    nearest, _ = nearest_centres(pool.features[torch.from_numpy(drawn)], means)
    counts = np.bincount(nearest.numpy(), minlength=len(regions))
    shares: NDArray[np.float64] = counts / counts.sum()
    return shares


def _cell_weights(pool: CellPool, classifier: LinearClassifier | None) -> torch.Tensor:
    if classifier is None:
        return torch.ones(len(pool.features))
    doubts, classes = uncertainty(classifier, pool.features)
    shares = torch.bincount(classes, minlength=len(classifier.bias)).float() / len(classes)
    return (CERTAIN_WEIGHT + doubts) * shares.clamp_min(1e-4)[classes] ** -RARITY


def _cluster(
    pool: CellPool, weights: torch.Tensor, free: NDArray[np.bool_], count: int, *, seed: int
) -> torch.Tensor:
    """Return the centres of a weighted k-means, shape (count, channels)."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(weights), generator=generator)
    drawn = order[torch.from_numpy(free)[order]][:CLUSTERED_CELLS]
    features, weighing = pool.features[drawn], weights[drawn]
    centres = _first_centres(features, weighing, count, generator)
    for _ in range(CLUSTERING_STEPS):
        nearest, _ = nearest_centres(features, centres)
        totals = torch.zeros(count).index_add_(0, nearest, weighing)
        sums = torch.zeros_like(centres).index_add_(0, nearest, features * weighing[:, None])
        # Empty clusters keep their centres.
        centres = torch.where(totals[:, None] > 0, sums / totals.clamp_min(1e-12)[:, None], centres)
    return centres


def _first_centres(
    features: torch.Tensor, weights: torch.Tensor, count: int, generator: torch.Generator
) -> torch.Tensor:
    """Draw cells far from each other, as k-means++ does (Arthur and Vassilvitskii, 2007)."""
    chosen = [int(torch.multinomial(weights, 1, generator=generator))]
    lengths = features.square().sum(dim=1)
    farness = torch.full_like(weights, torch.inf)
    for _ in range(1, count):
        last = features[chosen[-1]]
        distances = lengths + last.square().sum() - 2 * features @ last
        farness = torch.minimum(farness, distances.clamp_min(0))
        chances = (farness + 1e-12) * weights
        chosen.append(int(torch.multinomial(chances, 1, generator=generator)))
    return features[chosen].clone()


def _questions(
    pool: CellPool,
    free: NDArray[np.bool_],
    weights: NDArray[np.float32],
    clusters: NDArray[np.int64],
    distances: NDArray[np.float32],
    *,
    smallest: int,
) -> Iterator[Question]:
    """Yield a question for each cluster, the one of most weight first."""
    regions = Regions.of(pool, np.where(free, clusters, -1))
    gains = np.bincount(regions.of_cell, weights, minlength=regions.count)
    spread = np.bincount(regions.of_cell, distances, minlength=regions.count) / regions.sizes
    covered = np.bincount(clusters[free], weights[free], minlength=int(clusters.max()) + 1)
    shares = covered / covered.sum()
    for cluster in np.argsort(-covered, kind="stable"):
        own = np.flatnonzero((regions.groups == cluster) & (regions.sizes >= smallest))
        if not len(own):
            continue
        # Those nearer to the centre, with half of the cells: the others stand for less.
        typical = own[spread[own] <= np.median(np.repeat(spread[own], regions.sizes[own]))]
        best = int(typical[np.argmax(gains[typical])])
        image = pool.image_of(regions.firsts[[best]])
        others = typical[pool.image_of(regions.firsts[typical]) != image]
        alike = others[np.argsort(spread[others], kind="stable")][:ALIKE]
        yield Question(
            regions.cells(best),
            float(shares[cluster]),
            tuple(regions.cells(int(each)) for each in alike),
        )


@dataclass(frozen=True)
class Regions:
    """Connected regions of cells.

    Attributes:
        of_cell: region of each cell, shape (cells,).
        groups: group that the cells of each region have in common, shape (regions,).
        sizes: number of cells of each region, shape (regions,).
        firsts: first cell of each region, shape (regions,).
    """

    of_cell: NDArray[np.int64]
    groups: NDArray[np.int64]
    sizes: NDArray[np.int64]
    firsts: Cells

    @classmethod
    def of(cls, pool: CellPool, groups: NDArray[np.int64]) -> "Regions":
        """Return the regions of cells of one group that adjoin in an image."""
        of_cell = pool.regions(groups)
        _, firsts, sizes = np.unique(of_cell, return_index=True, return_counts=True)
        return cls(of_cell, groups[firsts], sizes, firsts)

    @property
    def count(self) -> int:
        """The number of regions."""
        return len(self.sizes)

    def cells(self, region: int) -> Cells:
        """Return the cells of a region, in ascending order."""
        return np.flatnonzero(self.of_cell == region)

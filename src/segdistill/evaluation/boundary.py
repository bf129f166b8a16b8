"""Boundary F-score: agreement between predicted and labelled class boundaries.

Csurka, Larlus and Perronnin, "What is a good evaluation measure for semantic segmentation?"
(BMVC 2013). For each class, precision is the share of predicted boundary pixels that are near a
labelled boundary pixel of that class, recall is the share of labelled boundary pixels that are near
a predicted one, and F is their harmonic mean. Near means closer than 0.75% of the image diagonal.

- A pixel is a boundary pixel of its class if one of its four neighbours has another class. The
  image border is not a boundary, and neither is the border of unlabelled pixels, which are ignored.
- Boundary pixels are summed over the whole set before dividing, as for IoU, so that images with
  little of a class do not get too much weight. The paper averages scores over images instead.
- Hits are counted for every pair of cluster and label class, so the matching, which is known
  only at the end, can be scored exactly in constant memory.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segdistill.evaluation.confusion import Counts, pad_labels

TOLERANCE = 0.0075
"""Distance below which two boundary pixels are near, as a share of the image diagonal."""

MAX_BITS = 64
"""Number of classes in a bit mask."""

Words = NDArray[np.unsignedinteger]


@dataclass(frozen=True, eq=False)
class BoundaryCounts:
    """Counts of boundary pixels, and of those near a boundary of the other mask.

    Attributes:
        predicted: boundary pixels of each cluster, shape (clusters,).
        labelled: boundary pixels of each label class, shape (labels,).
        predicted_hits: boundary pixels of each cluster near the boundary of each label class,
            shape (clusters, labels).
        labelled_hits: boundary pixels of each label class near the boundary of each cluster, shape
            (clusters, labels).

    Example:
        >>> truth = boundary_map(np.array([[0, 0, 1]]), np.ones((1, 3), np.bool_))
        >>> one = boundary_counts(truth, truth, 2, 2)
        >>> (one + one).predicted_hits.tolist()
        [[2, 0], [0, 2]]
    """

    predicted: Counts
    labelled: Counts
    predicted_hits: Counts
    labelled_hits: Counts

    @classmethod
    def zeros(cls, clusters: int, labels: int = 0) -> "BoundaryCounts":
        """Return zero counts; the number of label classes grows as labels occur."""
        pairs = np.zeros((clusters, labels), np.int64)
        return cls(pairs.sum(axis=1), pairs.sum(axis=0), pairs, pairs.copy())

    def __add__(self, other: "BoundaryCounts") -> "BoundaryCounts":
        """Return the sum of two counts."""

        def add(one: Counts, two: Counts) -> Counts:
            labels = max(len(self.labelled), len(other.labelled))
            return pad_labels(one, labels) + pad_labels(two, labels)

        return BoundaryCounts(
            self.predicted + other.predicted,
            add(self.labelled, other.labelled),
            add(self.predicted_hits, other.predicted_hits),
            add(self.labelled_hits, other.labelled_hits),
        )


@dataclass(frozen=True, eq=False)
class BoundaryMap:
    """The class boundaries of a mask.

    Attributes:
        locations: flat indices of the boundary pixels, shape (pixels,).
        classes: class of each boundary pixel, shape (pixels,).
        near: pairs of bit masks of shape (height * width,) and the classes of their bits. A bit is
            set in every pixel near the boundary of its class.
    """

    locations: NDArray[np.intp]
    classes: Counts
    near: tuple[tuple[Words, Counts], ...]


@dataclass(frozen=True)
class BoundaryScores:
    """Boundary scores after matching.

    Attributes:
        mean_f: mean of ``f`` over the classes where it is defined, 0..1; NaN if there are none.
        f: harmonic mean of precision and recall of each label class, 0..1; 0 if there are no hits,
            NaN if the class has neither labelled nor predicted boundary pixels.
        precision: share of predicted boundary pixels that are correct, 0..1; NaN if there are none.
        recall: share of labelled boundary pixels that are found, 0..1; NaN if there are none.
    """

    mean_f: float
    f: tuple[float, ...]
    precision: tuple[float, ...]
    recall: tuple[float, ...]


def boundary_scores(counts: BoundaryCounts, match: Sequence[int]) -> BoundaryScores:
    """Score boundaries under a matching.

    Args:
        counts: counts over the set.
        match: matched label class of each cluster, or -1; each class occurs at most once.

    Example:
        >>> pairs = np.array([[0, 4], [2, 0]])
        >>> counts = BoundaryCounts(np.array([4, 2]), np.array([2, 4]), pairs, pairs)
        >>> boundary_scores(counts, (1, 0)).f, boundary_scores(counts, (0, 1)).mean_f
        ((1.0, 1.0), 0.0)
    """
    labels = len(counts.labelled)
    clusters = np.array([cluster for cluster, label in enumerate(match) if label >= 0], np.intp)
    classes = np.array([label for label in match if label >= 0], np.intp)
    predicted, precise, recalled = np.zeros((3, labels), np.int64)
    predicted[classes] = counts.predicted[clusters]
    precise[classes] = counts.predicted_hits[clusters, classes]
    recalled[classes] = counts.labelled_hits[clusters, classes]
    precision, recall = _ratio(precise, predicted), _ratio(recalled, counts.labelled)
    # If one of the two is undefined, the other is 0 or also undefined.
    product, total = np.nan_to_num(precision * recall), np.nan_to_num(precision + recall)
    f = _ratio(2 * product, total)
    f[(total == 0) & ((predicted > 0) | (counts.labelled > 0))] = 0.0
    return BoundaryScores(
        mean_f=float(np.nanmean(f)) if not np.isnan(f).all() else math.nan,
        f=tuple(f.tolist()),
        precision=tuple(precision.tolist()),
        recall=tuple(recall.tolist()),
    )


def boundary_map(
    classes: NDArray[np.integer], valid: NDArray[np.bool_], *, tolerance: float = TOLERANCE
) -> BoundaryMap:
    """Find the boundaries of all classes of a mask, and the pixels near them.

    Args:
        classes: class indices, shape (height, width).
        valid: pixels to use, shape (height, width).
        tolerance: distance below which a pixel is near, as a share of the diagonal.
    """
    edge = boundary_pixels(classes, valid)
    locations = np.flatnonzero(edge)
    found = classes.ravel()[locations].astype(np.int64)
    present = np.unique(found)
    radius = tolerance * math.hypot(*classes.shape)
    near = []
    for start in range(0, len(present), MAX_BITS):
        named = present[start : start + MAX_BITS]
        word = np.min_scalar_type(2 ** len(named) - 1)
        bit_of = np.zeros(int(present[-1]) + 1, word)
        bit_of[named] = 1 << np.arange(len(named), dtype=np.uint64)
        marked = np.zeros(edge.shape, word)
        marked.ravel()[locations] = bit_of[found]
        near.append((dilate(marked, radius).ravel(), named))
    return BoundaryMap(locations, found, tuple(near))


def boundary_pixels(classes: NDArray[np.integer], valid: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Mark the pixels that have a 4-neighbour of another class.

    Args:
        classes: class indices, shape (height, width).
        valid: pixels to use, shape (height, width).

    Example:
        >>> boundary_pixels(np.array([[0, 0, 1, 2]]), np.array([[True, True, True, False]]))
        array([[False,  True,  True, False]])
    """
    edge = np.zeros(classes.shape, np.bool_)
    for before, after in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])):
        differ = (classes[before] != classes[after]) & valid[before] & valid[after]
        edge[before] |= differ
        edge[after] |= differ
    return edge


def dilate(marked: Words, radius: float) -> Words:
    """Dilate all classes at once with a disc.

    Args:
        marked: bit masks with one bit per class, shape (height, width).
        radius: radius of the disc in pixels, exclusive; above 0.

    Example:
        >>> dilate(np.array([[1, 0, 0, 0, 2]], np.uint8), 2.5)
        array([[1, 1, 3, 2, 2]], dtype=uint8)
    """
    # The disc is built up row by row; rows get longer towards the middle.
    reach = min(math.ceil(radius), len(marked)) - 1  # the largest integer below the radius
    row, length = marked.copy(), 0
    found = np.zeros_like(marked)
    for down in range(reach, -1, -1):
        while (length + 1) ** 2 + down**2 < radius**2:
            length += 1
            row[:, length:] |= marked[:, :-length]
            row[:, :-length] |= marked[:, length:]
        found[down:] |= row[: len(row) - down]
        found[: len(row) - down] |= row[down:]
    return found


def boundary_counts(
    predicted: BoundaryMap, labelled: BoundaryMap, clusters: int, labels: int
) -> BoundaryCounts:
    """Count the boundary pixels of an image, and those near a boundary of the other mask.

    Both maps must have the same valid pixels; ``clusters`` and ``labels`` are numbers of classes.
    """
    return BoundaryCounts(
        predicted=np.bincount(predicted.classes, minlength=clusters),
        labelled=np.bincount(labelled.classes, minlength=labels),
        predicted_hits=_hits(predicted, clusters, labelled, labels),
        labelled_hits=_hits(labelled, labels, predicted, clusters).T,
    )


def _hits(own: BoundaryMap, count: int, other: BoundaryMap, others: int) -> Counts:
    """Count boundary pixels by class and nearby class, shape (count, others)."""
    hits = np.zeros((count, others), np.int64)
    for words, named in other.near:
        here = words[own.locations]
        for bit, each in enumerate(named):
            hit = (here >> bit) & 1 != 0
            hits[:, each] = np.bincount(own.classes[hit], minlength=count)
    return hits


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.float64]:
    shares = np.full(len(whole), np.nan)
    np.divide(part, whole, out=shares, where=whole > 0)
    return shares

"""Boundary F-score: how well the outlines of matched classes agree with those of the labels.

The measure of Csurka, Larlus and Perronnin ("What is a good evaluation measure for semantic
segmentation?", BMVC 2013). For a class, precision is the share of its predicted boundary that has
boundary of the same class in the labels near it, recall the share of its boundary in the labels
that has predicted boundary near it, and F their harmonic mean. Near means at a distance below
0.75 % of the image's diagonal.

What exactly is counted:

- A pixel is on the boundary of its class if one of its four neighbours has another class. The
  frame of the image is no boundary.
- Pixels without a label count for nothing, in labels and predictions alike: they are on no
  boundary, and no boundary runs between them and their neighbours.
- Boundary pixels are added up over the whole set before anything is divided, as IoU is counted
  here; the paper scores image by image and averages. Counts add up over images, files and
  processes without error, and a class weighs the same in an image where hardly any of it shows.
- Hits are counted for every pair of a cluster and a label class, since which belong together is
  known at the end alone: any matching can then be scored, exactly, in memory that does not grow.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segdistill.images.labels import VOID

TOLERANCE = 0.0075
"""Distance, as a share of the image's diagonal, from which boundaries are no longer near."""

WORDS = {8: np.uint8, 16: np.uint16, 32: np.uint32, 64: np.uint64}
"""Words in which each class has a bit."""

Words = NDArray[np.unsignedinteger]
Counts = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class BoundaryCounts:
    """Boundary pixels by class, and how many have boundary of another mask's classes near them.

    Attributes:
        predicted: boundary pixels of each cluster, shape (clusters,).
        labelled: boundary pixels of each label class, shape (labels,).
        predicted_hits: boundary pixels of a cluster that have boundary of a label class near them,
            shape (clusters, labels).
        labelled_hits: boundary pixels of a label class that have boundary of a cluster near them,
            the same shape.

    Example:
        >>> one = boundary_counts(np.array([[0, 0, 1]]), np.array([[0, 0, 1]]), 2)
        >>> (one + one).predicted_hits.tolist()
        [[2, 0], [0, 2]]
    """

    predicted: Counts
    labelled: Counts
    predicted_hits: Counts
    labelled_hits: Counts

    @classmethod
    def none(cls, clusters: int, labels: int = 0) -> "BoundaryCounts":
        """Return the counts of no image.

        Args:
            clusters: number of clusters.
            labels: number of label classes, if it is known; it grows with those that occur.
        """
        pairs = np.zeros((clusters, labels), np.int64)
        return cls(pairs.sum(axis=1), pairs.sum(axis=0), pairs, pairs.copy())

    def __add__(self, other: "BoundaryCounts") -> "BoundaryCounts":
        """Return the counts of both sets of images."""
        labels = max(len(self.labelled), len(other.labelled))
        return BoundaryCounts(
            self.predicted + other.predicted,
            _widened(self.labelled, labels) + _widened(other.labelled, labels),
            _widened(self.predicted_hits, labels) + _widened(other.predicted_hits, labels),
            _widened(self.labelled_hits, labels) + _widened(other.labelled_hits, labels),
        )


@dataclass(frozen=True, eq=False)
class BoundaryMap:
    """Where the boundaries of the classes of a mask run.

    Attributes:
        locations: numbers of the boundary pixels, row by row, shape (pixels,).
        classes: class of each, the same shape.
        near: words of one bit a class, set in all pixels that have boundary of the class near
            them, shape (height * width,), each with the classes that its bits stand for.
    """

    locations: NDArray[np.intp]
    classes: Counts
    near: tuple[tuple[Words, Counts], ...]


@dataclass(frozen=True)
class BoundaryScores:
    """How well boundaries agree, after matching.

    Attributes:
        mean_f: mean of ``f`` over the label classes that have one, 0..1; NaN without any.
        f: harmonic mean of precision and recall of each label class, 0..1; 0 for a class whose
            boundary is found nowhere; NaN where a class has no boundary, neither in the labels
            nor predicted.
        precision: share of the predicted boundary that is right, 0..1; NaN without any.
        recall: share of the labels' boundary that is found, 0..1; NaN without any.
    """

    mean_f: float
    f: tuple[float, ...]
    precision: tuple[float, ...]
    recall: tuple[float, ...]


def boundary_scores(counts: BoundaryCounts, match: Sequence[int]) -> BoundaryScores:
    """Score boundaries under a matching.

    Args:
        counts: of the set.
        match: for each cluster the label class it is matched to, or -1; as the matching of
            :func:`segdistill.evaluation.confusion.score`, each class at most once.

    Example:
        >>> truth = np.array([[0, 0, 0, 1, 1, 1]])
        >>> counts = boundary_counts(1 - truth, truth, 2)
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
    precision, recall = _share(precise, predicted), _share(recalled, counts.labelled)
    # Where one of the two is undefined the other is 0, or undefined as well.
    product, total = np.nan_to_num(precision * recall), np.nan_to_num(precision + recall)
    f = _share(2 * product, total)
    f[(total == 0) & ((predicted > 0) | (counts.labelled > 0))] = 0.0
    return BoundaryScores(
        mean_f=float(np.nanmean(f)) if not np.isnan(f).all() else math.nan,
        f=tuple(f.tolist()),
        precision=tuple(precision.tolist()),
        recall=tuple(recall.tolist()),
    )


def boundary_counts(
    predicted: NDArray[np.integer],
    labels: NDArray[np.integer],
    clusters: int,
    *,
    tolerance: float = TOLERANCE,
) -> BoundaryCounts:
    """Count the boundary pixels of an image, and those that are near boundary of the other mask.

    Args:
        predicted: clusters, shape (height, width).
        labels: label classes, the same shape; negative values and 255 count for nothing.
        clusters: number of clusters.
        tolerance: distance from which boundaries are not near, as a share of the diagonal.

    Raises:
        ValueError: the shapes differ.
    """
    if predicted.shape != labels.shape:
        raise ValueError(f"mask {predicted.shape} and labels {labels.shape} differ in shape")
    valid = labelled_pixels_mask(labels)
    return compare_boundaries(
        boundary_map(predicted, valid, tolerance=tolerance),
        boundary_map(labels, valid, tolerance=tolerance),
        clusters,
        int(labels[valid].max(initial=-1)) + 1,
    )


def labelled_pixels_mask(labels: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Tell which pixels have a label: those that are not negative and not 255."""
    valid: NDArray[np.bool_] = (labels >= 0) & (labels != VOID)
    return valid


def boundary_map(
    classes: NDArray[np.integer], valid: NDArray[np.bool_], *, tolerance: float = TOLERANCE
) -> BoundaryMap:
    """Find the boundaries of all classes of a mask, and what is near them.

    Args:
        classes: shape (height, width).
        valid: pixels that count, the same shape.
        tolerance: distance from which a boundary is not near, as a share of the diagonal.
    """
    edge = boundary_pixels(classes, valid)
    locations = np.flatnonzero(edge)
    found = classes.ravel()[locations].astype(np.int64)
    present = np.unique(found)
    radius = tolerance * math.hypot(*classes.shape)
    near = []
    for start in range(0, len(present), max(WORDS)):
        named = present[start : start + max(WORDS)]
        word = next(kind for bits, kind in WORDS.items() if bits >= len(named))
        bit_of = np.zeros(int(present[-1]) + 1, word)
        bit_of[named] = 1 << np.arange(len(named), dtype=np.uint64)
        marked = np.zeros(edge.shape, word)
        marked.ravel()[locations] = bit_of[found]
        near.append((spread(marked, radius).ravel(), named))
    return BoundaryMap(locations, found, tuple(near))


def boundary_pixels(classes: NDArray[np.integer], valid: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Mark the pixels beside which, above, below, left or right, another class begins.

    Args:
        classes: shape (height, width).
        valid: pixels that count, the same shape.

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


def spread(marked: Words, radius: float) -> Words:
    """Set in each pixel all bits that are set in a pixel less than a distance away.

    This is dilation by a disc for all classes at once: a disc is rows of pixels, which become
    longer towards its middle, so that each row continues from the one before.

    Args:
        marked: words of one bit a class, shape (height, width).
        radius: of the disc, in pixels; above 0.

    Example:
        >>> spread(np.array([[1, 0, 0, 0, 2]], np.uint8), 2.5)
        array([[1, 1, 3, 2, 2]], dtype=uint8)
    """
    # The longest whole distance below the radius, as far as there are rows.
    reach = min(math.ceil(radius), len(marked)) - 1
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


def compare_boundaries(
    predicted: BoundaryMap, labelled: BoundaryMap, clusters: int, labels: int
) -> BoundaryCounts:
    """Count the boundary pixels of each of two maps, and those near boundary of the other.

    Args:
        predicted: boundaries of clusters.
        labelled: boundaries of label classes in the same image, of the same pixels that count.
        clusters: number of clusters.
        labels: number of label classes.
    """
    return BoundaryCounts(
        predicted=np.bincount(predicted.classes, minlength=clusters),
        labelled=np.bincount(labelled.classes, minlength=labels),
        predicted_hits=_hits(predicted, clusters, labelled, labels),
        labelled_hits=_hits(labelled, labels, predicted, clusters).T,
    )


def _hits(own: BoundaryMap, count: int, other: BoundaryMap, others: int) -> Counts:
    """Count boundary pixels by their class and the class of boundary near: (count, others)."""
    hits = np.zeros((count, others), np.int64)
    for words, named in other.near:
        here = words[own.locations]
        for bit, each in enumerate(named):
            hit = (here >> here.dtype.type(bit)) & here.dtype.type(1) != 0
            hits[:, each] = np.bincount(own.classes[hit], minlength=count)
    return hits


def _share(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.float64]:
    shares = np.full(len(whole), np.nan)
    np.divide(part, whole, out=shares, where=whole > 0)
    return shares


def _widened(counts: Counts, labels: int) -> Counts:
    return np.pad(counts, [(0, 0)] * (counts.ndim - 1) + [(0, labels - counts.shape[-1])])

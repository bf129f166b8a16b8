"""Accuracy and IoU from a confusion matrix over the whole set."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from segdistill.images.palette import VOID

Counts = NDArray[np.int64]


class ConfusionMatrix:
    """Pixel counts by predicted cluster and label class.

    Unlike scores, counts can be summed over images, files and processes.

    Args:
        clusters: number of clusters.
        labels: number of label classes, if known; it grows as further labels occur.

    Example:
        >>> matrix = ConfusionMatrix(2)
        >>> matrix.update(np.array([[0, 1]], np.uint8), np.array([[1, 0]]))
        >>> matrix.counts.tolist()
        [[0, 1], [1, 0]]
    """

    def __init__(self, clusters: int, labels: int = 0) -> None:
        self.counts: Counts = np.zeros((clusters, labels), np.int64)

    def update(self, predicted: NDArray[np.uint8], labels: NDArray[np.int64]) -> None:
        """Add the clusters and label classes of an image, both of shape (height, width).

        Negative labels and 255 are ignored.

        Raises:
            ValueError: the shapes differ.
        """
        if predicted.shape != labels.shape:
            raise ValueError(f"mask {predicted.shape} and labels {labels.shape} differ in shape")
        valid = labelled_mask(labels)
        kept = labels[valid]
        self.counts = pad_labels(self.counts, int(kept.max(initial=-1)) + 1)
        pairs = predicted[valid].astype(np.int64) * self.counts.shape[1] + kept
        self.counts += np.bincount(pairs, minlength=self.counts.size).reshape(self.counts.shape)

    def add(self, other: "ConfusionMatrix") -> None:
        """Add the counts of another matrix with the same number of clusters."""
        self.counts = pad_labels(self.counts, other.counts.shape[1])
        self.counts[:, : other.counts.shape[1]] += other.counts


def labelled_mask(labels: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Return a mask of the labelled pixels, which are neither negative nor 255."""
    valid: NDArray[np.bool_] = (labels >= 0) & (labels != VOID)
    return valid


def pad_labels(counts: Counts, labels: int) -> Counts:
    """Pad counts with columns of zeros to shape (..., labels)."""
    missing = max(labels - counts.shape[-1], 0)
    return np.pad(counts, [(0, 0)] * (counts.ndim - 1) + [(0, missing)])


@dataclass(frozen=True)
class Scores:
    """Scores after matching.

    Attributes:
        accuracy: share of labelled pixels whose prediction is matched to their label, 0..1.
        mean_iou: mean of ``iou`` over the classes where it is defined, 0..1.
        iou: intersection over union of each label class, 0..1; NaN if the class occurs in neither
            the labels nor the matched predictions.
        match: matched label class of each prediction, or -1.
        pixels: number of labelled pixels.
    """

    accuracy: float
    mean_iou: float
    iou: tuple[float, ...]
    match: tuple[int, ...]
    pixels: int

    @property
    def predictions(self) -> tuple[int | None, ...]:
        """The prediction matched to each label class, or ``None``."""
        of_label = {label: prediction for prediction, label in enumerate(self.match)}
        return tuple(of_label.get(label) for label in range(len(self.iou)))


def score(counts: Counts, *, matched: bool = False) -> Scores:
    """Match clusters to label classes one to one, and compute the scores.

    Hungarian matching maximises the number of agreeing pixels over the whole set. Pixels of
    unmatched clusters count as wrong, and label classes without a cluster have an IoU of 0. Classes
    without labelled pixels are neither matched nor scored, because any match with them would be
    arbitrary.

    Args:
        counts: pixels by cluster and label class, shape (clusters, labels).
        matched: whether predictions are already label classes, as with a linear probe.

    Raises:
        ValueError: no labelled pixels were counted.

    Example:
        >>> scores = score(np.array([[0, 6], [3, 1]]))
        >>> scores.match, scores.accuracy
        ((1, 0), 0.9)
    """
    if matched:
        rows = columns = np.arange(min(counts.shape))
    else:
        occurring = np.flatnonzero(counts.sum(axis=0))
        rows, found = linear_sum_assignment(counts[:, occurring], maximize=True)
        columns = occurring[found]
    return _compute_scores(counts, rows, columns)


def score_best_class(counts: Counts) -> Scores:
    """Assign each cluster to its majority label class, and compute the scores.

    Several clusters may be assigned to the same class, as when a person names fine clusters. This
    is an upper bound for naming; compare methods with :func:`score`.

    Arguments and errors are the same as for :func:`score`.

    Example:
        >>> counts = np.array([[8, 0], [0, 8], [4, 0]])
        >>> score_best_class(counts).accuracy, score(counts).accuracy
        (1.0, 0.8)
    """
    best = counts.argmax(axis=1)
    named = np.zeros((counts.shape[1], counts.shape[1]), np.int64)
    np.add.at(named, best, counts)
    return replace(score(named, matched=True), match=tuple(best.tolist()))


@dataclass(frozen=True)
class ManyToOne:
    """Scores with several clusters per class, chosen on other images than those scored.

    Attributes:
        accuracy: share of labelled pixels whose cluster's class is their label, 0..1.
        mean_iou: mean IoU over the label classes, 0..1.
    """

    accuracy: float
    mean_iou: float


def score_many_to_one(one: Counts, other: Counts) -> ManyToOne | None:
    """Assign each cluster to its majority class in one half of the images, and score the other.

    Done both ways, and averaged. Several clusters may have the same class, so scores grow with the
    number of clusters, but unlike those of :func:`score_best_class` they are no upper bound.
    Clusters without a labelled pixel in the half that chooses count as wrong in the other.

    Args:
        one: pixels by cluster and label class in one half, shape (clusters, labels).
        other: the same in the other half; the numbers of label classes may differ.

    Returns:
        The scores, or ``None`` if one half has no labelled pixels.

    Example:
        >>> one, other = np.array([[8, 0], [0, 8], [4, 0]]), np.array([[6, 2], [0, 8], [4, 0]])
        >>> score_many_to_one(one, other)
        ManyToOne(accuracy=0.95, mean_iou=0.9083333333333333)
    """
    labels = max(one.shape[1], other.shape[1])
    halves = pad_labels(one, labels), pad_labels(other, labels)
    if not all(half.any() for half in halves):
        return None
    found = [_score_assigned(*pair) for pair in (halves, halves[::-1])]
    return ManyToOne(
        accuracy=sum(each.accuracy for each in found) / 2,
        mean_iou=sum(each.mean_iou for each in found) / 2,
    )


def _score_assigned(chosen_on: Counts, scored: Counts) -> Scores:
    """Score counts with each cluster's majority class in other counts of the same shape."""
    labels = scored.shape[1]
    assigned = chosen_on.any(axis=1)
    named = np.zeros((labels + 1, labels), np.int64)  # the last row has no class
    np.add.at(named, np.where(assigned, chosen_on.argmax(axis=1), labels), scored)
    return _compute_scores(named, np.arange(labels), np.arange(labels))


def score_as_released(counts: Counts) -> Scores:
    """Compute scores like STEGO's released code with more clusters than label classes.

    That code drops pixels whose cluster index is not below the number of label classes, instead of
    counting them as wrong. Published results with extra clusters are only comparable with these
    scores.

    Args:
        counts: pixels by cluster and label class, shape (clusters, labels), with one column for
            each class of the data set.

    Raises:
        ValueError: no labelled pixels remain.

    Example:
        >>> counts = np.array([[8, 0], [0, 8], [4, 0]])
        >>> score_as_released(counts).accuracy, score(counts).accuracy
        (1.0, 0.8)
    """
    kept = counts[: counts.shape[1]]
    rows, columns = linear_sum_assignment(kept, maximize=True)
    scores = _compute_scores(kept, rows, columns)
    return replace(scores, match=scores.match + (-1,) * (len(counts) - len(kept)))


def _compute_scores(counts: Counts, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> Scores:
    total = int(counts.sum())
    if total == 0:
        raise ValueError("no labelled pixels to score")
    match = np.full(counts.shape[0], -1)
    match[rows] = columns
    agreeing = np.zeros(counts.shape[1], np.int64)
    predicted = np.zeros(counts.shape[1], np.int64)
    agreeing[columns] = counts[rows, columns]
    predicted[columns] = counts[rows].sum(axis=1)
    union = counts.sum(axis=0) + predicted - agreeing
    iou = np.divide(agreeing, union, out=np.full(len(union), np.nan), where=union > 0)
    return Scores(
        accuracy=float(agreeing.sum() / total),
        mean_iou=float(np.nanmean(iou)),
        iou=tuple(iou.tolist()),
        match=tuple(match.tolist()),
        pixels=total,
    )

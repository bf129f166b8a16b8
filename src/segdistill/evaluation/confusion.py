"""Scores from one confusion matrix over a whole set."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from segdistill.images.labels import VOID


class ConfusionMatrix:
    """Counts of pixels by predicted cluster and label; grows with the labels that occur.

    Counts add up over images, files and processes, which scores do not.

    Args:
        clusters: number of clusters.
        labels: number of label classes, if it is known.

    Example:
        >>> matrix = ConfusionMatrix(2)
        >>> matrix.update(np.array([[0, 1]], np.uint8), np.array([[1, 0]]))
        >>> matrix.counts.tolist()
        [[0, 1], [1, 0]]
    """

    def __init__(self, clusters: int, labels: int = 0) -> None:
        self.counts: NDArray[np.int64] = np.zeros((clusters, labels), np.int64)

    def update(self, predicted: NDArray[np.uint8], labels: NDArray[np.int64]) -> None:
        """Add an image.

        Args:
            predicted: clusters, shape (height, width).
            labels: label classes, the same shape; negative values and 255 count for nothing.

        Raises:
            ValueError: the shapes differ.
        """
        if predicted.shape != labels.shape:
            raise ValueError(f"mask {predicted.shape} and labels {labels.shape} differ in shape")
        valid = (labels >= 0) & (labels != VOID)
        kept = labels[valid]
        if kept.size == 0:
            return
        clusters = len(self.counts)
        self._widen(int(kept.max()) + 1)
        width = self.counts.shape[1]
        pairs = predicted[valid].astype(np.int64) * width + kept
        self.counts += np.bincount(pairs, minlength=clusters * width).reshape(clusters, width)

    def add(self, other: "ConfusionMatrix") -> None:
        """Add what was counted over other images.

        Args:
            other: with the same number of clusters.

        Example:
            >>> one, other = ConfusionMatrix(1), ConfusionMatrix(1)
            >>> one.update(np.array([[0]], np.uint8), np.array([[2]]))
            >>> other.add(one)
            >>> other.counts.tolist()
            [[0, 0, 1]]
        """
        self._widen(other.counts.shape[1])
        self.counts[:, : other.counts.shape[1]] += other.counts

    def _widen(self, labels: int) -> None:
        clusters, known = self.counts.shape
        if labels > known:
            grown = np.zeros((clusters, labels), np.int64)
            grown[:, :known] = self.counts
            self.counts = grown


@dataclass(frozen=True)
class Scores:
    """How well predictions agree with labels, after matching.

    Attributes:
        accuracy: share of labelled pixels whose prediction is matched to their label, 0..1.
        mean_iou: mean of ``iou`` over the label classes that have one, 0..1.
        iou: intersection over union of each label class, 0..1; NaN where a class occurs in
            neither labels nor matched predictions.
        match: for each prediction the label class it is matched to, or -1.
        pixels: number of labelled pixels.
    """

    accuracy: float
    mean_iou: float
    iou: tuple[float, ...]
    match: tuple[int, ...]
    pixels: int

    @property
    def predictions(self) -> tuple[int | None, ...]:
        """For each label class the prediction matched to it, or ``None``."""
        of_label = {label: prediction for prediction, label in enumerate(self.match)}
        return tuple(of_label.get(label) for label in range(len(self.iou)))


def score(counts: NDArray[np.int64], *, matched: bool = False) -> Scores:
    """Match clusters to label classes one to one, and score.

    The Hungarian method finds the matching with the most agreeing pixels over the whole set, as
    the field does. Pixels of unmatched clusters are wrong; label classes without a cluster score
    an IoU of 0. Classes without a labelled pixel are matched to nothing and have no IoU: all
    matches with them are equally good, and scores should not depend on chance.

    Args:
        counts: pixels by cluster and label class, shape (clusters, labels).
        matched: predictions are label classes already, as those of a linear probe are.

    Raises:
        ValueError: no labelled pixel was counted.

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
    return _scored(counts, rows, columns)


def score_best_class(counts: NDArray[np.int64]) -> Scores:
    """Score with every cluster given the label class of most of its pixels.

    Several clusters may get the same class, as when a person names fine clusters. This is what
    naming can reach, not what clustering alone does: use :func:`score` to compare methods.

    Args:
        counts: pixels by cluster and label class, shape (clusters, labels).

    Raises:
        ValueError: no labelled pixel was counted.

    Example:
        >>> counts = np.array([[8, 0], [0, 8], [4, 0]])
        >>> score_best_class(counts).accuracy, score(counts).accuracy
        (1.0, 0.8)
    """
    best = counts.argmax(axis=1)
    named = np.zeros((counts.shape[1], counts.shape[1]), np.int64)
    np.add.at(named, best, counts)
    given = np.arange(counts.shape[1])
    scores = _scored(named, given, given)
    return replace(scores, match=tuple(int(value) for value in best))


def score_as_released(counts: NDArray[np.int64]) -> Scores:
    """Score as STEGO's released code does where there are more clusters than label classes.

    That code leaves every pixel out whose cluster's index is beyond the number of label classes,
    so that neither accuracy nor IoU counts them as wrong. Published numbers of runs with extra
    clusters are comparable with these scores alone; :func:`score` is what tells the truth.

    Args:
        counts: pixels by cluster and label class, shape (clusters, labels), with a column for
            each class of the data set.

    Raises:
        ValueError: no labelled pixel is left.

    Example:
        >>> counts = np.array([[8, 0], [0, 8], [4, 0]])
        >>> score_as_released(counts).accuracy, score(counts).accuracy
        (1.0, 0.8)
    """
    kept = counts[: counts.shape[1]]
    rows, columns = linear_sum_assignment(kept, maximize=True)
    scores = _scored(kept, rows, columns)
    return replace(scores, match=scores.match + (-1,) * (len(counts) - len(kept)))


def _scored(counts: NDArray[np.int64], rows: NDArray[np.intp], columns: NDArray[np.intp]) -> Scores:
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
        iou=tuple(float(value) for value in iou),
        match=tuple(int(value) for value in match),
        pixels=total,
    )

"""Precision and recall of pair scores: does a score predict that two pixels share a label?

STEGO's paper (Hamilton et al., ICLR 2022, section 3.1 and figure 3) uses this to show that feature
correspondences predict classes. A pair is two pixels of the same image or of two images, and is
positive if both have the same label. Pairs whose score reaches a threshold are predicted positive.

Scores are counted in histograms, so memory does not grow with the number of pairs, and counts can
be summed over images, files and processes.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 4096


@dataclass(frozen=True, eq=False)
class PrecisionRecall:
    """A precision-recall curve over pairs of pixels.

    Attributes:
        name: name of the score and of the pairs.
        recall: share of positive pairs that reach each threshold, 0..1, increasing to 1, shape
            (thresholds,).
        precision: share of positives among the pairs that reach each threshold, 0..1, shape
            (thresholds,).
        average_precision: area under the curve, 0..1: the sum over decreasing thresholds of
            precision times the increase in recall. Interpolation would be too optimistic.
        pairs: number of pairs.
        positives: number of pairs with the same label.
    """

    name: str
    recall: NDArray[np.float64]
    precision: NDArray[np.float64]
    average_precision: float
    pairs: int
    positives: int

    @property
    def positive_share(self) -> float:
        """Share of positive pairs, 0..1: the average precision of random scores."""
        return self.positives / self.pairs


class PairHistogram:
    """Histograms of the scores of pairs with the same label and of pairs with different labels.

    Scores in the same bin count as equal. The error of the average precision is at most the mean,
    over positive pairs, of the share of a pair's bin among all pairs in that bin or above: 0.002
    for scores spread evenly over 4096 bins.

    Args:
        low: lowest possible score.
        high: highest possible score, above ``low``.
        bins: number of bins.

    Attributes:
        counts: pairs by label (different, same) and score, shape (2, bins).

    Raises:
        ValueError: the range is empty.

    Example:
        >>> histogram = PairHistogram(-1.0, 1.0)
        >>> histogram.add(np.array([0.9, 0.2, -0.4]), np.array([True, False, True]))
        >>> curve = histogram.curve("features")
        >>> curve.precision.round(3).tolist(), curve.recall.tolist()
        ([1.0, 0.5, 0.667], [0.5, 0.5, 1.0])
        >>> round(curve.average_precision, 3)
        0.833
    """

    def __init__(self, low: float = -1.0, high: float = 1.0, *, bins: int = BINS) -> None:
        if not (low < high and bins > 0):
            raise ValueError(f"need low < high and at least 1 bin, got {low}..{high} and {bins}")
        self.low = low
        self.high = high
        self.counts: NDArray[np.int64] = np.zeros((2, bins), np.int64)

    def add(self, scores: NDArray[np.floating], same: NDArray[np.bool_]) -> None:
        """Add pairs: scores of any shape, and whether the labels of each pair agree.

        Scores outside the range are clipped to it.

        Raises:
            ValueError: the shapes differ, or a score is NaN.
        """
        if scores.shape != same.shape:
            raise ValueError(f"scores {scores.shape} and labels {same.shape} differ in shape")
        if np.isnan(scores).any():
            raise ValueError("a score is NaN")
        bins = self.counts.shape[1]
        scaled = (scores.astype(np.float64) - self.low) * (bins / (self.high - self.low))
        cells = np.floor(scaled).clip(0, bins - 1).astype(np.int64)
        rows = same.astype(np.int64) * bins + cells
        self.counts += np.bincount(rows.ravel(), minlength=2 * bins).reshape(2, bins)

    def curve(self, name: str) -> PrecisionRecall:
        """Return the precision-recall curve of all pairs so far.

        Raises:
            ValueError: there are no pairs with the same label, so recall is undefined.
        """
        positives = int(self.counts[1].sum())
        if positives == 0:
            raise ValueError(f"{name}: no two pixels share a label")
        falling = self.counts[:, self.counts.any(axis=0)][:, ::-1]  # (2, bins) -> (2, thresholds)
        found = falling[1].cumsum()
        reached = falling.sum(axis=0).cumsum()
        recall = found / positives
        precision = found / reached
        return PrecisionRecall(
            name=name,
            recall=recall,
            precision=precision,
            average_precision=float((falling[1] * precision).sum() / positives),
            pairs=int(reached[-1]),
            positives=positives,
        )

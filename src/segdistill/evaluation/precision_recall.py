"""How well a score of two pixels predicts that they share a label, as precision and recall.

STEGO's paper (Hamilton et al., ICLR 2022, section 3.1 and figure 3) shows in this way that
correspondences of features know of classes: a pair is two pixels, in one image or in two, and it
is positive if both have the same label; a threshold on the score then predicts which pairs are.

Scores are kept as histograms, so memory does not grow with the pairs, and counts add up over
images, files and processes.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 4096


@dataclass(frozen=True, eq=False)
class PrecisionRecall:
    """A precision-recall curve over pairs of pixels.

    Attributes:
        name: of the score, and of the pairs.
        recall: share of the positive pairs whose score reaches the threshold, 0..1, rising to 1,
            shape (thresholds,); thresholds fall, and only those that let pairs in are kept.
        precision: share of the pairs that reach the threshold which are positive, 0..1, the same
            shape.
        average_precision: area under the curve, as the sum over thresholds of precision times the
            recall gained, 0..1.
        pairs: number of pairs.
        positives: number of pairs that share a label.
    """

    name: str
    recall: NDArray[np.float64]
    precision: NDArray[np.float64]
    average_precision: float
    pairs: int
    positives: int

    @property
    def positive_share(self) -> float:
        """Share of the pairs that are positive, 0..1; a score by chance averages this precision."""
        return self.positives / self.pairs


class PairHistogram:
    """Counts pairs by score, apart for those that share a label and those that do not.

    Scores of one bin count as equal. That moves the average precision by at most the mean, over
    positive pairs, of the share that a pair's bin has in all pairs of its score or a higher one:
    0.002 for scores spread evenly over 4096 bins.

    Args:
        low: lowest score there can be.
        high: highest score there can be, above ``low``.
        bins: number of steps between them.

    Attributes:
        counts: pairs by label (different, same) and score, shape (2, bins); those of histograms
            over one range add up.

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
            raise ValueError(f"a histogram takes a range and bins, not {low}..{high} and {bins}")
        self.low = low
        self.high = high
        self.counts: NDArray[np.int64] = np.zeros((2, bins), np.int64)

    def add(self, scores: NDArray[np.floating], same: NDArray[np.bool_]) -> None:
        """Add pairs.

        Args:
            scores: of any shape; those beyond the range, as rounding leaves them, count in the
                outermost bins.
            same: whether the labels of a pair agree, the same shape.

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
        """Return the curve of all pairs added so far; see :func:`precision_recall`."""
        return precision_recall(self.counts, name)


def precision_recall(counts: NDArray[np.int64], name: str) -> PrecisionRecall:
    """Return the curve of counted pairs.

    ``average precision = sum_n (R[n] - R[n - 1]) P[n]`` over falling thresholds: no interpolation,
    which would flatter.

    Args:
        counts: pairs by label (different, same) and rising score, shape (2, bins).
        name: of the curve.

    Raises:
        ValueError: no pair shares a label, so there is nothing to recall.

    Example:
        >>> precision_recall(np.array([[1, 0], [0, 1]]), "perfect").average_precision
        1.0
    """
    positives = int(counts[1].sum())
    if positives == 0:
        raise ValueError(f"{name}: no two pixels share a label")
    falling = counts[:, counts.any(axis=0)][:, ::-1]  # (2, bins) -> (2, thresholds)
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

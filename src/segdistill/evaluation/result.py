"""What an evaluation found."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segdistill.evaluation.boundary import BoundaryCounts, BoundaryScores, boundary_scores
from segdistill.evaluation.confusion import Scores, score_best_class
from segdistill.evaluation.confusion_table import ConfusionTable, confusion_table, label_names
from segdistill.evaluation.precision_recall import PrecisionRecall
from segdistill.images.folder import SkippedImage

TITLES = {
    "cluster": "Clusters",
    "cluster_crf": "Clusters + CRF",
    "linear": "Linear probe",
    "linear_crf": "Linear probe + CRF",
}
"""Kinds of prediction, and what they are called in text."""


@dataclass(frozen=True)
class Evaluation:
    """Scores of a model on a labelled set.

    Each kind of prediction goes by its name: ``cluster`` (clusters, matched to label classes),
    ``linear`` (the run's linear probe, if it has one), and, where the CRF was used,
    ``cluster_crf`` and ``linear_crf``.

    Attributes:
        scores: by kind of prediction.
        counts: confusion matrices by kind of prediction, shape (predictions, label classes).
        clusters: names of the clusters, as they are in masks.
        names: of the label classes, as far as known.
        images: number of images scored.
        skipped: images that could not be used, or their labels, and why.
        protocol: how masks were made, as plain values.
        run: name of the run folder; empty where a model was given.
        curves: how well scores of two pixels predict that they share a label, where measured.
        boundaries: boundary pixels by kind of prediction, where counted.
    """

    scores: Mapping[str, Scores]
    counts: Mapping[str, NDArray[np.int64]]
    clusters: tuple[str, ...]
    names: tuple[str, ...] = ()
    images: int = 0
    skipped: tuple[SkippedImage, ...] = ()
    protocol: Mapping[str, Any] = field(default_factory=dict)
    run: str = ""
    curves: tuple[PrecisionRecall, ...] = ()
    boundaries: Mapping[str, BoundaryCounts] = field(default_factory=dict)

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of all label classes, a number where one has no name."""
        counts = next(iter(self.counts.values()))
        return label_names(self.names, counts.shape[1])

    def predictions(self, kind: str) -> tuple[str, ...]:
        """Names of the predictions of a kind: of clusters, or of label classes."""
        if is_label_class(kind):
            return label_names(self.names, self.counts[kind].shape[0])
        return self.clusters

    def best_class_scores(self, kind: str) -> Scores:
        """Return the scores with every cluster given its best class.

        See :func:`~segdistill.evaluation.confusion.score_best_class`.
        """
        return score_best_class(self.counts[kind])

    def boundary_scores(self, kind: str) -> BoundaryScores | None:
        """Return how well the boundaries of a kind of prediction agree, where counted.

        Predictions are matched to label classes as for the other scores.
        """
        counts = self.boundaries.get(kind)
        return None if counts is None else boundary_scores(counts, self.scores[kind].match)

    def table(self, kind: str) -> ConfusionTable:
        """Return the confusion matrix of a kind of prediction, arranged for display."""
        return confusion_table(
            self.counts[kind], self.scores[kind].match, self.labels, self.predictions(kind)
        )


def is_label_class(kind: str) -> bool:
    """Tell whether predictions of a kind are label classes already, so that nothing is matched.

    Example:
        >>> is_label_class("linear_crf"), is_label_class("cluster_crf")
        (True, False)
    """
    return kind.startswith("linear")

"""Result of an evaluation."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segdistill.evaluation.boundary import BoundaryCounts, BoundaryScores, boundary_scores
from segdistill.evaluation.confusion import (
    ManyToOne,
    Scores,
    pad_labels,
    score_best_class,
    score_many_to_one,
)
from segdistill.evaluation.confusion_table import ConfusionTable, confusion_table, label_names
from segdistill.evaluation.precision_recall import PrecisionRecall
from segdistill.images.folder import SkippedImage

TITLES = {
    "cluster": "Clusters",
    "cluster_crf": "Clusters + CRF",
    "linear": "Linear probe",
    "linear_crf": "Linear probe + CRF",
}
"""Display name of each kind of prediction."""


@dataclass(frozen=True)
class Evaluation:
    """Scores of a model on a labelled set.

    The kinds of prediction are ``cluster`` (clusters matched to label classes), ``linear`` (the
    linear probe, if the run has one), and with the CRF ``cluster_crf`` and ``linear_crf``.

    Attributes:
        scores: scores of each kind of prediction.
        counts: confusion matrix of each kind of prediction, shape (predictions, label classes).
        clusters: names of the clusters, in the order of the mask values.
        names: known names of the label classes.
        images: number of images scored.
        skipped: images skipped because they or their labels could not be used, with the reason.
        protocol: settings of the evaluation, as plain values.
        run: name of the run folder; empty if a model was passed.
        curves: precision-recall curves of pair scores, if measured.
        boundaries: boundary counts of each kind of prediction, if counted.
        halves: confusion matrix of each kind of prediction over every second image, if counted.
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
    halves: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of all label classes, with numbers for unnamed ones."""
        counts = next(iter(self.counts.values()))
        return label_names(self.names, counts.shape[1])

    @property
    def listed(self) -> tuple[int, ...]:
        """Indices of the label classes to list: those with a name, and those that occur.

        Label files may contain sparse numbers such as 0, 40 and 80, with no classes between.
        """
        occurring = sum(counts.sum(axis=0) for counts in self.counts.values()) > 0
        occur = np.asarray(occurring).tolist()
        return tuple(i for i in range(len(occur)) if i < len(self.names) or occur[i])

    @property
    def listed_labels(self) -> tuple[tuple[int, str], ...]:
        """Index and name of the label classes to list."""
        names = self.labels
        return tuple((index, names[index]) for index in self.listed)

    def predictions(self, kind: str) -> tuple[str, ...]:
        """Return the names of the predictions of a kind: clusters or label classes."""
        if is_label_class(kind):
            return label_names(self.names, self.counts[kind].shape[0])
        return self.clusters

    def best_class_scores(self, kind: str) -> Scores:
        """Return the scores with each cluster assigned to its majority class: an upper bound."""
        return score_best_class(self.counts[kind])

    def many_to_one(self, kind: str) -> ManyToOne | None:
        """Return the scores with several clusters per class, if measured.

        Classes are chosen on one half of the images and scored on the other half. The scores
        are ``None`` unless there are more clusters than label classes that occur.
        """
        counts, half = self.counts[kind], self.halves.get(kind)
        if half is None or is_label_class(kind):
            return None
        if counts.shape[0] <= np.count_nonzero(counts.sum(axis=0)):
            return None
        half = pad_labels(half, counts.shape[1])
        return score_many_to_one(half, counts - half)

    def boundary_scores(self, kind: str) -> BoundaryScores | None:
        """Return the boundary scores under the same matching as the other scores, if counted."""
        counts = self.boundaries.get(kind)
        return None if counts is None else boundary_scores(counts, self.scores[kind].match)

    def table(self, kind: str) -> ConfusionTable:
        """Return the confusion matrix of a kind of prediction for display."""
        table = confusion_table(
            self.counts[kind], self.scores[kind].match, self.labels, self.predictions(kind)
        )
        if len(self.listed) == len(self.labels):
            return table
        columns = list(range(len(table.columns)))
        if is_label_class(kind):
            # The columns are label classes, too.
            columns = [c for c in columns if c in self.listed or table.counts[:, c].any()]
        return table.part(self.listed, columns)


def is_label_class(kind: str) -> bool:
    """Return whether predictions of a kind are label classes, so that no matching is needed.

    Example:
        >>> is_label_class("linear_crf"), is_label_class("cluster_crf")
        (True, False)
    """
    return kind.startswith("linear")

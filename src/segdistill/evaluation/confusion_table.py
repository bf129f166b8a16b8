"""Confusion matrix for display, with label classes as rows and predictions as columns."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ConfusionTable:
    """A confusion matrix with one row per label class and one column per prediction.

    Columns are in order of their matched label classes, with unmatched columns last.

    Attributes:
        counts: pixels, shape (label classes, predictions).
        rows: names of the label classes.
        columns: names of the predictions.
        matched: column matched to each row, or ``None``.
    """

    counts: NDArray[np.int64]
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    matched: tuple[int | None, ...]

    @property
    def shares(self) -> NDArray[np.float64]:
        """Counts as shares of their row, 0..1; NaN in rows without pixels."""
        total = self.counts.sum(axis=1, keepdims=True)
        shares = np.full(self.counts.shape, np.nan)
        np.divide(self.counts, total, out=shares, where=total > 0)
        return shares

    def part(self, rows: Sequence[int], columns: Sequence[int]) -> "ConfusionTable":
        """Return some rows and columns, in the given order."""
        place = {column: number for number, column in enumerate(columns)}
        matched = [self.matched[row] for row in rows]
        return ConfusionTable(
            counts=self.counts[np.ix_(list(rows), list(columns))],
            rows=tuple(self.rows[row] for row in rows),
            columns=tuple(self.columns[column] for column in columns),
            matched=tuple(None if each is None else place.get(each) for each in matched),
        )

    @property
    def headings(self) -> tuple[str, ...]:
        """Names of the columns with their matched label classes.

        Example:
            >>> counts = np.array([[1, 2], [3, 0], [0, 0]])
            >>> names = ("class 0", "class 1", "class 2")
            >>> confusion_table(counts, (1, 0, -1), ("sky", "sea"), names).headings
            ('class 1 → sky', 'class 0 → sea', 'class 2, unmatched')
        """
        headings = [f"{name}, unmatched" for name in self.columns]
        for label, column in zip(self.rows, self.matched, strict=True):
            if column is not None:
                name = self.columns[column]
                # The predictions of a linear probe are already label classes.
                headings[column] = label if label == name else f"{name} → {label}"
        return tuple(headings)


def confusion_table(
    counts: NDArray[np.int64],
    match: Sequence[int],
    labels: Sequence[str],
    predictions: Sequence[str],
) -> ConfusionTable:
    """Arrange a confusion matrix for display.

    Args:
        counts: pixels by prediction and label class, shape (predictions, labels).
        match: matched label class of each prediction, or -1.
        labels: names of the label classes.
        predictions: names of the predictions.

    Raises:
        ValueError: the numbers of names do not match the counts.

    Example:
        >>> table = confusion_table(np.array([[0, 6], [3, 1]]), (1, 0), ("a", "b"), ("0", "1"))
        >>> table.columns, table.counts.tolist(), table.matched
        (('1', '0'), [[3, 0], [1, 6]], (0, 1))
    """
    if counts.shape != (len(predictions), len(labels)) or len(match) != len(predictions):
        raise ValueError(
            f"{len(predictions)} predictions and {len(labels)} labels for counts {counts.shape}"
        )
    order = sorted(range(len(match)), key=lambda index: (match[index] < 0, match[index], index))
    column_of = {match[index]: column for column, index in enumerate(order)}
    return ConfusionTable(
        counts=counts[order].T,
        rows=tuple(labels),
        columns=tuple(predictions[index] for index in order),
        matched=tuple(column_of.get(label) for label in range(len(labels))),
    )


def label_names(names: Sequence[str], count: int) -> tuple[str, ...]:
    """Return the names of ``count`` label classes, with numbers for those without a name.

    Example:
        >>> label_names(("sky",), 2)
        ('sky', 'label 1')
    """
    return tuple(names[index] if index < len(names) else f"label {index}" for index in range(count))

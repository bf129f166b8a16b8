"""The losses of every training step, as recorded in ``history.csv``."""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path

from segdistill.errors import UserError
from segdistill.files import atomic_path, check_regular


@dataclass(frozen=True)
class StepRecord:
    """The losses of one step; optional terms that are not used are 0.

    Attributes:
        step: the training step, counted from 1.
        total: the weighted sum of the objective's terms.
        self_pairs: the correspondence loss of pairs within an image.
        neighbour_pairs: the correspondence loss of pairs with a neighbour.
        random_pairs: the correspondence loss of pairs with random images.
        clusters: the cluster probe's loss.
        reconstruction: the reconstruction term (optional).
        contrastive_crf: the contrastive CRF term (optional).
        alignment: the augmentation alignment term (optional).
        depth: DepthG's depth term (optional).
        hidden_positives: the loss of DepthG's second head (optional).
        linear: the linear probe's cross-entropy loss.
        linear_accuracy: the linear probe's accuracy at labelled locations, from 0 to 1.
        own: the terms of another objective than STEGO's, by name.
    """

    step: int
    total: float
    self_pairs: float
    neighbour_pairs: float
    random_pairs: float
    clusters: float
    reconstruction: float = 0.0
    contrastive_crf: float = 0.0
    alignment: float = 0.0
    depth: float = 0.0
    hidden_positives: float = 0.0
    linear: float = 0.0
    linear_accuracy: float = 0.0
    own: Mapping[str, float] = field(default_factory=dict, kw_only=True)

    @property
    def losses(self) -> dict[str, float]:
        """All losses by name, those of :attr:`own` last.

        Example:
            >>> list(StepRecord(1, 0.5, 0, 0, 0, 0, own={"data": 0.5}).losses)[-2:]
            ['linear_accuracy', 'data']
        """
        return {name: getattr(self, name) for name in LOSSES} | dict(self.own)


LOSSES = tuple(each.name for each in fields(StepRecord) if each.name not in {"step", "own"})
"""The losses that every record has."""

OWN_PREFIX = "objective."
"""Begins the columns of an objective's own terms."""


def write_history(path: Path, history: Iterable[StepRecord]) -> None:
    """Write the losses of every step, one row per step.

    Raises:
        UserError: the file cannot be written.
    """
    with (
        atomic_path(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        records = list(history)
        own = list(records[0].own) if records else []
        writer = csv.writer(file)
        writer.writerow(["step", *LOSSES, *(OWN_PREFIX + name for name in own)])
        writer.writerows([record.step, *record.losses.values()] for record in records)


def read_history(path: Path) -> list[StepRecord]:
    """Read the losses of every step; empty if there is no such file.

    Raises:
        UserError: the file is damaged.
    """
    if not path.exists():
        return []
    fix = "restore it from a copy, or fit again with --overwrite"
    try:
        check_regular(path)
        with path.open(newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file)
            required = [each for each in fields(StepRecord) if each.default is MISSING]
            missing = [each.name for each in required if each.default_factory is MISSING]
            missing = [name for name in missing if name not in (rows.fieldnames or ())]
            # Not finite where a training diverged.
            history = [_record(row) for row in rows]
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); {fix}") from error
    except (ValueError, LookupError, TypeError, csv.Error) as error:
        raise UserError(f"{path}: cannot be read ({error}); {fix}") from error
    if missing:
        raise UserError(f"{path}: damaged (the column {missing[0]} is missing); {fix}")
    if [each.step for each in history] != list(range(1, len(history) + 1)):
        raise UserError(f"{path}: damaged (its steps are not 1, 2, 3 and so on); {fix}")
    return history


def _record(row: Mapping[str, str]) -> StepRecord:
    """Return the record of a row; columns of later versions are left out."""
    own = [column for column in row if (column or "").startswith(OWN_PREFIX)]
    return StepRecord(
        int(row["step"]),
        **{name: float(row[name]) for name in LOSSES if name in row},
        own={column.removeprefix(OWN_PREFIX): float(row[column]) for column in own},
    )

"""The losses of every training step, as recorded in ``history.csv``."""

import csv
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from segdistill.errors import UserError
from segdistill.files import atomic_path


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


def write_history(path: Path, history: Iterable[StepRecord]) -> None:
    """Write the losses of every step, one row per step.

    Raises:
        UserError: the file cannot be written.
    """
    with (
        atomic_path(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file)
        writer.writerow([field.name for field in fields(StepRecord)])
        writer.writerows(asdict(record).values() for record in history)


def read_history(path: Path) -> list[StepRecord]:
    """Read the losses of every step; empty if there is no such file.

    Raises:
        UserError: the file is damaged.
    """
    if not path.exists():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [
                StepRecord(step=int(row.pop("step")), **{name: float(row[name]) for name in row})
                for row in csv.DictReader(file)
            ]
    except (OSError, ValueError, LookupError, TypeError, csv.Error) as error:
        raise UserError(f"{path}: cannot be read ({error}); use --overwrite") from error

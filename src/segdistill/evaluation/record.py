"""The content of ``evaluation.json``: shares from 0 to 1, ``null`` where undefined."""

import math
from pathlib import Path
from typing import Any

from msgspec import UNSET, Struct, UnsetType

from segdistill.errors import UserError
from segdistill.evaluation.confusion import score_as_released
from segdistill.evaluation.result import Evaluation, is_label_class
from segdistill.files import write_text_atomically
from segdistill.json_files import Count, Share, Text, as_checked_json, read_json
from segdistill.layout import SCORES_FILE
from segdistill.runs.facts import SkippedFile, skipped_files
from segdistill.version import __version__

# Fields with defaults were missing from earlier versions; an unset field is not written at all.


class LabelClassScores(Struct, frozen=True, kw_only=True):
    """Scores of a label class; ``matched`` is its prediction, if any."""

    index: Count
    name: Text
    pixels: Count = 0
    iou: Share | None
    boundary_f: Share | UnsetType | None = UNSET
    matched: Count | None = None


class ReleasedScores(Struct, frozen=True):
    """Scores by the metric of STEGO's released code."""

    accuracy: Share
    mean_iou: Share


class ManyToOneScores(Struct, frozen=True):
    """Scores with several clusters per class, each half of the images chosen on the other."""

    accuracy: Share
    mean_iou: Share


class KindScores(Struct, frozen=True, kw_only=True):
    """Scores of a kind of prediction; ``boundary_f`` is unset where boundaries were not scored."""

    accuracy: Share
    mean_iou: Share
    boundary_f: Share | UnsetType | None = UNSET
    pixels: Count = 0
    classes: tuple[LabelClassScores, ...] = ()
    unmatched: tuple[Count, ...] = ()
    many_to_one: ManyToOneScores | UnsetType = UNSET
    as_released: ReleasedScores | UnsetType = UNSET


class CurveRecord(Struct, frozen=True):
    """A precision-recall curve in numbers; ``chance`` is the precision of random scores."""

    name: Text
    average_precision: Share
    chance: Share
    pairs: Count


class EvaluationRecord(Struct, frozen=True, kw_only=True):
    """The content of ``evaluation.json``; see :class:`segdistill.Evaluation`."""

    segdistill: Text = ""
    run: str = ""
    images: Count
    skipped: tuple[SkippedFile, ...] = ()
    protocol: dict[str, Any] = {}
    scores: dict[str, KindScores]
    correspondences: tuple[CurveRecord, ...] = ()


def record_of(evaluation: Evaluation) -> EvaluationRecord:
    """Return an evaluation as it is written to a file."""
    return EvaluationRecord(
        segdistill=__version__,
        run=evaluation.run,
        images=evaluation.images,
        skipped=skipped_files(evaluation.skipped),
        protocol=dict(evaluation.protocol),
        scores={kind: _kind_scores(evaluation, kind) for kind in evaluation.scores},
        correspondences=tuple(
            CurveRecord(each.name, each.average_precision, each.positive_share, each.pairs)
            for each in evaluation.curves
        ),
    )


def write_record(folder: Path, record: EvaluationRecord) -> None:
    """Write ``evaluation.json``.

    Raises:
        UserError: the file cannot be written.
    """
    write_text_atomically(folder / SCORES_FILE, as_checked_json(record))


def read_record(folder: Path) -> EvaluationRecord:
    """Read ``evaluation.json``.

    Raises:
        UserError: the file is missing or damaged.
    """
    path = folder / SCORES_FILE
    if not path.exists():
        raise UserError(f"{folder}: no {SCORES_FILE}; give the output of `evaluate --out`")
    return read_json(path, EvaluationRecord, what="an evaluation", fix="evaluate the run again")


def _kind_scores(evaluation: Evaluation, kind: str) -> KindScores:
    scores, counts = evaluation.scores[kind], evaluation.counts[kind]
    boundary = evaluation.boundary_scores(kind)
    pixels = counts.sum(axis=0).tolist()
    released: ReleasedScores | UnsetType = UNSET
    clusters, labels = counts.shape
    # With more clusters than label classes, published results use STEGO's released metric.
    if clusters > labels and not is_label_class(kind) and counts[:labels].any():
        stego = score_as_released(counts)
        released = ReleasedScores(stego.accuracy, stego.mean_iou)
    many = evaluation.many_to_one(kind)
    return KindScores(
        accuracy=scores.accuracy,
        mean_iou=scores.mean_iou,
        boundary_f=UNSET if boundary is None else _or_none(boundary.mean_f),
        pixels=scores.pixels,
        classes=tuple(
            LabelClassScores(
                index=index,
                name=name,
                pixels=pixels[index],
                iou=_or_none(scores.iou[index]),
                boundary_f=UNSET if boundary is None else _or_none(boundary.f[index]),
                matched=scores.predictions[index],
            )
            for index, name in evaluation.listed_labels
        ),
        unmatched=tuple(index for index, label in enumerate(scores.match) if label < 0),
        many_to_one=UNSET if many is None else ManyToOneScores(many.accuracy, many.mean_iou),
        as_released=released,
    )


def _or_none(share: float) -> float | None:
    return None if math.isnan(share) else share

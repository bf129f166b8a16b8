"""Precision-recall curves of correspondences over a labelled set."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.helpers import striped_labels, write_striped_folder
from tests.model.test_segmenter import tiny_segmenter

from segdistill.api.curves import correspondence_curves
from segdistill.api.labelled import LabelledSet
from segdistill.errors import UserError
from segdistill.evaluation.precision_recall import PrecisionRecall
from segdistill.images.folder import find_images
from segdistill.images.palette import VOID
from segdistill.labels.label_files import read_labels

NAMES = (
    "features within images",
    "codes within images",
    "crf within images",
    "features between images",
    "codes between images",
)


def striped_set(root: Path, count: int, *, void: int = 0) -> LabelledSet:
    """Pictures with label files, of which the first few hold no labelled pixel."""
    pairs = []
    for number, file in enumerate(find_images(write_striped_folder(root / "photos", count))):
        labels = striped_labels(int(file.path.stem[-1]))
        path = root / file.path.name
        Image.fromarray(np.full_like(labels, VOID) if number < void else labels).save(path)
        pairs.append((file, path))
    return LabelledSet(pairs, read_labels)


def average_precisions(curves: tuple[PrecisionRecall, ...]) -> dict[str, float]:
    return {curve.name: curve.average_precision for curve in curves}


def test_features_tell_stripes_apart_within_and_between_images(tmp_path: Path) -> None:
    curves = correspondence_curves(tiny_segmenter(), striped_set(tmp_path, 5), locations=40)
    assert tuple(curve.name for curve in curves) == NAMES
    for curve in curves:
        within = curve.name.endswith("within images")
        assert curve.pairs == (5 * 40 * 39 // 2 if within else 4 * 40 * 40)
        assert 0.25 < curve.positive_share < 0.5
        if curve.name.startswith("features"):
            assert curve.average_precision > curve.positive_share + 0.3


def test_a_seed_gives_the_same_curves(tmp_path: Path) -> None:
    segmenter, labelled = tiny_segmenter(), striped_set(tmp_path, 4)
    first, again, other = (
        average_precisions(correspondence_curves(segmenter, labelled, locations=20, seed=seed))
        for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_images_without_labels_count_for_nothing(tmp_path: Path) -> None:
    labelled = striped_set(tmp_path, 3, void=1)
    curves = correspondence_curves(tiny_segmenter(), labelled, locations=10)
    assert [curve.pairs for curve in curves] == [90, 90, 90, 100, 100]


def test_one_image_has_no_pairs_between(tmp_path: Path) -> None:
    curves = correspondence_curves(tiny_segmenter(), striped_set(tmp_path, 1), locations=10)
    assert tuple(curve.name for curve in curves) == NAMES[:3]


def test_a_model_without_a_head_has_no_curve_of_codes(tmp_path: Path) -> None:
    curves = correspondence_curves(
        tiny_segmenter(head=False), striped_set(tmp_path, 2), locations=10
    )
    assert tuple(curve.name for curve in curves) == (NAMES[0], NAMES[2], NAMES[3])


def test_what_cannot_be_measured_is_refused(tmp_path: Path) -> None:
    segmenter = tiny_segmenter()
    with pytest.raises(UserError, match="no two labelled pixels share a label"):
        correspondence_curves(segmenter, striped_set(tmp_path, 2, void=2))
    with pytest.raises(ValueError, match="at least 2"):
        correspondence_curves(segmenter, striped_set(tmp_path, 2), locations=1)

"""On real images, where SEGDISTILL_DATA names their folder."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import segdistill
from segdistill.config.settings import TrainingSettings

pytestmark = pytest.mark.data


def test_web_photos_of_all_sizes(real_data: Path, tmp_path: Path) -> None:
    photos = real_data / "photos"
    segmenter = segdistill.fit(
        photos, classes=6, resolution=128, training=TrainingSettings(steps=20), out=tmp_path / "run"
    )
    done = segdistill.segment(segmenter, photos, tmp_path / "masks")
    assert done.written == len(list(photos.iterdir()))
    assert not done.skipped
    found = set()
    for path in (tmp_path / "masks").glob("*.png"):
        with Image.open(path) as mask:
            found |= set(np.unique(np.array(mask)))
    assert found == set(range(6))


@pytest.mark.slow
def test_the_method_beats_kmeans_on_the_same_features(real_data: Path) -> None:
    camvid = real_data / "camvid"
    results = {}
    for method in ("kmeans", "stego"):
        segmenter = segdistill.fit(camvid, classes=11, method=method)
        results[method] = segdistill.evaluate(
            segmenter, camvid / "imgs/val", camvid / "labels/val"
        ).scores["cluster"]
    assert results["stego"].accuracy > results["kmeans"].accuracy + 0.05
    assert results["stego"].mean_iou > results["kmeans"].mean_iou + 0.03

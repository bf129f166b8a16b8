"""The estimator in memory, and in the hands of scikit-learn."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from sklearn.base import clone
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.validation import check_is_fitted
from tests.helpers import TinyBackbone, striped_image, striped_labels

from segdistill import FitSettings, SegmentationEstimator, UserError
from segdistill.backbones import BackboneEntry, registry
from segdistill.config.settings import ObjectiveSettings

IMAGES = [striped_image(seed, width=96 + 16 * (seed % 2)) for seed in range(6)]
QUICK = FitSettings(objective=ObjectiveSettings(samples=5))


@pytest.fixture(autouse=True)
def _tiny_backbone(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = BackboneEntry("tiny", "embedded", "for tests", lambda _source: TinyBackbone())
    monkeypatch.setitem(registry._ENTRIES, "tiny", entry)


def estimator() -> SegmentationEstimator:
    return SegmentationEstimator(3, backbone="tiny", steps=30, device="cpu", settings=QUICK)


def agreement(mask: NDArray[np.uint8], labels: NDArray[np.uint8]) -> float:
    """Return the share of pixels whose class is that of most pixels of their label."""
    counts = np.bincount(mask.ravel() * 3 + labels.ravel(), minlength=9).reshape(3, 3)
    return float(counts.max(axis=0).sum() / counts.sum())


def test_arrays_in_masks_and_codes_out() -> None:
    fitted = estimator().fit(IMAGES)
    masks, codes = fitted.predict(IMAGES), fitted.transform(IMAGES)
    assert [mask.shape for mask in masks] == [image.shape[:2] for image in IMAGES]
    assert agreement(masks[0], striped_labels(0)) > 0.8
    assert codes[0].shape == (8, 12, codes[0].shape[2])
    assert codes[1].dtype == np.float32
    stacked = fitted.predict(np.stack(IMAGES[::2]))
    for mask, expected in zip(stacked, masks[::2], strict=True):
        np.testing.assert_array_equal(mask, expected)


def test_arrays_and_files_give_the_same(tmp_path: Path) -> None:
    files = [tmp_path / f"{index}.png" for index in range(len(IMAGES))]
    for file, image in zip(files, IMAGES, strict=True):
        Image.fromarray(image).save(file)
    for ours, theirs in zip(
        estimator().fit_predict(IMAGES), estimator().fit_predict(files), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_features_of_arrays_are_found_again(monkeypatch: pytest.MonkeyPatch) -> None:
    backbones = [TinyBackbone(), TinyBackbone()]
    taken = iter(backbones)
    entry = BackboneEntry("counted", "embedded", "for tests", lambda _source: next(taken))
    monkeypatch.setitem(registry._ENTRIES, "counted", entry)
    for _ in backbones:
        estimator().set_params(backbone="counted").fit(IMAGES)
    assert backbones[0].passes
    assert not backbones[1].passes


def test_nothing_is_left_of_the_arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    estimator().fit(IMAGES)
    assert not list(tmp_path.iterdir())


def test_scikit_learn_clones_it() -> None:
    first = estimator().fit(IMAGES)
    copy = clone(first)
    assert copy.get_params() == first.get_params()
    assert not hasattr(copy, "segmenter_")
    check_is_fitted(first)
    with pytest.raises(UserError, match=r"call fit\(images\) first"):
        copy.predict(IMAGES)


def test_a_pipeline_of_scikit_learn() -> None:
    darker = FunctionTransformer(lambda images: [image // 2 for image in images])
    pipeline: Pipeline = make_pipeline(darker, estimator())
    masks = pipeline.fit_predict(IMAGES)
    np.testing.assert_array_equal(pipeline.predict(IMAGES[:1])[0], masks[0])
    assert len(pipeline.transform(IMAGES)) == len(IMAGES)
    pipeline.set_params(segmentationestimator__classes=2)
    assert max(mask.max() for mask in pipeline.fit(IMAGES).predict(IMAGES)) == 1


def test_it_survives_a_pickle() -> None:
    fitted = estimator().fit(IMAGES)
    again: SegmentationEstimator = pickle.loads(pickle.dumps(fitted))  # noqa: S301 - its own
    np.testing.assert_array_equal(again.predict(IMAGES)[0], fitted.predict(IMAGES)[0])


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 4, 3)), r"image 1: float64 array of shape \(4, 4, 3\); must be uint8"),
        (np.zeros((4, 4), np.uint8), "image 1"),
        (np.zeros((0, 4, 3), np.uint8), "image 1"),
    ],
)
def test_other_arrays_are_refused(image: NDArray[np.uint8], message: str) -> None:
    with pytest.raises(UserError, match=message):
        estimator().fit([IMAGES[0], image])


def test_what_is_no_list_is_refused() -> None:
    with pytest.raises(UserError, match="pass a list"):
        estimator().fit("photos")
    with pytest.raises(UserError, match="no images"):
        estimator().fit([])
    with pytest.raises(ValueError, match="clusters: no such parameter; choose from classes"):
        estimator().set_params(clusters=3)
    with pytest.raises(UserError, match="classes"):
        estimator().set_params(classes=0).fit(IMAGES)

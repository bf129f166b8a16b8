"""How masks are made for scoring."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.helpers import TinyBackbone, striped_image, striped_labels
from tests.model.test_segmenter import tiny_segmenter

from segdistill.errors import UserError
from segdistill.evaluation.protocol import STEGO_2022, Protocol, classifiers
from segdistill.images.resize import Viewing, enlarge, resize_image
from segdistill.model.linear_probe import LinearProbe
from segdistill.refinement.crf_refinement import refine
from segdistill.refinement.upsampling import upsampled_mask

Scoring = Callable[[torch.Tensor], torch.Tensor]


def test_the_products_way_scores_whole_images_at_full_size() -> None:
    segmenter, image = tiny_segmenter(), striped_image(0)
    labels = striped_labels(0).astype(np.int64)
    viewed, kept = Protocol().view(image, labels, segmenter)
    assert viewed is image
    assert kept is labels
    masks = Protocol().predict(segmenter, None, image, (64, 96))
    assert set(masks) == {"cluster"}
    np.testing.assert_array_equal(masks["cluster"], segmenter.segment(image))


def test_stegos_way_scores_middle_squares() -> None:
    segmenter = tiny_segmenter()
    image = striped_image(0)
    labels = striped_labels(0).astype(np.int64)
    viewed, square = STEGO_2022.view(image, labels, segmenter)
    assert viewed.shape == (320, 320, 3)
    assert square.shape == (320, 320)
    # Rows are cut nowhere, so the labels' shares stay; the image goes with its labels.
    assert set(np.unique(square)) == {0, 1, 2}
    assert (square[:, 0] == square[:, -1]).all()
    blue = viewed[..., 2].astype(int) - viewed[..., 0] > 75
    assert (blue == (square == 0)).mean() > 0.95


@pytest.mark.parametrize("crf", [False, True])
@pytest.mark.parametrize("enlarge_codes", [False, True])
def test_all_ways_give_masks_of_the_size(crf: bool, enlarge_codes: bool) -> None:
    segmenter, image = tiny_segmenter(), striped_image(1)
    way = replace(Protocol(), crf=crf, enlarge_codes=enlarge_codes, mirror=True)
    probe = LinearProbe(5, 4)
    masks = way.predict(segmenter, probe, image, (64, 96))
    classes = {"cluster": 3, "cluster_crf": 3, "linear": 4, "linear_crf": 4}
    expected = {name: n for name, n in classes.items() if crf or not name.endswith("_crf")}
    assert way.predictions(segmenter, probe) == expected
    assert list(masks) == list(expected)
    for name, mask in masks.items():
        assert mask.shape == (64, 96)
        assert mask.max() < expected[name]
    plain = Protocol(mirror=True).predict(segmenter, None, image, (64, 96))["cluster"]
    assert (plain == masks["cluster"]).mean() > 0.8


def test_the_crf_is_reported_beside_what_it_refines() -> None:
    segmenter, image, probe = tiny_segmenter(), striped_image(2), LinearProbe(5, 4)
    plain = Protocol().predict(segmenter, probe, image, (64, 96))
    both = Protocol(crf=True).predict(segmenter, probe, image, (64, 96))
    for name in ("cluster", "linear"):
        np.testing.assert_array_equal(both[name], plain[name])
    assert (both["cluster_crf"] == both["cluster"]).mean() > 0.5


@pytest.mark.parametrize("mirror", [False, True])
def test_codes_are_computed_once(mirror: bool) -> None:
    segmenter, image = tiny_segmenter(), striped_image(1)
    backbone = segmenter.backbone
    assert isinstance(backbone, TinyBackbone)
    Protocol(mirror=mirror).predict(segmenter, None, image, (64, 96))
    passes = backbone.passes
    Protocol(mirror=mirror, crf=True).predict(segmenter, LinearProbe(5, 4), image, (64, 96))
    assert backbone.passes == 2 * passes


@pytest.mark.parametrize("resolution", [0, -5, 31])
def test_a_resolution_too_small_is_refused(resolution: int) -> None:
    with pytest.raises(UserError, match=f"--resolution {resolution}: must be from 32 to 8192"):
        Protocol(resolution=resolution)


def test_plain_values_say_the_resolution_that_holds() -> None:
    segmenter = tiny_segmenter()
    assert Protocol().as_plain(segmenter)["resolution"] == segmenter.settings.resolution
    assert STEGO_2022.as_plain(segmenter) == {
        "resolution": 320,
        "square": True,
        "resampling": "nearest",
        "mirror": True,
        "upsampling": "bilinear",
        "crf": True,
        "enlarge_codes": True,
    }


def test_an_image_too_large_for_the_crf_is_refused_before_memory_is_taken() -> None:
    with pytest.raises(UserError, match="too large for 3 classes"):
        Protocol(crf=True).predict(tiny_segmenter(), None, striped_image(0), (20_000, 20_000))


@pytest.mark.parametrize("resolution", [None, 32])
@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("size", [(64, 96), (100, 150)])
def test_masks_are_made_step_by_step(
    resolution: int | None, mirror: bool, size: tuple[int, int]
) -> None:
    """Against the steps one by one: view, codes, scores, pixels, and the CRF."""
    segmenter, probe, image = tiny_segmenter(), LinearProbe(5, 4), striped_image(3)
    viewed = Viewing(resolution or 64, 16, resampling="nearest").apply(image)
    codes = segmenter.encode_viewed(viewed, mirror=mirror)
    guide = resize_image(image, size)
    ways: dict[str, tuple[Scoring, Scoring]] = {
        "cluster": (segmenter.scores_of_codes, lambda scores: (2 * scores).log_softmax(dim=1)),
        "linear": (probe.scores, lambda scores: scores.log_softmax(dim=1)),
    }
    for enlarge_codes in (False, True):
        way = Protocol(
            resolution=resolution,
            mirror=mirror,
            resampling="nearest",
            upsampling="bilinear",
            crf=size == (64, 96),
            enlarge_codes=enlarge_codes,
        )
        masks = way.predict(segmenter, probe, image, size)
        with torch.inference_mode():
            for name, (scores_of, log_probabilities) in ways.items():
                scores = (
                    scores_of(enlarge(codes, size))
                    if enlarge_codes
                    else enlarge(scores_of(codes), size)
                )
                plain = (
                    scores[0].argmax(dim=0).numpy()
                    if enlarge_codes
                    else upsampled_mask(scores_of(codes), guide, upsampling="bilinear")
                )
                np.testing.assert_array_equal(masks[name], plain)
                assert masks[name].dtype == np.uint8
                if way.crf:
                    refined = refine(log_probabilities(scores), image)[0].argmax(dim=0).numpy()
                    np.testing.assert_array_equal(masks[f"{name}_crf"], refined)


@pytest.mark.parametrize(("scale", "shape"), [(1, (64, 96)), (2, (64, 96)), (1, (90, 64))])
def test_squares_of_labels_are_those_of_the_image(scale: int, shape: tuple[int, int]) -> None:
    # Labels number the pixels of the image; the image shows the same numbers as colours.
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    image = np.stack([rows, columns, rows * 0], axis=2).astype(np.uint8)
    labels = np.kron(rows * 256 + columns, np.ones((scale, scale), np.int64))
    way = Protocol(resolution=32, square=True, resampling="nearest")
    viewed, square = way.view(image, labels, tiny_segmenter())
    assert viewed.shape == (32, 32, 3)
    assert square.shape == (32, 32)
    # Nearest pixels are chosen alike but for the rounding of half a pixel.
    assert np.abs(viewed[..., 0].astype(int) - square // 256).max() <= 2
    assert np.abs(viewed[..., 1].astype(int) - square % 256).max() <= 2
    assert (np.diff(square[:, 0]) > 0).all()
    assert (np.diff(square[0]) > 0).all()


def test_names_and_numbers_of_classes_of_every_kind() -> None:
    segmenter, probe = tiny_segmenter(classes=7), LinearProbe(5, 4)
    assert Protocol().predictions(segmenter, None) == {"cluster": 7}
    assert Protocol(crf=True).predictions(segmenter, probe) == {
        "cluster": 7,
        "cluster_crf": 7,
        "linear": 4,
        "linear_crf": 4,
    }
    found = classifiers(segmenter, probe)
    assert [(each.name, each.classes) for each in found] == [("cluster", 7), ("linear", 4)]
    assert [each.name for each in classifiers(segmenter, None)] == ["cluster"]

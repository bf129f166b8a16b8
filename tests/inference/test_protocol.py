"""How masks are made for scoring."""

from dataclasses import replace

import numpy as np
import pytest
from tests.helpers import striped_image, striped_labels
from tests.model.test_segmenter import tiny_segmenter

from segdistill.inference.protocol import STEGO_2022, Protocol
from segdistill.model.linear_probe import LinearProbe


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
    masks = way.predict(segmenter, LinearProbe(5, 4), image, (64, 96))
    assert set(masks) == {"cluster", "linear"}
    for name, mask in masks.items():
        assert mask.shape == (64, 96)
        assert mask.max() < (3 if name == "cluster" else 4)
    plain = Protocol(mirror=True).predict(segmenter, None, image, (64, 96))["cluster"]
    assert (plain == masks["cluster"]).mean() > 0.8

"""Heat maps of correspondences."""

import numpy as np
import torch
from PIL import Image
from tests.helpers import striped_image, striped_labels
from tests.model.test_segmenter import tiny_segmenter

from segdistill.inference.correspondences import draw_correspondences, embed, heat_map


def test_a_point_corresponds_to_itself_most() -> None:
    maps = torch.randn(1, 6, 5, 7)
    heat = heat_map(maps, ((3 + 0.5) / 7, (2 + 0.5) / 5), maps)
    assert heat.shape == (5, 7)
    assert heat.argmax().item() == 2 * 7 + 3
    assert heat.max().item() > 0.999


def test_a_point_in_the_sky_finds_the_sky_of_another_image() -> None:
    segmenter = tiny_segmenter()
    first, second = (embed(segmenter, striped_image(seed)) for seed in (0, 1))
    heat = heat_map(first.features, (0.5, 0.05), second.features)
    labels = np.array(Image.fromarray(striped_labels(1)).resize((heat.shape[1], heat.shape[0]), 0))
    sky, ground = heat[labels == 0].mean(), heat[labels == 2].mean()
    assert sky > ground + 0.2


def test_the_picture_holds_two_rows_of_two_panels() -> None:
    segmenter = tiny_segmenter()
    first, second = (embed(segmenter, striped_image(seed)) for seed in (0, 1))
    picture = draw_correspondences(first, second, (0.5, 0.1))
    assert picture.width == 2 * 450 + 8
    assert picture.height == 2 * 322 + 8

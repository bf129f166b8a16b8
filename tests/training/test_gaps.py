"""Nothing is learned from the parts of images that mean nothing."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests.helpers import TinyBackbone, striped_image

from segdistill.config.settings import FitSettings
from segdistill.devices import choose_compute
from segdistill.features.extract import FeatureMaps
from segdistill.features.locations import sample_locations
from segdistill.features.neighbours import mean_descriptors
from segdistill.features.preparation import FeaturePreparation
from segdistill.images.finding import find_images
from segdistill.images.folder import CheckedImage, check_images
from segdistill.objective.sampling import shares_of_locations
from segdistill.training.fit import feature_maps
from segdistill.training.locations import draw_locations, with_value
from segdistill.training.training_set import TrainingSet


@pytest.fixture
def images(tmp_path: Path) -> list[CheckedImage]:
    for seed in range(3):
        alpha = np.full((128, 192), 255, np.uint8)
        alpha[:, :64] = 0
        alpha[96:] = 0
        image = np.dstack([striped_image(seed, 128, 192), alpha])
        Image.fromarray(image).save(tmp_path / f"{seed}.png")
    Image.fromarray(striped_image(9, 128, 192)).save(tmp_path / "whole.png")
    return check_images(find_images(tmp_path))[0]


@pytest.fixture
def maps(images: list[CheckedImage]) -> FeatureMaps:
    settings = FitSettings(backbone="tiny", resolution=128)
    return feature_maps(images, TinyBackbone(), settings, choose_compute("cpu", "32-true"))


def test_cells_without_a_value_are_known(maps: FeatureMaps) -> None:
    height, width = maps.grid(0)
    expected = np.zeros((height, width), np.bool_)
    expected[: height * 3 // 4, width // 3 :] = True
    found = maps.valid_cells(0)
    assert found is not None
    np.testing.assert_array_equal(found.reshape(height, width), expected)
    assert maps.valid_cells(3) is None
    assert (maps.locations(0), maps.locations(3)) == (height * width // 2, height * width)


def test_statistics_and_clusters_are_of_cells_with_a_value(maps: FeatureMaps) -> None:
    found = sample_locations(maps, 10**6, seed=0)
    counts = torch.bincount(found.maps).tolist()
    assert counts == [maps.locations(index) for index in range(4)]
    valid = maps.valid_cells(0)
    assert valid is not None
    cells = torch.from_numpy(maps[0].reshape(-1, maps.channels)[valid].astype(np.float32))
    own = found.features[found.maps == 0]
    assert torch.equal(own.sort(dim=0).values, cells.sort(dim=0).values)


def test_neighbours_are_compared_by_cells_with_a_value(maps: FeatureMaps) -> None:
    preparation = FeaturePreparation((maps.channels,))
    descriptor = mean_descriptors(maps, preparation)[0]
    valid = maps.valid_cells(0)
    cells = torch.from_numpy(maps[0].reshape(-1, maps.channels)[valid].astype(np.float32))
    mean = preparation.normalise(cells).mean(dim=0)
    assert torch.allclose(descriptor, mean / mean.norm(), atol=1e-4)


def test_locations_are_drawn_where_there_is_a_value(maps: FeatureMaps) -> None:
    generator = torch.Generator().manual_seed(0)
    data = TrainingSet(maps, torch.zeros(4, 1).long(), FeaturePreparation((maps.channels,)))
    drawn = draw_locations(data, [0, 3], 5000, generator)
    height, width = maps.grid(0)
    shares = shares_of_locations(drawn[0], height, width)
    assert float(shares[:, 0].min()) >= 1 / 3
    assert float(shares[:, 1].max()) <= 3 / 4
    # They cover all of the part that has a value.
    assert float(shares[:, 0].max()) > 0.95
    assert float(shares[:, 1].min()) < 0.05
    whole = shares_of_locations(drawn[1], height, width)
    assert float(whole[:, 0].min()) < 0.1
    assert torch.equal(with_value(maps, 3, drawn[1], generator), drawn[1])


def test_crops_that_lie_in_a_gap_are_left_out(images: list[CheckedImage], tmp_path: Path) -> None:
    corner = np.full((128, 192, 4), 255, np.uint8)
    corner[..., :3] = striped_image(0, 128, 192)
    corner[:64, :96, 3] = 0
    Image.fromarray(corner).save(tmp_path / "corner.png")
    (checked,), _ = check_images(find_images(tmp_path / "corner.png"))
    settings = FitSettings(backbone="tiny", resolution=128, crops="five")
    compute = choose_compute("cpu", "32-true")
    assert len(feature_maps([checked], TinyBackbone(), settings, compute)) == 4
    assert len(feature_maps(images[3:], TinyBackbone(), settings, compute)) == 5

"""Random locations of feature maps."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.features.test_extract import maps_of
from tests.helpers import TinyBackbone, write_striped_folder

from segdistill.features.extract import FeatureMaps
from segdistill.features.locations import sample_locations
from segdistill.features.store import FeatureStore


@pytest.fixture
def maps(tmp_path: Path) -> FeatureMaps:
    folder = write_striped_folder(tmp_path / "photos")
    return maps_of(folder, FeatureStore(tmp_path / "store", max_bytes=10**8), TinyBackbone())


def rows_of(maps: FeatureMaps, index: int) -> set[tuple[float, ...]]:
    cells = np.array(maps[index]).astype(np.float32).reshape(-1, maps.channels)
    return {tuple(cell) for cell in cells.tolist()}


def test_each_map_gives_as_many_of_its_own(maps: FeatureMaps) -> None:
    found = sample_locations(maps, 32, seed=0)
    assert found.maps.bincount().tolist() == [6] * 6  # 32 of six maps, rounded up
    for features, image in zip(found.features.tolist(), found.maps.tolist(), strict=True):
        assert tuple(features) in rows_of(maps, image)
    again = sample_locations(maps, 32, seed=0)
    assert again.features.equal(found.features)
    assert not sample_locations(maps, 32, seed=1).features.equal(found.features)


def test_few_maps_are_read_evenly_spaced(maps: FeatureMaps) -> None:
    found = sample_locations(maps, 30, seed=0, max_maps=3)
    assert found.maps.tolist() == [0] * 10 + [2] * 10 + [5] * 10
    assert sample_locations(maps, 12, seed=0, max_maps=6).maps.bincount().tolist() == [2] * 6


def test_small_maps_give_all_they_have_and_functions_apply(maps: FeatureMaps) -> None:
    everything = sample_locations(maps, 10**6, seed=0, function=lambda cells: cells[:, :2] * 2)
    sizes = [maps.locations(index) for index in range(6)]
    assert everything.maps.bincount().tolist() == sizes
    assert everything.features.shape == (sum(sizes), 2)
    first = torch.from_numpy(np.array(maps[0])).float().flatten(0, 1)[:, :2] * 2
    assert everything.features[: sizes[0]].equal(first)


def test_cells_without_a_value_are_not_drawn(
    maps: FeatureMaps, monkeypatch: pytest.MonkeyPatch
) -> None:
    valid = np.arange(maps.locations(0)) % 4 == 0
    monkeypatch.setattr(maps, "valid_cells", lambda index: valid if index == 2 else None)
    found = sample_locations(maps, 10**6, seed=0)
    cells = torch.from_numpy(np.array(maps[2])).float().flatten(0, 1)
    assert found.features[found.maps == 2].equal(cells[torch.from_numpy(valid)])

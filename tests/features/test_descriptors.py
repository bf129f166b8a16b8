"""Mean features of maps, beside those computed map by map in the plain way."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from tests.helpers import TinyBackbone, write_striped_folder

from segdistill.devices import choose_compute
from segdistill.features.extract import FeatureMaps
from segdistill.features.neighbours import mean_descriptors, mean_feature
from segdistill.features.preparation import FeaturePreparation, fit_preparation
from segdistill.features.store import FeatureStore
from segdistill.features.views import views_of
from segdistill.images.folder import check_images, find_images
from segdistill.images.resize import Viewing


@pytest.fixture
def preparation() -> FeaturePreparation:
    locations = torch.rand(200, 6, generator=torch.Generator().manual_seed(0))
    return fit_preparation(locations, (3, 3), standardise=True, components=2)


def plain_mean(raw: torch.Tensor, preparation: FeaturePreparation) -> torch.Tensor:
    return F.normalize(preparation.normalise(raw.float()).mean(dim=(0, 1)), dim=0)


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (32, 32), (40, 33)])
def test_the_mean_is_that_of_the_whole_map(
    size: tuple[int, int], preparation: FeaturePreparation
) -> None:
    raw = torch.rand(*size, 6, generator=torch.Generator().manual_seed(1)).half()
    found = mean_feature(raw, preparation)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, plain_mean(raw, preparation), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("room", [0, 1000, 10**8])
def test_each_map_has_its_descriptor_kept_or_not(
    tmp_path: Path, preparation: FeaturePreparation, room: int
) -> None:
    images, _ = check_images(find_images(write_striped_folder(tmp_path / "photos")))
    store = FeatureStore(tmp_path / "store", max_bytes=room)
    views = views_of(images, Viewing(32, 16), crops="five")
    maps = FeatureMaps(views, TinyBackbone(), store, choose_compute("cpu"))
    maps.fill_store()
    found = mean_descriptors(maps, preparation)
    expected = [plain_mean(torch.tensor(maps[index]), preparation) for index in range(len(maps))]
    torch.testing.assert_close(found, torch.stack(expected), atol=1e-6, rtol=1e-5)


def test_a_failure_while_reading_ahead_is_raised(
    tmp_path: Path, preparation: FeaturePreparation
) -> None:
    folder = write_striped_folder(tmp_path / "photos")
    images, _ = check_images(find_images(folder))
    store = FeatureStore(tmp_path / "store", max_bytes=0)
    maps = FeatureMaps(views_of(images, Viewing(32, 16)), TinyBackbone(), store, choose_compute())
    images[2].file.path.unlink()
    with pytest.raises(Exception, match=images[2].file.path.name):
        mean_descriptors(maps, preparation)

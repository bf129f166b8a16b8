"""Feature maps: worked out once, the same from the store as worked out anew."""

from pathlib import Path

import numpy as np
import pytest
from tests.helpers import TinyBackbone, write_striped_folder

from segdistill.devices import choose_compute
from segdistill.features.extract import FeatureMaps, store_folder_name
from segdistill.features.store import FeatureStore
from segdistill.features.views import views_of
from segdistill.images.folder import CheckedImage, check_images, find_images
from segdistill.images.resize import Viewing


def maps_of(
    folder: Path, store: FeatureStore, backbone: TinyBackbone, *, crops: bool = False
) -> FeatureMaps:
    images, _ = check_images(find_images(folder))
    views = views_of(images, Viewing(32, 16), crops="five" if crops else "none")
    return FeatureMaps(views, backbone, store, choose_compute("cpu"))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_striped_folder(tmp_path / "photos")


def test_a_second_fit_finds_the_features(tmp_path: Path, photos: Path) -> None:
    backbone = TinyBackbone()
    store = FeatureStore(tmp_path / "store", max_bytes=10**8)
    first = maps_of(photos, store, backbone)
    assert first.fill_store() == 0
    assert backbone.passes == 6
    # The content counts, not the name.
    (photos / "picture_0.png").rename(photos / "renamed.png")
    second = maps_of(photos, store, backbone)
    assert second.fill_store() == 0
    assert backbone.passes == 6
    assert first[0].shape == (*first.grid(0), 6)


def test_streamed_maps_equal_stored_ones(tmp_path: Path, photos: Path) -> None:
    stored = maps_of(photos, FeatureStore(tmp_path / "a", max_bytes=10**8), TinyBackbone())
    streamed = maps_of(photos, FeatureStore(tmp_path / "b", max_bytes=0), TinyBackbone())
    partly = maps_of(photos, FeatureStore(tmp_path / "c", max_bytes=1000), TinyBackbone())
    assert stored.fill_store() == 0
    assert streamed.fill_store() == 6
    assert 0 < partly.fill_store() < 6
    for index in range(6):
        np.testing.assert_array_equal(stored[index], streamed[index])
        np.testing.assert_array_equal(stored[index], partly[index])


def test_a_damaged_map_is_worked_out_again(tmp_path: Path, photos: Path) -> None:
    maps = maps_of(photos, FeatureStore(tmp_path / "a", max_bytes=10**8), TinyBackbone())
    maps.fill_store()
    expected = np.array(maps[2])
    path = maps.store.path(maps.folder, maps.views[2].key)
    path.write_bytes(path.read_bytes()[:40])
    np.testing.assert_array_equal(maps[2], expected)


def test_crops_show_parts_at_the_size_of_the_whole(tmp_path: Path, photos: Path) -> None:
    maps = maps_of(
        photos, FeatureStore(tmp_path / "a", max_bytes=10**8), TinyBackbone(), crops=True
    )
    assert len(maps) == 30
    assert maps.grid(0) == maps.grid(4)
    maps.fill_store()
    # The upper corners are sky: their mean colour is bluer than that of the lower ones.
    assert maps[0][..., 2].mean() > maps[2][..., 2].mean()


def test_keys_tell_content_crop_and_size_apart(photos: Path) -> None:
    images, _ = check_images(find_images(photos))
    keys = {
        view.key
        for resolution in (32, 64)
        for view in views_of(images, Viewing(resolution, 16), crops="five")
    }
    assert len(keys) == 2 * 30


def test_weights_tell_folders_apart() -> None:
    first, second = TinyBackbone(), TinyBackbone()
    second.fingerprint = "other"
    compute = choose_compute("cpu")
    assert store_folder_name(first, compute) != store_folder_name(second, compute)
    # Features in another precision are other features.
    half = choose_compute("cpu", "bf16-mixed")
    assert store_folder_name(first, compute) != store_folder_name(first, half)
    first.name = "some/odd name"
    assert "/" not in store_folder_name(first, compute)


def test_checked_image_is_hashable(photos: Path) -> None:
    images, _ = check_images(find_images(photos))
    assert len({*images, *images}) == 6
    assert isinstance(images[0], CheckedImage)

"""Feature maps: computed once, the same from the store as computed again."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from tests.helpers import TinyBackbone, striped_image, write_striped_folder

from segdistill.decoding.decode import to_tensor
from segdistill.devices import choose_compute
from segdistill.errors import UnreadableImageError, UserError
from segdistill.features import extract
from segdistill.features.extract import FeatureMaps, store_folder_name
from segdistill.features.store import FeatureStore
from segdistill.features.views import views_of
from segdistill.images.folder import CheckedImage, check_images, find_images, read_checked
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


def test_an_image_that_changed_is_not_stored_as_the_former(tmp_path: Path, photos: Path) -> None:
    store = FeatureStore(tmp_path / "store", max_bytes=10**8)
    maps = maps_of(photos, store, TinyBackbone())
    former = (photos / "picture_0.png").read_bytes()
    (photos / "picture_0.png").write_bytes((photos / "picture_1.png").read_bytes())
    with pytest.raises(UnreadableImageError, match=r"picture_0\.png: has changed since"):
        maps.fill_store()
    assert not store.has(maps.folder, maps.views[1].key)
    (photos / "picture_0.png").write_bytes(former)
    assert maps.fill_store() == 0


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
    compute = choose_compute("cpu", "32-true")
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


def test_several_views_of_an_image_are_one_decoding(
    tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[Path] = []

    def counted(image: CheckedImage) -> NDArray[np.uint8]:
        decoded.append(image.file.path)
        return read_checked(image)

    monkeypatch.setattr(extract, "read_checked", counted)
    store = FeatureStore(tmp_path / "a", max_bytes=10**8)
    assert maps_of(photos, store, TinyBackbone(), crops=True).fill_store() == 0
    assert len(decoded) == len(set(decoded)) == 6


@pytest.mark.parametrize("pixels", [1, 4 * 32 * 48, 10**6])
def test_batches_change_nothing(tmp_path: Path, photos: Path, pixels: int) -> None:
    Image.fromarray(striped_image(9, 96, 64)).save(photos / "upright.png")
    maps = maps_of(photos, FeatureStore(tmp_path / "a", max_bytes=10**8), TinyBackbone())
    maps.budget.pixels = pixels
    assert maps.fill_store() == 0
    for index, view in enumerate(maps.views):
        alone = maps.backbone(to_tensor(view.load()))[0].permute(1, 2, 0).half()
        np.testing.assert_array_equal(maps[index], alone.numpy())


def test_batches_at_the_same_time_change_nothing(tmp_path: Path, photos: Path) -> None:
    class ThreadSafe(TinyBackbone):
        thread_safe = True

    usual = maps_of(photos, FeatureStore(tmp_path / "a", max_bytes=10**8), TinyBackbone())
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        together = maps_of(photos, FeatureStore(tmp_path / "b", max_bytes=10**8), ThreadSafe())
        together.budget.pixels = 1
        assert together.fill_store() == 0
    finally:
        torch.set_num_threads(before)
    for index in range(len(usual)):
        np.testing.assert_array_equal(together[index], usual[index])


def test_small_memory_takes_smaller_batches(tmp_path: Path, photos: Path) -> None:
    class SmallMemory(TinyBackbone):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            if len(images) > 2:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super().forward(images)

    usual = maps_of(photos, FeatureStore(tmp_path / "a", max_bytes=10**8), TinyBackbone())
    small = maps_of(photos, FeatureStore(tmp_path / "b", max_bytes=10**8), SmallMemory())
    for maps in (usual, small):
        maps.budget.pixels = 10**6
        assert maps.fill_store() == 0
    for index in range(6):
        np.testing.assert_array_equal(usual[index], small[index])


def test_what_is_missing_of_a_batch_goes_through_the_backbone_together(
    tmp_path: Path, photos: Path
) -> None:
    class Noting(TinyBackbone):
        def __init__(self) -> None:
            super().__init__()
            self.batches: list[tuple[int, ...]] = []

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            self.batches.append(tuple(images.shape))
            return super().forward(images)

    for number in (6, 7):
        Image.fromarray(striped_image(number, 96, 64)).save(photos / f"upright_{number}.png")
    stored = maps_of(photos, FeatureStore(tmp_path / "a", max_bytes=10**8), TinyBackbone())
    stored.fill_store()
    backbone = Noting()
    maps = maps_of(photos, FeatureStore(tmp_path / "b", max_bytes=10**8), backbone)
    maps.budget.pixels = 3 * 32 * 48
    kept = 2
    maps.store.write(maps.folder, maps.views[kept].key, stored[kept])
    asked = [7, 0, kept, 5, 0, 4, 7, 1, 6]
    for index, features in zip(asked, maps.read(asked), strict=True):
        np.testing.assert_array_equal(features, stored[index])
    assert isinstance(maps.read([0, kept])[1], np.memmap)
    # Once each, by size, as many as are taken at a time; then number 0 alone.
    sizes = [maps.views[index].size for index in {*asked} - {kept}]
    wanted = [(min(3, sizes.count(size)), 3, *size) for size in sorted(set(sizes))]
    assert backbone.batches[0] == wanted[0]
    assert sum(batch[0] for batch in backbone.batches) == len(sizes) + 1
    assert len(backbone.batches) == sum(-(-sizes.count(size) // 3) for size in set(sizes)) + 1


def test_huge_activations_stay_finite(tmp_path: Path, photos: Path) -> None:
    class Loud(TinyBackbone):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return (super().forward(images) - 0.5) * 1e9

    maps = maps_of(photos, FeatureStore(tmp_path / "a", max_bytes=10**8), Loud())
    assert np.isfinite(maps[0]).all()
    assert np.abs(maps[0]).max() == np.finfo(np.float16).max


def test_a_slow_disk_holds_the_backbone_up(
    tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Maps that wait to be written are few, however many there are in all."""
    backbone = TinyBackbone()
    maps = maps_of(photos, FeatureStore(tmp_path / "a", max_bytes=10**8), backbone, crops=True)
    maps.budget.pixels = 1
    written = 0
    waiting: list[int] = []
    write = FeatureStore.write

    def slow(*arguments: Any) -> bool:
        nonlocal written
        time.sleep(0.005)
        waiting.append(backbone.passes - written)
        written += 1
        return write(*arguments)

    monkeypatch.setattr(FeatureStore, "write", slow)
    assert maps.fill_store() == 0
    assert written == 30
    assert max(waiting) < 10


def test_what_is_in_use_stays_in_a_store_that_is_full(tmp_path: Path, photos: Path) -> None:
    store = FeatureStore(tmp_path / "a", max_bytes=10**8)
    maps = maps_of(photos, store, TinyBackbone())
    maps.fill_store()
    other = "other-0123456789abcdef-32-true-v1"
    assert store.write(other, "00ff", np.zeros((4, 4, 4), np.float16))
    crops = maps_of(photos, FeatureStore(tmp_path / "a", max_bytes=1), TinyBackbone(), crops=True)
    crops.views = [*maps.views, *crops.views]
    assert crops.fill_store() == 30
    assert not store.has(other, "00ff")
    assert all(store.has(maps.folder, view.key) for view in maps.views)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_features_that_are_not_finite_are_refused(
    tmp_path: Path, photos: Path, value: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = TinyBackbone()
    plain = backbone.forward

    def broken(images: torch.Tensor) -> torch.Tensor:
        maps = plain(images).clone()
        if backbone.passes >= 3:
            maps[-1, 4, -1, -1] = value
        return maps

    monkeypatch.setattr(backbone, "forward", broken)
    maps = maps_of(photos, FeatureStore(tmp_path / "store", max_bytes=10**8), backbone)
    with pytest.raises(UserError, match=rf"picture_\d\.png: backbone {backbone.name} gives feat"):
        maps.fill_store()


def test_huge_features_stay_finite(tmp_path: Path, photos: Path) -> None:
    backbone = TinyBackbone()
    plain = backbone.forward
    backbone.forward = lambda images: plain(images) * 1e9  # type: ignore[method-assign]
    maps = maps_of(photos, FeatureStore(tmp_path / "store", max_bytes=10**8), backbone)
    assert maps.fill_store() == 0
    assert np.abs(maps[0]).max() == np.finfo(np.float16).max
    assert np.isfinite(maps[0]).all()

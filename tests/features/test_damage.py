"""Damaged entries of the feature store: found, computed again, and counted."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.helpers import TinyBackbone, write_striped_folder

from segdistill.devices import choose_compute
from segdistill.errors import UserError
from segdistill.features.entry import SEAL, EntryKind
from segdistill.features.extract import FeatureMaps
from segdistill.features.store import FeatureStore
from segdistill.features.views import views_of
from segdistill.images.folder import check_images, find_images
from segdistill.images.resize import Viewing

HEADER = 128
Damage = Callable[[Path], object]


def _changed(change: Callable[[bytearray], object]) -> Damage:
    def damage(path: Path) -> None:
        content = bytearray(path.read_bytes())
        change(content)
        path.write_bytes(content)

    return damage


def _zero_half(content: bytearray) -> None:
    half = len(content) // 2
    content[half:] = bytes(len(content) - half)


def _zero_middle(content: bytearray) -> None:
    start, stop = len(content) // 4, len(content) // 2
    content[start:stop] = bytes(stop - start)


def _flip_bit(place: int) -> Damage:
    def flip(content: bytearray) -> None:
        content[place] ^= 4

    return _changed(flip)


def _as_other_array(change: Callable[[NDArray[np.float16]], NDArray[Any]]) -> Damage:
    def damage(path: Path) -> None:
        np.save(path, change(np.load(path)))

    return damage


def _with_value(value: float) -> Damage:
    def change(array: NDArray[np.float16]) -> NDArray[np.float16]:
        array[1, 1, 0] = value
        return array

    return _as_other_array(change)


def _as_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _as_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _as_other_entry(path: Path) -> None:
    other = next(each for each in path.parent.parent.rglob("*.npy") if each != path)
    shutil.copy(other, path)


def _as_loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


DAMAGES: dict[str, Damage] = {
    "half zero": _changed(_zero_half),
    "zero block": _changed(_zero_middle),
    "flipped bit of a value": _flip_bit(HEADER + 7),
    "flipped bit of the header": _flip_bit(30),
    "flipped bit of the checksum": _flip_bit(-1),
    "other type": _as_other_array(lambda array: array.astype(np.float32)),
    "other type of the same size": _as_other_array(lambda array: array.view(np.int16)),
    "other shape": _as_other_array(lambda array: array[:-1]),
    "other shape of the same size": _as_other_array(lambda array: array.swapaxes(0, 1).copy()),
    "column order": _as_other_array(np.asfortranarray),
    "NaN": _with_value(np.nan),
    "infinity": _with_value(np.inf),
    "zero location": _as_other_array(lambda array: array * (np.arange(6) > 5)[:, None, None]),
    "truncated": _changed(lambda content: content.__delitem__(slice(40, None))),
    "truncated values": _changed(lambda content: content.__delitem__(slice(-40, None))),
    "truncated checksum": _changed(lambda content: content.__delitem__(slice(-3, None))),
    "longer": _changed(lambda content: content.extend(b"more")),
    "empty": _changed(bytearray.clear),
    "other entry": _as_other_entry,
    "not an array": lambda path: path.write_bytes(b"PK\x03\x04"),
}
NOT_STORED: dict[str, Damage] = {"folder": _as_folder, "pipe": _as_pipe, "loop of links": _as_loop}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_striped_folder(tmp_path / "photos")


def maps_of(photos: Path, tmp_path: Path, backbone: TinyBackbone | None = None) -> FeatureMaps:
    """The maps as a new fit finds them."""
    images, _ = check_images(find_images(photos))
    views = views_of(images, Viewing(48, 16))
    store = FeatureStore(tmp_path / "store", max_bytes=10**8)
    return FeatureMaps(views, backbone or TinyBackbone(), store, choose_compute("cpu"))


def damaged(maps: FeatureMaps, damage: Damage) -> list[NDArray[np.float16]]:
    """Fill the store, damage the third map, and return all maps as they were."""
    maps.fill_store()
    expected = [np.array(features) for features in maps.read(range(len(maps)))]
    damage(maps.store.path(maps.folder, maps.views[2].key))
    return expected


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_map_is_found_computed_again_and_counted(
    kind: str, photos: Path, tmp_path: Path
) -> None:
    expected = damaged(maps_of(photos, tmp_path), DAMAGES[kind])
    again = maps_of(photos, tmp_path)
    assert again.fill_store() == 0
    for features, before in zip(again.read(range(6)), expected, strict=True):
        np.testing.assert_array_equal(features, before)
    assert again.store.damaged == {again.views[2].key}
    assert again.backbone.passes == 1
    # It was stored again: the next fit finds nothing wrong.
    after = maps_of(photos, tmp_path)
    assert after.fill_store() == 0
    np.testing.assert_array_equal(after[2], expected[2])
    assert after.store.damaged == set()
    assert after.backbone.passes == 0


@pytest.mark.parametrize("kind", NOT_STORED)
def test_what_is_no_file_is_replaced_where_possible(
    kind: str, photos: Path, tmp_path: Path
) -> None:
    expected = damaged(maps_of(photos, tmp_path), NOT_STORED[kind])
    again = maps_of(photos, tmp_path)
    # A folder, which may hold files of others, is not removed.
    assert again.fill_store() == (kind == "folder")
    np.testing.assert_array_equal(again[2], expected[2])


def test_checksums_are_compared_once_a_fit(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    maps_of(photos, tmp_path).fill_store()
    checks = []
    read = FeatureStore.read

    def noting(
        store: FeatureStore, backbone: str, kind: EntryKind, *, check: bool = True
    ) -> NDArray[Any] | None:
        checks.append((kind.key, check))
        return read(store, backbone, kind, check=check)

    monkeypatch.setattr(FeatureStore, "read", noting)
    maps = maps_of(photos, tmp_path)
    for _ in range(3):
        maps.read([0, 3])
    keys = {maps.views[0].key, maps.views[3].key}
    assert [key for key, check in checks if check] == sorted(
        keys, key=[maps.views[0].key, maps.views[3].key].index
    )
    assert len(checks) == 6


def test_maps_of_older_versions_are_kept_and_get_a_checksum(photos: Path, tmp_path: Path) -> None:
    maps = maps_of(photos, tmp_path)
    maps.fill_store()
    paths = [maps.store.path(maps.folder, view.key) for view in maps.views]
    for path in paths:
        sealed = path.read_bytes()
        np.save(path, np.load(path))
        # The older format is this one without its last bytes.
        assert path.read_bytes() == sealed[: -SEAL.size]
    older = maps_of(photos, tmp_path)
    older.fill_store()
    older.read(range(6))
    assert older.backbone.passes == 0
    assert older.store.damaged == set()
    DAMAGES["flipped bit of a value"](paths[0])
    later = maps_of(photos, tmp_path)
    later.read(range(6))
    assert later.store.damaged == {later.views[0].key}


def test_a_backbone_that_gives_no_numbers_is_named(photos: Path, tmp_path: Path) -> None:
    class Broken(TinyBackbone):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            maps = super().forward(images)
            maps[:, 0, 1, 1] = torch.nan
            return maps

    maps = maps_of(photos, tmp_path, Broken())
    with pytest.raises(
        UserError, match=r"picture_\d.png: backbone tiny gives features that are not"
    ):
        maps.fill_store()
    assert maps.store.contents() == []

"""Depth at the features' grid."""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tests.helpers import write_striped_folder

from segdistill.errors import UserError
from segdistill.features.depth_maps import RELATIVE_NEAREST, DepthMaps, image_depth
from segdistill.features.store import FeatureStore
from segdistill.features.views import View, views_of
from segdistill.images.depth import DepthSettings
from segdistill.images.folder import check_images, find_images
from segdistill.images.resize import Viewing

GRID = (8, 12)


@pytest.fixture
def views(tmp_path: Path) -> list[View]:
    images, _ = check_images(find_images(write_striped_folder(tmp_path / "photos", 3)))
    return views_of(images, Viewing(64, 16))


def ramp(path: Path) -> Path:
    """Depth that grows by 100 from each column to the next, from 100 at the left."""
    values = np.tile(np.arange(1, 97, dtype=np.uint16) * 100, (64, 1))
    Image.fromarray(values).save(path)
    return path


def maps_of(views: list[View], tmp_path: Path, settings: DepthSettings | None = None) -> DepthMaps:
    path = ramp(tmp_path / "ramp.png")
    store = FeatureStore(tmp_path / "store", max_bytes=10**7)
    depth_paths = {view.image.file.path: path for view in views[:2]}
    return DepthMaps(views, [GRID] * len(views), depth_paths, settings or DepthSettings(), store)


def test_a_ramp_comes_out_as_a_ramp(views: list[View], tmp_path: Path) -> None:
    maps = maps_of(views, tmp_path)
    maps.fill_store()
    grid = maps[0]
    assert grid is not None
    centres = (np.arange(12) * 8 + 4.5) * 100
    np.testing.assert_allclose(grid.distance[3], centres, rtol=1e-6)
    np.testing.assert_allclose(grid.share[3], (centres - 100) / 9500, rtol=1e-5)
    assert maps[2] is None


def test_what_is_kept_is_what_is_worked_out(views: list[View], tmp_path: Path) -> None:
    fresh, kept = maps_of(views, tmp_path), maps_of(views, tmp_path)
    before = fresh[1]
    kept.fill_store()
    after = kept[1]
    assert before is not None
    assert after is not None
    np.testing.assert_array_equal(before.share, after.share)
    np.testing.assert_array_equal(before.distance, after.distance)
    assert [content.maps for content in kept.store.contents()] == [2]
    again = maps_of(views, tmp_path)
    (tmp_path / "ramp.png").unlink()
    ramp(tmp_path / "ramp.png")  # the same content, at another time
    again.fill_store()
    assert [content.maps for content in again.store.contents()] == [2]


def test_crops_carry_their_depth(views: list[View], tmp_path: Path) -> None:
    images = [view.image for view in views]
    crops = views_of(images, Viewing(64, 16), crops="five")
    maps = maps_of(views, tmp_path)
    cut = DepthMaps(crops, [GRID] * len(crops), maps.depth_paths, DepthSettings(), maps.store)
    grid = cut[1]  # the upper right quarter
    assert grid is not None
    np.testing.assert_allclose(grid.distance[0], (48 + np.arange(12) * 4 + 2.5) * 100, rtol=1e-6)
    # The nearest place of the image, not of the crop, has share 0.
    assert grid.share.min() > 0.5


def test_a_map_of_another_shape_is_refused(views: list[View], tmp_path: Path) -> None:
    maps = maps_of(views, tmp_path)
    Image.fromarray(np.ones((64, 64), np.uint16)).save(tmp_path / "ramp.png")
    with pytest.raises(UserError, match=r"ramp\.png"):
        maps.fill_store()


def test_no_room_gives_the_same_depth(views: list[View], tmp_path: Path) -> None:
    roomy, full = maps_of(views, tmp_path), maps_of(views, tmp_path)
    full.store = FeatureStore(tmp_path / "full", max_bytes=0)
    roomy.fill_store()
    full.fill_store()
    one, other = roomy[0], full[0]
    assert one is not None
    assert other is not None
    np.testing.assert_array_equal(one.share, other.share)
    assert full.store.contents() == []


@pytest.mark.parametrize("kind", ["inverse", "height"])
def test_relative_kinds_have_a_camera_before_the_nearest(kind: str, tmp_path: Path) -> None:
    path = ramp(tmp_path / "ramp.png")
    share, distance = image_depth(path, replace(DepthSettings(), kind=kind))  # type: ignore[arg-type]
    assert share[0, 0] == 1  # the smallest number is the farthest
    assert share[0, -1] == 0
    assert distance[0, 0] == pytest.approx(1)
    assert distance[0, -1] == pytest.approx(RELATIVE_NEAREST)
    assert (np.diff(distance[0]) < 0).all()


def warned(
    views: list[View], tmp_path: Path, values: NDArray[np.generic], settings: DepthSettings
) -> str:
    """Return what filling the store warns of."""
    np.save(tmp_path / "map.npy", values)
    store = FeatureStore(tmp_path / "store", max_bytes=10**7)
    depth_paths = {view.image.file.path: tmp_path / "map.npy" for view in views}
    messages: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("segdistill")
    logger.addHandler(handler)
    try:
        DepthMaps(views, [GRID] * len(views), depth_paths, settings, store).fill_store()
    finally:
        logger.removeHandler(handler)
    return "\n".join(messages)


def test_a_saturated_sky_is_warned_of_in_every_fit(views: list[View], tmp_path: Path) -> None:
    values = np.tile(np.arange(300, 396, dtype=np.uint16), (64, 1))
    values[:20] = 65535
    for _ in range(2):  # the second time from the store
        message = warned(views, tmp_path, values, DepthSettings())
        assert "the value 65535 covers a tenth or more of 1 of the 1 depth maps" in message
        assert f"31% of {tmp_path / 'map.npy'}" in message
        assert "--depth.invalid 65535" in message
    assert not warned(views, tmp_path, values, DepthSettings(invalid=(65535,)))


def test_a_map_that_is_mostly_invalid_is_warned_of(views: list[View], tmp_path: Path) -> None:
    values = np.tile(np.arange(300, 396, dtype=np.float32), (64, 1))
    values[:48] = np.nan
    for _ in range(2):
        message = warned(views, tmp_path, values, DepthSettings())
        assert (
            f"mostly invalid and therefore have little effect: 1 of 1, {tmp_path / 'map.npy'} (75%)"
            in message
        )


def test_constant_maps_are_warned_of_once(views: list[View], tmp_path: Path) -> None:
    values = np.full((64, 96), 300, np.float32)
    values[:8] = np.nan
    for _ in range(2):
        message = warned(views, tmp_path, values, DepthSettings())
        assert message.count("hold no information") == 1
        assert f"hold no information: 1 of 1, {tmp_path / 'map.npy'}; " in message
    values[8] = 301
    assert not warned(views, tmp_path, values, DepthSettings())


def test_a_crop_of_a_wall_does_not_make_a_map_constant(views: list[View], tmp_path: Path) -> None:
    crops = views_of([view.image for view in views], Viewing(64, 16), crops="five")
    values = np.full((64, 96), 500, np.float32)
    values[:4], values[60:] = 0.0, 1000.0
    assert not warned(crops, tmp_path, values, DepthSettings())  # the centre comes last

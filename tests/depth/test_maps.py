from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from PIL import Image

from segdistill.depth.maps import (
    colour_depth,
    encode_depth,
    read_encoded_depth,
    stored_model,
    write_depth,
    write_preview,
)
from segdistill.images.depth import DepthSettings, read_depth
from segdistill.images.depth_files import EstimateKind

FLOATS = st.floats(0, 200, width=32)


@given(arrays.arrays(np.float32, (3, 4), elements=FLOATS))
def test_metres_come_back_to_within_a_step(depth: NDArray[np.float32]) -> None:
    steps = encode_depth(depth, "depth")
    assert steps.min() >= 1
    np.testing.assert_allclose(steps / 256, np.maximum(depth, 1 / 256), atol=0.5 / 256 + 1e-4)


@given(arrays.arrays(np.float32, (3, 4), elements=FLOATS))
def test_inverse_depth_keeps_its_order_and_uses_all_steps(depth: NDArray[np.float32]) -> None:
    depth[0, 0], depth[0, 1] = -1, 201
    steps = encode_depth(depth, "inverse").astype(np.int64)
    assert steps.min() == 1
    assert steps.max() == 65535
    order = np.argsort(depth, axis=None)
    assert (np.diff(steps.ravel()[order]) >= 0).all()


def test_what_is_beyond_the_range_is_at_its_end() -> None:
    depth = np.array([[-1.0, 0.0, 300.0, np.inf, np.nan]], np.float32)
    assert encode_depth(depth, "depth").tolist() == [[1, 1, 65535, 0, 0]]
    assert encode_depth(np.full((1, 2), 7, np.float32), "inverse").tolist() == [[32768, 32768]]
    assert encode_depth(np.full((1, 2), np.nan, np.float32), "inverse").tolist() == [[0, 0]]


@pytest.mark.parametrize("kind", ["inverse", "depth"])
def test_a_map_is_read_as_it_was_meant(tmp_path: Path, kind: EstimateKind) -> None:
    estimate = np.linspace(1, 20, 12, dtype=np.float32).reshape(3, 4)
    steps = encode_depth(estimate, kind)
    write_depth(tmp_path / "new/a.png", steps, "someone/something")
    with Image.open(tmp_path / "new/a.png") as image:
        assert image.mode.startswith("I;16")
    np.testing.assert_array_equal(read_encoded_depth(tmp_path / "new/a.png"), steps)
    read = read_depth(tmp_path / "new/a.png", DepthSettings(kind, invalid=(0,)))
    expected = np.linspace(0, 1, 12).reshape(3, 4)
    np.testing.assert_allclose(read, expected if kind == "depth" else 1 - expected, atol=1e-3)


@pytest.mark.parametrize("kind", ["inverse", "depth"])
def test_in_the_preview_what_is_near_is_light(kind: EstimateKind) -> None:
    steps = np.array([[1, 30000, 65535, 0]], np.uint16)
    picture = colour_depth(steps, kind)
    assert picture.shape == (1, 4, 3)
    light = picture[0, :3].sum(axis=1).tolist()
    assert light == sorted(light, reverse=kind == "depth")
    assert picture[0, 3].tolist() == [128, 128, 128]


def test_maps_and_previews_name_their_maker(tmp_path: Path) -> None:
    steps = np.ones((8, 8), np.uint16)
    write_depth(tmp_path / "a.png", steps, "/models/größer (2)")
    write_preview(tmp_path / "a.jpg", steps, "depth", "/models/größer (2)")
    assert stored_model(tmp_path / "a.png") == "/models/größer (2)"
    assert stored_model(tmp_path / "a.jpg") == "/models/größer (2)"


def test_other_files_have_another_maker(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((8, 8), np.uint16)).save(tmp_path / "given.png")
    Image.new("RGB", (8, 8)).save(tmp_path / "photo.jpg", comment="seaside")
    (tmp_path / "text.png").write_text("depth")
    for path in tmp_path.iterdir():
        assert stored_model(path) is None

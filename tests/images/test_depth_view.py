import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from segdistill.images.depth_view import depth_for_view, depth_on_grid, seen_region
from segdistill.images.resize import Crop, Viewing, crops_of

IMAGE = (360, 480)


def ramp(height: int, width: int) -> NDArray[np.float32]:
    """Depth whose value at a share (x, y) of the image is 1 + 2 x + 3 y."""
    y = (np.arange(height) + 0.5) / height
    x = (np.arange(width) + 0.5) / width
    return (1 + 2 * x[None] + 3 * y[:, None]).astype(np.float32)


def ramp_on_grid(grid: tuple[int, int], region: Crop) -> NDArray[np.float64]:
    """Values of the same ramp at the centres of a grid's places."""
    y = region.top + region.height * (np.arange(grid[0]) + 0.5) / grid[0]
    x = region.left + region.width * (np.arange(grid[1]) + 0.5) / grid[1]
    expected: NDArray[np.float64] = 1 + 2 * x[None] + 3 * y[:, None]
    return expected


def noise(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).random(shape, np.float32)


@pytest.mark.parametrize("square", [False, True])
@pytest.mark.parametrize("crop", [Crop(), *crops_of("five"), *crops_of("random", 0.6, seed="a")])
@pytest.mark.parametrize("depth_size", [(360, 480), (120, 160), (777, 1001)])
def test_a_ramp_comes_out_as_a_ramp(
    depth_size: tuple[int, int], crop: Crop, *, square: bool
) -> None:
    viewing = Viewing(224, 8, square=square)
    rows, columns = crop.pixels(*IMAGE)
    size = viewing.sizes(rows.stop - rows.start, columns.stop - columns.start)[1]
    grid = (size[0] // 8, size[1] // 8)
    pooled = depth_for_view(ramp(*depth_size), IMAGE, crop, viewing, grid)
    assert pooled.shape == grid
    assert pooled.dtype == np.float32
    expected = ramp_on_grid(grid, seen_region(IMAGE, crop, viewing))
    np.testing.assert_allclose(pooled, expected, atol=1e-5)
    mirrored = depth_for_view(ramp(*depth_size), IMAGE, crop, viewing, grid, mirrored=True)
    np.testing.assert_array_equal(mirrored, pooled[:, ::-1])


@given(
    st.tuples(st.integers(20, 60), st.integers(20, 60)),
    st.tuples(st.integers(1, 8), st.integers(1, 8)),
    st.tuples(*[st.floats(0, 0.6)] * 2),
    st.tuples(*[st.floats(0.2, 1)] * 2),
)
def test_any_ramp_is_exact_where_pixels_are_pooled(
    size: tuple[int, int],
    grid: tuple[int, int],
    start: tuple[float, float],
    extent: tuple[float, float],
) -> None:
    region = Crop(*start, *(min(a, 1 - b) for a, b in zip(extent, start, strict=True)))
    assume(region.height * size[0] > grid[0] and region.width * size[1] > grid[1])
    pooled = depth_on_grid(ramp(*size), grid, region)
    np.testing.assert_allclose(pooled, ramp_on_grid(grid, region), atol=1e-5)


def test_a_finer_grid_is_exact_but_for_half_a_pixel_at_the_border() -> None:
    pooled = depth_on_grid(ramp(8, 8), (20, 24))
    exact = ramp_on_grid((20, 24), Crop())
    np.testing.assert_allclose(pooled[2:-2, 2:-2], exact[2:-2, 2:-2], atol=1e-5)
    assert np.abs(pooled - exact).max() < 5 * 0.5 / 8


@pytest.mark.parametrize("factor", [1, 2, 5])
def test_whole_pixels_are_averaged_plainly(factor: int) -> None:
    depth = noise(6 * factor, 8 * factor)
    expected = F.avg_pool2d(torch.from_numpy(depth)[None], factor)[0].numpy()
    np.testing.assert_allclose(depth_on_grid(depth, (6, 8)), expected, atol=1e-6)


def test_broken_pixels_are_averaged_by_area_but_for_the_balance() -> None:
    # Places of 1.5 pixels: by area the first is (2 * a + b) / 3, balanced at 0.75 it is
    # 0.75 * a + 0.25 * b.
    pooled = depth_on_grid(np.array([[0.0, 12.0, 0.0]], np.float32), (1, 2))
    np.testing.assert_allclose(pooled, [[3, 3]])


def test_a_finer_grid_is_interpolated_bilinearly() -> None:
    depth = noise(5, 7)
    expected = F.interpolate(torch.from_numpy(depth)[None, None], (20, 21), mode="bilinear")
    np.testing.assert_allclose(depth_on_grid(depth, (20, 21)), expected[0, 0], atol=1e-6)


def test_unknown_pixels_take_no_part() -> None:
    depth = noise(12, 16)
    depth[:4, :4] = np.nan
    depth[5, 5:9] = np.nan
    pooled = depth_on_grid(depth, (3, 4))
    cells = depth.reshape(3, 4, 4, 4).transpose(0, 2, 1, 3).reshape(3, 4, 16)
    assert np.isnan(pooled[0, 0])
    known = [cell[~np.isnan(cell)].mean() for cell in cells.reshape(12, 16)[1:]]
    np.testing.assert_allclose(pooled.ravel()[1:], known, atol=1e-6)


def test_a_finer_grid_leaves_holes_open() -> None:
    depth = noise(4, 4)
    depth[1:3, 1:3] = np.nan
    pooled = depth_on_grid(depth, (16, 16))
    assert np.isnan(pooled[6:10, 6:10]).all()
    assert np.isfinite(pooled[:4]).all()
    assert np.isnan(depth_on_grid(np.full((3, 3), np.nan, np.float32), (2, 2))).all()


@given(st.integers(0, 2**32 - 1))
def test_no_value_is_made_up(seed: int) -> None:
    random = np.random.default_rng(seed)
    depth = random.random((random.integers(1, 30), random.integers(1, 30)), np.float32)
    depth[random.random(depth.shape) < 0.3] = np.nan
    top, left = random.random(2) * 0.5
    region = Crop(top, left, *(random.random(2) * 0.5))
    pooled = depth_on_grid(depth, (3, 5), region)
    known = pooled[np.isfinite(pooled)]
    if known.size:
        assert np.nanmin(depth) - 1e-6 <= known.min()
        assert known.max() <= np.nanmax(depth) + 1e-6


@pytest.mark.parametrize("crop", [Crop(), Crop(0.1, 0.3, 0.37, 0.41)])
@pytest.mark.parametrize("square", [False, True])
def test_the_region_is_what_the_image_pixels_say(crop: Crop, *, square: bool) -> None:
    # An image whose pixels say where they are, seen as the network sees it.
    y, x = np.mgrid[: IMAGE[0], : IMAGE[1]]
    picture = np.stack([y * 255 / IMAGE[0], x * 255 / IMAGE[1], 0 * x], 2).astype(np.uint8)
    viewing = Viewing(224, 8, square=square)
    seen = viewing.apply(picture[crop.pixels(*IMAGE)]) / 255
    region = seen_region(IMAGE, crop, viewing)
    rows, columns = seen.shape[:2]
    centre = (region.top + region.height / 2, region.left + region.width / 2)
    np.testing.assert_allclose(seen.mean(axis=(0, 1))[:2], centre, atol=0.006)
    extent = (
        seen[-1, columns // 2, 0] - seen[0, columns // 2, 0],
        seen[rows // 2, -1, 1] - seen[rows // 2, 0, 1],
    )
    np.testing.assert_allclose(extent, (region.height, region.width), atol=0.01)

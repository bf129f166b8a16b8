"""Tiles and bands: what is done in parts equals the whole."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from segdistill.images.resize import enlarge
from segdistill.refinement.dense import bands_of, encode_images, enlarge_rows, tiles_of


@settings(max_examples=60, deadline=None)
@given(height=st.integers(1, 20), width=st.integers(1, 20), tile=st.integers(1, 10))
def test_tiles_cover_the_image_and_overlap(height: int, width: int, tile: int) -> None:
    covered = np.zeros((height * 16, width * 16), int)
    for rows, columns in tiles_of(height * 16, width * 16, tile=tile * 16, multiple=16):
        assert rows.start % 16 == columns.start % 16 == 0
        assert rows.stop - rows.start <= tile * 16
        covered[rows, columns] += 1
    assert covered.min() >= 1


def made_images(count: int, height: int, width: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (count, 3, height, width), dtype=torch.uint8, generator=generator)


def test_tiled_codes_of_a_local_network_equal_those_of_the_whole() -> None:
    images = made_images(2, 160, 224)

    def encode(images: torch.Tensor) -> torch.Tensor:
        return F.avg_pool2d(images, 16)

    whole = encode_images(images, encode, stride=16, multiple=16, tile=999)
    tiled = encode_images(images, encode, stride=16, multiple=16, tile=64)
    torch.testing.assert_close(tiled, whole)
    torch.testing.assert_close(whole, F.avg_pool2d(images / 255, 16))


def test_tiles_leave_no_seam_where_borders_are_wrong() -> None:
    """A network that is wrong at its borders, as zero padding makes them."""
    images = torch.full((1, 3, 64, 512), 128, dtype=torch.uint8)

    def encode(images: torch.Tensor) -> torch.Tensor:
        codes = F.avg_pool2d(images[:, :1], 16)
        codes[..., 0] = 0
        codes[..., -1] = 0
        return codes

    tiled = encode_images(images, encode, stride=16, multiple=16, tile=256)[0, 0, 0]
    inner = tiled[1:-1]
    assert (inner - 128 / 255).abs().max() < 0.03


def test_mirroring_averages_both_views() -> None:
    images = made_images(1, 32, 48)

    def left_part(images: torch.Tensor) -> torch.Tensor:
        codes = F.avg_pool2d(images, 16)
        return codes * torch.tensor([1.0, 0.0, 0.0])

    codes = encode_images(images, left_part, stride=16, multiple=16, tile=99, mirror=True)
    assert codes[..., 0].any()
    assert not codes[..., 1].any()
    assert codes[..., 2].any()


@settings(max_examples=40, deadline=None)
@given(
    grid=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    seed=st.integers(0, 99),
)
def test_bands_equal_the_whole(grid: tuple[int, int], size: tuple[int, int], seed: int) -> None:
    maps = torch.randn(1, 3, *grid, generator=torch.Generator().manual_seed(seed))
    bands = [
        enlarge_rows(maps, size, rows)
        for rows in bands_of(size[0], width=size[1], classes=3, max_values=200)
    ]
    torch.testing.assert_close(torch.cat(bands, dim=2), enlarge(maps, size), atol=1e-5, rtol=1e-5)


def test_bands_are_bounded() -> None:
    bands = list(bands_of(10_000, width=10_000, classes=27))
    assert max(rows.stop - rows.start for rows in bands) * 10_000 * 27 <= 2**26
    assert bands[0].start == 0
    assert bands[-1].stop == 10_000


def test_a_tile_smaller_than_the_stride_is_one_stride() -> None:
    assert list(tiles_of(32, 32, tile=1, multiple=32)) == [(slice(0, 32), slice(0, 32))]
    with pytest.raises(ZeroDivisionError):
        list(tiles_of(32, 32, tile=1, multiple=0))

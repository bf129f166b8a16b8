"""Masks made band by band, against those of the whole image."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.helpers import striped_image

from segdistill.model import large_image_masks as module
from segdistill.model.large_image_masks import (
    CellGrid,
    CellMoments,
    MaskBand,
    PixelRows,
    ReadRows,
    mask_bands,
)
from segdistill.model.upsampling import Upsampling, upsampled_mask


def smooth_scores(classes: int, grid: tuple[int, int], seed: int) -> torch.Tensor:
    coarse = torch.rand(1, classes, 4, 4, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(coarse, size=grid, mode="bicubic")


def noise_of(read_rows: ReadRows, cells: CellGrid) -> torch.Tensor:
    return CellMoments(read_rows, cells).noise()


def bands_for(
    scores: torch.Tensor,
    image: NDArray[np.uint8],
    *,
    upsampling: Upsampling = "guided",
    strip: int = 3,
    valid: NDArray[np.bool_] | None = None,
) -> list[MaskBand]:
    def strips() -> Iterator[tuple[slice, torch.Tensor]]:
        for start in range(0, scores.shape[2], strip):
            stop = min(start + strip, scores.shape[2])
            yield slice(start, stop), scores[:, :, start:stop]

    def read_rows(rows: slice) -> PixelRows:
        assert 0 <= rows.start < rows.stop <= len(image)
        return PixelRows(image[rows], None if valid is None else valid[rows])

    cells = CellGrid(image.shape[:2], (scores.shape[2], scores.shape[3]))
    return list(mask_bands(strips(), read_rows, cells, upsampling=upsampling))


@settings(max_examples=60, deadline=None)
@given(
    grid=st.tuples(st.integers(1, 40), st.integers(1, 9)),
    size=st.tuples(st.integers(1, 300), st.integers(1, 60)),
    strip=st.integers(1, 12),
    upsampling=st.sampled_from(["guided", "bilinear"]),
    band_bytes=st.sampled_from([1, 5000]),
    seed=st.integers(0, 999),
)
def test_bands_equal_the_whole(
    grid: tuple[int, int],
    size: tuple[int, int],
    strip: int,
    upsampling: Upsampling,
    band_bytes: int,
    seed: int,
) -> None:
    scores = smooth_scores(5, grid, seed)
    image = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BAND_BYTES", band_bytes)
        bands = bands_for(scores, image, upsampling=upsampling, strip=strip)
    assert [band.rows.start for band in bands] == [0, *[band.rows.stop for band in bands[:-1]]]
    assert bands[-1].rows.stop == size[0]
    found = np.concatenate([band.mask for band in bands])
    expected = upsampled_mask(scores, image, upsampling=upsampling)
    # Where two classes tie rounding decides.
    assert (found != expected).mean() <= 2e-3 + 1 / found.size
    np.testing.assert_array_equal(np.concatenate([band.image.pixels for band in bands]), image)


def test_cells_larger_than_the_samples_that_tell_their_colours() -> None:
    image = striped_image(0, 200, 330)
    scores = smooth_scores(4, (3, 5), 0)
    found = np.concatenate([band.mask for band in bands_for(scores, image)])
    assert (found != upsampled_mask(scores, image)).mean() < 1e-3


def test_noise_is_told_from_cells_with_values() -> None:
    image = striped_image(0, 64, 96)
    valid = np.ones((64, 96), np.bool_)
    valid[:, 48:] = False
    half = image.copy()
    half[:, 48:] = 0
    cells = CellGrid((64, 96), (4, 6))
    expected = noise_of(lambda rows: PixelRows(image[rows, :48]), CellGrid((64, 48), (4, 3)))
    found = noise_of(lambda rows: PixelRows(half[rows], valid[rows]), cells)
    torch.testing.assert_close(found, expected)
    # Without any value there is something to continue with all the same.
    noise_of(lambda rows: PixelRows(half[rows], ~valid[rows] & valid[rows]), cells)


def test_few_rows_tell_the_noise_of_a_large_image(monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.random.default_rng(0).integers(0, 256, (640, 96, 3), np.uint8)
    cells = CellGrid((640, 96), (40, 6))
    seen = []

    def read_rows(rows: slice) -> PixelRows:
        seen.append(rows)
        return PixelRows(image[rows])

    whole = noise_of(read_rows, cells)
    assert len(seen) == 40
    monkeypatch.setattr(module, "NOISE_ROWS", 8)
    seen.clear()
    torch.testing.assert_close(noise_of(read_rows, cells), whole, rtol=0.1, atol=3e-3)
    assert len(seen) == 8


def test_no_more_than_a_band_is_read_at_a_time() -> None:
    image = striped_image(0, 2000, 64)
    scores = smooth_scores(3, (125, 4), 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BAND_BYTES", 3 * 64 * 80)
        rows = [len(band.mask) for band in bands_for(scores, image)]
    assert max(rows) == 80

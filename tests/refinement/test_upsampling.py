"""The best class of each pixel, against the scores of all pixels, in bands and as a whole."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.helpers import striped_image

from segdistill.images.resize import enlarge
from segdistill.refinement import best_class, cell_colours, upsampling
from segdistill.refinement.best_class import best_around, best_between, gaps_of
from segdistill.refinement.cell_colours import CellColours, CellGrid, PixelRows, ReadRows
from segdistill.refinement.guided_filter import guided_bands, sharpened
from segdistill.refinement.upsampling import (
    MaskBand,
    Upsampling,
    mask_bands,
    upsampled_bands,
    upsampled_mask,
)


def bilinear_mask(scores: torch.Tensor, size: tuple[int, int]) -> NDArray[np.uint8]:
    return upsampled_mask(scores, np.zeros((*size, 3), np.uint8), upsampling="bilinear")


def check(scores: torch.Tensor, size: tuple[int, int]) -> None:
    """Compare with the enlarged scores: the class taken has the largest, up to rounding."""
    mask = bilinear_mask(scores, size)
    assert mask.shape == size
    assert mask.dtype == np.uint8
    enlarged = enlarge(scores, size)[0]
    taken = enlarged.gather(0, torch.from_numpy(mask.astype(np.int64))[None])[0]
    torch.testing.assert_close(taken, enlarged.amax(dim=0), atol=1e-5, rtol=0)


@settings(max_examples=150, deadline=None)
@given(
    grid=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    size=st.tuples(st.integers(1, 50), st.integers(1, 50)),
    classes=st.integers(1, 12),
    smooth=st.booleans(),
    seed=st.integers(0, 999),
)
def test_equal_to_enlarging_all_scores(
    grid: tuple[int, int], size: tuple[int, int], classes: int, smooth: bool, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(1, classes, *grid, generator=generator)
    if smooth:
        scores = enlarge(scores[:, :, ::3, ::3], grid)
    check(scores, size)


@pytest.mark.parametrize("classes", [27, 255])
def test_many_classes(classes: int) -> None:
    generator = torch.Generator().manual_seed(0)
    check(torch.randn(1, classes, 9, 12, generator=generator), (131, 177))


def test_a_class_best_only_between_cells_is_found() -> None:
    """Nowhere the best on the grid, but in the middle between two others that fall away."""
    scores = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.7, 0.7]]).view(1, 3, 1, 2)
    assert bilinear_mask(scores, (1, 12))[0].tolist() == [0] * 5 + [2] * 2 + [1] * 5


def test_of_equal_classes_the_first_is_taken() -> None:
    scores = torch.zeros(1, 4, 3, 3)
    scores[:, 1:3] = 1
    assert np.unique(bilinear_mask(scores, (20, 30))).tolist() == [1]


@settings(max_examples=50, deadline=None)
@given(classes=st.integers(1, 9), seed=st.integers(0, 999))
def test_no_possible_class_is_left_out(classes: int, seed: int) -> None:
    scores = torch.randn(classes, 2, 2, generator=torch.Generator().manual_seed(seed))
    shares = np.linspace(0, 1, 11)
    down, right = np.meshgrid(shares, shares)
    weights = np.stack([(1 - down) * (1 - right), (1 - down) * right, down * (1 - right)])
    weights = np.concatenate([weights, (down * right)[None]]).reshape(4, -1)
    winners = np.einsum("cp,ps->cs", scores.flatten(1).numpy(), weights).argmax(axis=0)
    assert best_between(scores)[:, 1, 1][torch.from_numpy(winners)].all()


def random_picture(height: int, width: int, seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def all_scores(scores: torch.Tensor, image: NDArray[np.uint8]) -> torch.Tensor:
    return torch.cat([band for _, band in guided_bands(sharpened(scores), image)], dim=1)


def plain_possible(
    best: NDArray[np.int64], size: tuple[int, int], classes: int
) -> NDArray[np.bool_]:
    """Which classes are the best in one of the 16 cells whose middles are around each pixel."""
    h, w = best.shape
    possible = np.zeros((classes, *size), np.bool_)
    # Rounding decides on which side of the middle of a cell a pixel lies that is just there.
    rows, columns = (gaps_of(*sides)[0].tolist() for sides in zip(size, (h, w), strict=True))
    for row in range(size[0]):
        for column in range(size[1]):
            above, left = rows[row] - 1, columns[column] - 1
            part = best[max(0, above - 1) : above + 3, max(0, left - 1) : left + 3]
            possible[np.unique(part), row, column] = True
    return possible


@settings(max_examples=60, deadline=None)
@given(
    grid=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    size=st.tuples(st.integers(1, 30), st.integers(1, 30)),
    classes=st.integers(1, 6),
    seed=st.integers(0, 9999),
)
def test_masks_are_those_of_the_scores(
    grid: tuple[int, int], size: tuple[int, int], classes: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    scores = torch.rand(1, classes, *grid, generator=generator)
    image = random_picture(*size, seed)
    found = upsampled_mask(scores, image)
    assert found.dtype == np.uint8
    assert found.shape == size
    pixels = all_scores(scores, image).numpy()
    best = scores[0].argmax(dim=0).numpy()
    pixels[~plain_possible(best, size, classes)] = -np.inf
    chosen = np.take_along_axis(pixels, found[None].astype(np.int64), axis=0)[0]
    # Where two classes tie rounding decides.
    np.testing.assert_allclose(chosen, pixels.max(axis=0), atol=1e-4)


def test_few_pixels_lose_their_class() -> None:
    """Scores as a network gives them are smooth, and their best class is one of those around."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(1, 5, 5, 7, generator=generator)
    scores = torch.nn.functional.interpolate(coarse, size=(16, 24), mode="bicubic")
    image = striped_image(0, 128, 192)
    found = upsampled_mask(scores, image)
    whole = all_scores(scores, image).argmax(dim=0).numpy()
    assert (found == whole).mean() > 0.97


def test_the_size_of_what_is_worked_on_at_once_does_not_matter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scores = torch.rand(1, 4, 6, 8, generator=torch.Generator().manual_seed(0))
    image = striped_image(0, 65, 97)
    expected = upsampled_mask(scores, image)
    monkeypatch.setattr(best_class, "MAX_VALUES", 1)
    np.testing.assert_array_equal(upsampled_mask(scores, image), expected)


def test_a_single_class_fills_the_mask() -> None:
    assert not upsampled_mask(torch.zeros(1, 1, 3, 4), striped_image(0)).any()
    assert best_around(torch.zeros(3, 3, 4)).sum() == 4 * 5


def smooth_scores(classes: int, grid: tuple[int, int], seed: int) -> torch.Tensor:
    coarse = torch.rand(1, classes, 4, 4, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(coarse, size=grid, mode="bicubic")


def noise_of(read_rows: ReadRows, cells: CellGrid) -> torch.Tensor:
    return CellColours(read_rows, cells).noise()


def bands_for(
    scores: torch.Tensor,
    image: NDArray[np.uint8],
    *,
    kind: Upsampling = "guided",
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
    return list(mask_bands(strips(), read_rows, cells, upsampling=kind))


@settings(max_examples=60, deadline=None)
@given(
    grid=st.tuples(st.integers(1, 40), st.integers(1, 9)),
    size=st.tuples(st.integers(1, 300), st.integers(1, 60)),
    strip=st.integers(1, 12),
    kind=st.sampled_from(["guided", "bilinear"]),
    band_bytes=st.sampled_from([1, 5000]),
    seed=st.integers(0, 999),
)
def test_bands_equal_the_whole(
    grid: tuple[int, int],
    size: tuple[int, int],
    strip: int,
    kind: Upsampling,
    band_bytes: int,
    seed: int,
) -> None:
    scores = smooth_scores(5, grid, seed)
    image = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(upsampling, "BAND_BYTES", band_bytes)
        bands = bands_for(scores, image, kind=kind, strip=strip)
    assert [band.rows.start for band in bands] == [0, *[band.rows.stop for band in bands[:-1]]]
    assert bands[-1].rows.stop == size[0]
    found = np.concatenate([band.mask for band in bands])
    expected = upsampled_mask(scores, image, upsampling=kind)
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
    monkeypatch.setattr(cell_colours, "NOISE_ROWS", 8)
    seen.clear()
    torch.testing.assert_close(noise_of(read_rows, cells), whole, rtol=0.1, atol=3e-3)
    assert len(seen) == 8


def test_no_more_than_a_band_is_read_at_a_time() -> None:
    image = striped_image(0, 2000, 64)
    scores = smooth_scores(3, (125, 4), 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(upsampling, "BAND_BYTES", 3 * 64 * 80)
        rows = [len(band.mask) for band in bands_for(scores, image)]
    assert max(rows) == 80


@pytest.mark.parametrize("pixels", [200, 10**9])
def test_bands_of_bilinear_scores_are_the_enlarged_scores(
    monkeypatch: pytest.MonkeyPatch, pixels: int
) -> None:
    monkeypatch.setattr(upsampling, "bands_of", lambda rows, **_: bands(rows, pixels))
    scores = torch.randn(1, 3, 5, 7, generator=torch.Generator().manual_seed(0))
    found = list(upsampled_bands(scores, striped_image(0, 40, 60), upsampling="bilinear"))
    assert [row for rows, _ in found for row in range(40)[rows]] == list(range(40))
    assert (len(found) > 1) == (pixels == 200)
    whole = torch.cat([each for _, each in found], dim=1)
    torch.testing.assert_close(whole, enlarge(scores, (40, 60))[0], atol=1e-5, rtol=1e-5)


def bands(rows: int, pixels: int) -> Iterator[slice]:
    """Bands of few rows, or one of all."""
    step = max(1, min(rows, pixels // 60))
    yield from (slice(start, min(start + step, rows)) for start in range(0, rows, step))

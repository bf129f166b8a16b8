"""The guided filter by its definition, its properties, and what it refuses."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.helpers import striped_image

from segdistill.images.resize import enlarge
from segdistill.refinement import guided_filter
from segdistill.refinement.cell_colours import CellColours, CellGrid, PixelRows
from segdistill.refinement.guided_filter import guided_bands, linear_functions
from segdistill.refinement.upsampling import upsampled_bands, upsampled_mask

Colours = NDArray[np.float64]


def random_scores(classes: int, h: int, w: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(1, classes, h, w, generator=generator) * 2 - 1


def random_image(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """Blocks of colour with noise, so that edges run through cells."""
    random = np.random.default_rng(seed)
    blocks = random.integers(0, 256, (height // 5 + 1, width // 7 + 1, 3))
    image = np.kron(blocks, np.ones((5, 7, 1)))[:height, :width]
    return (image + random.normal(0, 9, image.shape)).clip(0, 255).astype(np.uint8)


def upsample(scores: torch.Tensor, image: NDArray[np.uint8]) -> torch.Tensor:
    """The scores of all pixels, shape (1, classes, height, width)."""
    return torch.cat([band for _, band in upsampled_bands(scores, image)], dim=1)[None]


def cell_colours(image: NDArray[np.uint8], h: int, w: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean colours (3, h, w) and noise (3, 3)."""
    cells = CellGrid((image.shape[0], image.shape[1]), (h, w))
    colours = CellColours(lambda rows: PixelRows(image[rows]), cells)
    return colours.means(0, h), colours.noise()


def plain_cells(image: NDArray[np.uint8], h: int, w: int) -> tuple[Colours, Colours]:
    """Mean colour (h, w, 3) and noise (3, 3), for sides that are multiples of the grid's."""
    height, width = image.shape[0] // h, image.shape[1] // w
    means, within = np.zeros((h, w, 3)), []
    for row in range(h):
        for column in range(w):
            part = image[row * height :][:height, column * width :][:, :width]
            pixels = part.reshape(-1, 3) / 255
            means[row, column] = pixels.mean(0)
            within.append(np.cov(pixels.T, bias=True))
    within.sort(key=np.trace)
    quiet = within[: max(1, int(0.75 * len(within)))]
    return means, np.mean(quiet, axis=0) + np.eye(3) / 255**2


def test_cells_and_noise() -> None:
    image = random_image(24, 40)
    colours, noise = cell_colours(image, 4, 5)
    expected_colours, expected_noise = plain_cells(image, 4, 5)
    np.testing.assert_allclose(colours.permute(1, 2, 0), expected_colours, atol=1e-6)
    np.testing.assert_allclose(noise, expected_noise, atol=1e-6)


def test_of_large_cells_some_pixels_are_enough() -> None:
    image = random_image(80, 120)
    some, expected = cell_colours(image, 2, 3), cell_colours(image[1::2, 1::2], 2, 3)
    for found, wanted in zip(some, expected, strict=True):
        assert torch.equal(found, wanted)


def window(place: int, radius: int, length: int) -> range:
    return range(max(0, place - radius), min(length, place + radius + 1))


def plain_guided(
    scores: NDArray[np.float64], image: NDArray[np.uint8], radius: int, averaging: int
) -> NDArray[np.float64]:
    """The filter as its papers state it, window by window: (classes, h, w) to pixels."""
    classes, h, w = scores.shape
    means, noise = plain_cells(image, h, w)
    functions = np.zeros((4, classes, h, w))
    for i in range(h):
        for j in range(w):
            cells = [(y, x) for y in window(i, radius, h) for x in window(j, radius, w)]
            colour = np.array([means[cell] for cell in cells])
            score = np.array([scores[:, *cell] for cell in cells])
            centred = colour - colour.mean(0)
            covariance = centred.T @ centred / len(cells)
            slope = np.linalg.solve(
                covariance + guided_filter.NOISE * noise,
                centred.T @ (score - score.mean(0)) / len(cells),
            )
            functions[:3, :, i, j] = slope
            functions[3, :, i, j] = score.mean(0) - colour.mean(0) @ slope
    averaged = np.zeros_like(functions)
    for i in range(h):
        for j in range(w):
            cells = [(y, x) for y in window(i, averaging, h) for x in window(j, averaging, w)]
            averaged[..., i, j] = np.mean([functions[..., *cell] for cell in cells], axis=0)
    stacked = torch.from_numpy(averaged.reshape(1, 4 * classes, h, w))
    enlarged = enlarge(stacked, image.shape[:2]).view(4, classes, *image.shape[:2]).numpy()
    found: NDArray[np.float64] = np.einsum("kcyx,yxk->cyx", enlarged[:3], image / 255) + enlarged[3]
    return found


@pytest.mark.parametrize(("radius", "averaging"), [(1, 1), (2, 1), (2, 2), (1, 0)])
def test_guided_filter_equals_its_definition(radius: int, averaging: int) -> None:
    scores, image = random_scores(3, 4, 5), random_image(24, 40)
    bands = guided_bands(scores, image, radius=radius, averaging=averaging)
    found = torch.cat([band for _, band in bands], dim=1)
    expected = plain_guided(scores[0].double().numpy(), image, radius, averaging)
    np.testing.assert_allclose(found, expected, atol=2e-4)


def test_bands_make_up_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    scores, image = random_scores(3, 4, 5), random_image(27, 43)
    whole = upsample(scores, image)
    one_row = [slice(row, row + 1) for row in range(27)]
    monkeypatch.setattr(guided_filter, "bands_of", lambda *_, **__: iter(one_row))
    bands = list(upsampled_bands(scores, image))
    assert [rows for rows, _ in bands] == one_row
    torch.testing.assert_close(torch.cat([band for _, band in bands], dim=1)[None], whole)


@settings(max_examples=25, deadline=None)
@given(
    grid=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    size=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    classes=st.integers(1, 4),
)
def test_any_sizes(grid: tuple[int, int], size: tuple[int, int], classes: int) -> None:
    scores, image = random_scores(classes, *grid), random_image(*size)
    found = upsample(scores, image)
    assert found.shape == (1, classes, *size)
    assert found.isfinite().all()
    constant = upsample(torch.full_like(scores, 0.3), image)
    # Single precision, on images of a few noisy pixels.
    torch.testing.assert_close(constant, torch.full_like(constant, 0.3), atol=3e-4, rtol=0)


def test_upsampling_is_linear_and_treats_classes_alike() -> None:
    image = random_image(26, 41)
    one, other = random_scores(4, 4, 5, 1), random_scores(4, 4, 5, 2)
    apart = [upsample(scores, image) for scores in (one, other)]
    together = upsample(2 * one - 3 * other, image)
    torch.testing.assert_close(together, 2 * apart[0] - 3 * apart[1], atol=1e-4, rtol=1e-4)
    order = [2, 0, 3, 1]
    torch.testing.assert_close(upsample(one[:, order], image), apart[0][:, order])


@pytest.mark.parametrize("flip", [0, 1])
def test_a_mirrored_image_gives_mirrored_scores(flip: int) -> None:
    scores, image = random_scores(3, 4, 5), random_image(24, 40)
    found = upsample(scores, image)
    mirrored = upsample(scores.flip(2 + flip), np.flip(image, flip))
    torch.testing.assert_close(mirrored.flip(2 + flip), found, atol=1e-4, rtol=1e-4)


def test_scores_change_where_the_image_does() -> None:
    """Cells of 8 pixels, and an edge in the middle of one."""
    image = np.full((32, 48, 3), 60, np.uint8)
    image[:, 28:] = 180
    image += np.random.default_rng(0).integers(0, 9, image.shape, np.uint8)
    scores = torch.zeros(1, 2, 4, 6)
    scores[:, 0, :, :3], scores[:, 0, :, 3] = 1.0, 0.2
    scores[:, 1] = 1 - scores[:, 0]
    truth = (torch.arange(48) >= 28).long().expand(32, 48)
    found = upsample(scores, image)[0].argmax(dim=0)
    assert (found == truth).float().mean() > 0.995
    bilinear = enlarge(scores, (32, 48))[0].argmax(dim=0)
    assert (bilinear == truth).float().mean() < 0.97


def test_noise_alone_changes_little() -> None:
    """On a picture without edges a mask has as few specks as that of smooth scores."""
    random = np.random.default_rng(0)
    image = (128 + random.normal(0, 15, (64, 96, 3))).clip(0, 255).astype(np.uint8)
    scores = torch.zeros(1, 2, 8, 12)
    scores[:, 0, :, :6] = 1
    scores[:, 1, :, 6:] = 1
    found = upsample(scores, image)[0].argmax(dim=0)
    truth = (torch.arange(96) >= 48).long().expand(64, 96)
    away = (torch.arange(96) - 47.5).abs() > 8
    assert (found == truth)[:, away].all()


def test_a_plain_image_has_no_edges_to_follow() -> None:
    scores, image = random_scores(2, 5, 6), np.full((30, 36, 3), 77, np.uint8)
    found = upsample(scores, image)
    pooled = scores
    for radius in (guided_filter.RADIUS, guided_filter.AVERAGING):
        pooled = torch.nn.functional.avg_pool2d(
            pooled, 2 * radius + 1, 1, radius, count_include_pad=False
        )
    torch.testing.assert_close(found, enlarge(pooled, (30, 36)), atol=1e-4, rtol=1e-4)


def test_an_image_need_not_lie_in_order_in_memory() -> None:
    scores, image = random_scores(3, 4, 6), striped_image(0)
    turned = np.ascontiguousarray(image[:, ::-1])[:, ::-1]
    torch.testing.assert_close(
        upsample(scores, turned),
        upsample(scores, image),
    )


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_gives_the_same() -> None:
    scores, image = random_scores(5, 12, 16), random_image(97, 130)
    found = upsample(scores.cuda(), image)
    assert found.is_cuda
    expected = upsample(scores, image)
    torch.testing.assert_close(found.cpu(), expected, atol=1e-3, rtol=1e-3)


def test_other_shapes_are_refused() -> None:
    image = random_image(8, 8)
    for scores in (torch.zeros(2, 3, 4, 4), torch.zeros(3, 4, 4), torch.zeros(1, 0, 4, 4)):
        with pytest.raises(ValueError, match=r"give scores of shape \(1, classes, h, w\)"):
            upsample(scores, image)
        with pytest.raises(ValueError, match=r"give scores of shape \(1, classes, h, w\)"):
            upsampled_mask(scores, image, upsampling="bilinear")
    for picture in (image[..., 0], image[..., :2], image[:0]):
        with pytest.raises(ValueError, match=r"give an image of shape \(height, width, 3\)"):
            upsample(torch.zeros(1, 3, 2, 2), picture)


@pytest.mark.parametrize("detail", [0.0, 0.5, 1.0])
def test_detail_keeps_what_colour_does_not_explain(detail: float) -> None:
    generator = torch.Generator().manual_seed(0)
    scores, colours = torch.rand(2, 5, 6, generator=generator), torch.zeros(3, 5, 6)
    noise = 0.01 * torch.eye(3)
    averaged = linear_functions(scores, colours, noise)
    found = linear_functions(scores, colours, noise, detail=detail)
    # With one colour everywhere, functions are constants: averages, or the scores themselves.
    torch.testing.assert_close(found[3], torch.lerp(averaged[3], scores, detail))
    colours = torch.rand(3, 5, 6, generator=generator)
    functions = linear_functions(scores, colours, noise, detail=detail)
    plain = linear_functions(scores, colours, noise)
    torch.testing.assert_close(functions[:3], plain[:3])
    if detail == 1:
        values = functions[3] + (functions[:3] * colours[:, None]).sum(dim=0)
        torch.testing.assert_close(values, scores)

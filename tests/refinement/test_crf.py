"""The fully connected CRF: exact mean field, properties, refusals."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.helpers import striped_image

from segdistill.refinement import permutohedral
from segdistill.refinement.crf import (
    CrfSettings,
    dense_crf,
    gaussian_filter,
    pixel_positions,
    weighted_lattice,
)
from segdistill.refinement.permutohedral import build_lattice, elevate, enclosing_simplices

WIDE = CrfSettings(bilateral_sxy=8, bilateral_srgb=40)
"""Kernels wide enough for the small pictures here to be more than lone points."""


def random_scores(classes: int, height: int, width: int, batch: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(batch, classes, height, width, generator=generator)
    return logits.mul(1.5).log_softmax(1)


def picture(height: int, width: int, seed: int = 0) -> torch.Tensor:
    """A striped picture of shape (1, 3, height, width)."""
    return torch.from_numpy(striped_image(seed, height, width)).permute(2, 0, 1)[None]


def exact_marginals(
    log_probabilities: NDArray[np.float64], image: NDArray[np.uint8], settings: CrfSettings
) -> NDArray[np.float64]:
    """Mean field by the paper's sums over all pairs: (classes, h, w) to the same."""
    classes, height, width = log_probabilities.shape
    rows, columns = np.mgrid[:height, :width]
    places = np.stack([columns, rows], -1).reshape(-1, 2).astype(np.float64)
    colours = image.reshape(-1, 3) / settings.bilateral_srgb
    message = np.zeros((height * width, height * width))
    for weight, features in (
        (settings.gaussian_weight, places / settings.gaussian_sxy),
        (settings.bilateral_weight, np.hstack([places / settings.bilateral_sxy, colours])),
    ):
        squares = ((features[:, None] - features[None]) ** 2).sum(-1)
        kernel = np.exp(-squares / 2)
        norm = kernel.sum(1) ** -0.5
        message += weight * norm[:, None] * kernel * norm[None]
    unary = log_probabilities.reshape(classes, -1).T
    marginals = np.exp(unary)
    for _ in range(settings.iterations):
        energies = unary + message @ marginals
        marginals = np.exp(energies - energies.max(1, keepdims=True))
        marginals /= marginals.sum(1, keepdims=True)
    return marginals.T.reshape(classes, height, width)


def test_near_exact_mean_field() -> None:
    scores, image = random_scores(3, 10, 12), picture(10, 12)
    exact = exact_marginals(scores[0].double().numpy(), image[0].permute(1, 2, 0).numpy(), WIDE)
    found = dense_crf(scores, image, WIDE)[0].numpy()
    before = scores[0].exp().numpy()
    assert np.abs(before - exact).mean() > 0.3
    assert np.abs(found - exact).mean() < 0.01
    assert np.abs(found - exact).max() < 0.15


@pytest.mark.parametrize("dimensions", [1, 2, 3, 5])
def test_filter_near_gaussian_sums(dimensions: int) -> None:
    generator = torch.Generator().manual_seed(0)
    positions = torch.randn(dimensions, 400, generator=generator)
    values = torch.rand(400, 2, generator=generator)
    distances = torch.cdist(positions.T, positions.T)
    kernel = torch.exp(-(distances**2) / 2)
    lattice, ones = build_lattice(positions), torch.ones(400, 1)
    # The lattice keeps the kernel's shape, less its height: compare weighted means.
    exact = (kernel @ values) / (kernel @ ones)
    found = lattice.filter(values) / lattice.filter(ones)
    assert (found - exact).abs().mean() < 0.4 * (values.mean(0) - exact).abs().mean()


@pytest.mark.parametrize(("height", "width"), [(5, 7), (21, 8), (22, 8), (60, 33)])
def test_repeated_rows_equal_the_whole_lattice(height: int, width: int) -> None:
    device = torch.device("cpu")
    values = torch.rand(height * width, 3, generator=torch.Generator().manual_seed(0))
    whole = weighted_lattice(build_lattice(pixel_positions(height, width, device)), 3.0)
    repeated = gaussian_filter(height, width, 1.0, 3.0, device)
    assert torch.allclose(repeated(values), whole.filter(values), atol=1e-5)


def test_other_deviations_take_the_lattice() -> None:
    values = torch.rand(90, 3, generator=torch.Generator().manual_seed(0))
    found = gaussian_filter(9, 10, 2.0, 1.0, torch.device("cpu"))(values)
    assert found.std(0).max() < 0.5 * values.std(0).min()


def test_simplices_enclose_their_points() -> None:
    positions = torch.randn(5, 300, generator=torch.Generator().manual_seed(1)) * 20
    keys, weights, steps = enclosing_simplices(elevate(positions))
    assert weights.min() > -1e-5
    assert torch.allclose(weights.sum(0), torch.ones(300), atol=1e-5)
    assert sum(steps) == 0
    # From a vertex to the next by one direction backwards, each direction once.
    taken = (keys[:-1] - keys[1:]).sort(0)[0]
    assert all(set(column.tolist()) <= set(steps) for column in taken.T)
    assert all(len(set(column.tolist())) == 5 for column in taken.T)


def test_wide_keys_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    near = torch.randn(4, 50, generator=torch.Generator().manual_seed(1))
    far = torch.full((4, 1), 40_000.0)
    lattice = build_lattice(torch.cat([near, far], dim=1))
    values = torch.rand(51, 3)
    alone = build_lattice(near).filter(values[:50])
    assert enclosing_simplices(elevate(torch.cat([near, far], dim=1)))[0].dtype == torch.int64
    assert torch.allclose(lattice.filter(values)[:50], alone, atol=1e-5)
    monkeypatch.setattr(permutohedral, "GROUP_BYTES", 1)
    assert torch.allclose(lattice.filter(values)[:50], alone, atol=1e-5)


def test_marginals_sum_to_one() -> None:
    marginals = dense_crf(random_scores(5, 17, 23, batch=2), picture(17, 23).repeat(2, 1, 1, 1))
    assert marginals.shape == (2, 5, 17, 23)
    assert marginals.min() >= 0
    assert torch.allclose(marginals.sum(1), torch.ones(2, 17, 23), atol=1e-5)


@pytest.mark.parametrize(
    "settings", [CrfSettings(iterations=0), CrfSettings(gaussian_weight=0, bilateral_weight=0)]
)
def test_without_pairs_nothing_changes(settings: CrfSettings) -> None:
    scores = random_scores(4, 9, 11)
    found = dense_crf(scores + 7, picture(9, 11), settings)
    assert torch.allclose(found, scores.softmax(1), atol=1e-6)


def test_batch_equals_one_by_one() -> None:
    scores = random_scores(3, 16, 20, batch=2)
    images = torch.cat([picture(16, 20, 0), picture(16, 20, 1)])
    together = dense_crf(scores, images, WIDE)
    alone = [dense_crf(scores[i : i + 1], images[i : i + 1], WIDE) for i in range(2)]
    assert torch.equal(together, torch.cat(alone))


def test_float_images_equal_bytes() -> None:
    scores, image = random_scores(3, 12, 12), picture(12, 12)
    assert torch.equal(dense_crf(scores, image), dense_crf(scores, image.double()))


def test_order_of_classes_does_not_matter() -> None:
    scores, image, order = random_scores(4, 14, 18), picture(14, 18), [2, 0, 3, 1]
    found = dense_crf(scores[:, order], image, WIDE)
    assert torch.allclose(found, dense_crf(scores, image, WIDE)[:, order], atol=1e-5)


def test_plain_image_smooths() -> None:
    scores = torch.tensor([1.0, 0.0])[:, None, None].repeat(1, 20, 20)
    scores[:, 10, 10] = torch.tensor([0.0, 2.0])
    found = dense_crf(scores[None], torch.full((1, 3, 20, 20), 90.0))
    assert torch.all(found[0].argmax(0) == 0)


def test_edges_stop_smoothing() -> None:
    image = torch.zeros(1, 3, 24, 24)
    image[..., 12:] = 200
    scores = torch.zeros(1, 2, 24, 24)
    scores[:, 0, :, :10] = 2
    scores[:, 1, :, 15:] = 2
    labels = dense_crf(scores, image)[0].argmax(0)
    assert torch.equal(labels, (torch.arange(24) >= 12).long().expand(24, 24))


def test_large_weights_stay_finite() -> None:
    settings = CrfSettings(gaussian_weight=300, bilateral_weight=400)
    found = dense_crf(random_scores(3, 16, 16), picture(16, 16), settings)
    assert torch.allclose(found.sum(1), torch.ones(1, 16, 16), atol=1e-5)


def test_no_gradient() -> None:
    scores = random_scores(2, 6, 6).requires_grad_()
    assert not dense_crf(scores, picture(6, 6)).requires_grad


@pytest.mark.parametrize(
    ("scores", "images"),
    [
        ((2, 4, 4), (1, 3, 4, 4)),
        ((1, 2, 4, 4), (3, 4, 4)),
        ((1, 2, 4, 4), (1, 1, 4, 4)),
        ((1, 2, 4, 4), (2, 3, 4, 4)),
        ((1, 2, 4, 4), (1, 3, 4, 5)),
        ((1, 0, 4, 4), (1, 3, 4, 4)),
    ],
)
def test_refuses_shapes(scores: tuple[int, ...], images: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="scores"):
        dense_crf(torch.zeros(scores), torch.zeros(images))


def test_refuses_settings() -> None:
    with pytest.raises(ValueError, match="bilateral_srgb"):
        CrfSettings(bilateral_srgb=0)
    with pytest.raises(ValueError, match="weights"):
        CrfSettings(gaussian_weight=-1)


@pytest.mark.parametrize("deviation", [1e-3, 1e-9])
def test_refuses_deviations_too_small_for_the_lattice(deviation: float) -> None:
    noise = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 255
    with pytest.raises(ValueError, match="larger deviations"):
        dense_crf(
            random_scores(2, 32, 32),
            noise,
            CrfSettings(bilateral_sxy=deviation, bilateral_srgb=deviation),
        )

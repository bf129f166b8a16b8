"""Masks of the guided filter, against the scores of all pixels."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.helpers import striped_image

from segdistill.model import guided_mask as module
from segdistill.model.guided_filter import guided_bands
from segdistill.model.guided_mask import guided_mask, possible_classes


def random_picture(height: int, width: int, seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def all_scores(scores: torch.Tensor, image: NDArray[np.uint8]) -> torch.Tensor:
    return torch.cat([band for _, band in guided_bands(scores, image)], dim=1)


def plain_possible(
    best: NDArray[np.int64], size: tuple[int, int], classes: int
) -> NDArray[np.bool_]:
    """Which classes are the best in one of the 16 cells whose middles are around each pixel."""
    h, w = best.shape
    possible = np.zeros((classes, *size), np.bool_)
    for row in range(size[0]):
        for column in range(size[1]):
            above = int(np.floor((row + 0.5) * (h / size[0]) - 0.5))
            left = int(np.floor((column + 0.5) * (w / size[1]) - 0.5))
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
    found = guided_mask(scores, image)
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
    found = guided_mask(scores, image)
    whole = all_scores(scores, image).argmax(dim=0).numpy()
    assert (found == whole).mean() > 0.97


def test_the_size_of_what_is_worked_on_at_once_does_not_matter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scores = torch.rand(1, 4, 6, 8, generator=torch.Generator().manual_seed(0))
    image = striped_image(0, 65, 97)
    expected = guided_mask(scores, image)
    monkeypatch.setattr(module, "MAX_VALUES", 1)
    np.testing.assert_array_equal(guided_mask(scores, image), expected)


def test_a_single_class_fills_the_mask() -> None:
    assert not guided_mask(torch.zeros(1, 1, 3, 4), striped_image(0)).any()
    assert possible_classes(torch.zeros(3, 3, 4)).sum() == 4 * 5

"""The best class of each pixel: as if all scores had been enlarged."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segdistill.images.resize import enlarge
from segdistill.model.bilinear_mask import bilinear_mask, enlarged_argmax, possible_classes


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


def test_a_class_best_only_between_places_is_found() -> None:
    """Nowhere the best on the grid, but in the middle between two others that fall away."""
    scores = np.array([[[1.0, 0.0]], [[0.0, 1.0]], [[0.7, 0.7]]], np.float32)
    assert enlarged_argmax(scores, (1, 12))[0].tolist() == [0] * 5 + [2] * 2 + [1] * 5


def test_of_equal_classes_the_first_is_taken() -> None:
    scores = np.zeros((4, 3, 3), np.float32)
    scores[1:3] = 1
    assert np.unique(enlarged_argmax(scores, (20, 30))).tolist() == [1]


@settings(max_examples=50, deadline=None)
@given(classes=st.integers(1, 9), seed=st.integers(0, 999))
def test_no_possible_class_is_left_out(classes: int, seed: int) -> None:
    corners = np.random.default_rng(seed).normal(size=(20, 4, classes)).astype(np.float32)
    shares = np.linspace(0, 1, 11)
    down, right = np.meshgrid(shares, shares)
    weights = np.stack([(1 - down) * (1 - right), (1 - down) * right, down * (1 - right)])
    weights = np.concatenate([weights, (down * right)[None]]).reshape(4, -1)
    winners = np.einsum("gpc,ps->gsc", corners, weights).argmax(axis=2)  # (gaps, points)
    possible = possible_classes(corners)
    assert np.take_along_axis(possible, winners, axis=1).all()

"""The correspondence loss, against golden values and a plain form."""

import itertools
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.helpers import golden

from segdistill.objective.correspondence import (
    centre_pointwise,
    clamp_code_correlation,
    correspondence,
    correspondence_loss,
    quantile_shift,
    unit_vectors,
)

assert_close = partial(torch.testing.assert_close, atol=1e-5, rtol=1e-5)


def flat(maps: torch.Tensor) -> torch.Tensor:
    """(batch, channels, rows, columns) -> (batch, locations, channels)."""
    return maps.flatten(2).mT


def plain_correspondence(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    result = torch.empty(len(first), first.shape[1], second.shape[1])
    for b, p, q in itertools.product(*map(range, result.shape)):
        result[b, p, q] = torch.cosine_similarity(first[b, p], second[b, q], dim=0)
    return result


@pytest.mark.parametrize("pointwise", [False, True])
@pytest.mark.parametrize("zero_clamp", [False, True])
@pytest.mark.parametrize("stabilize", [False, True])
def test_loss_and_gradient_are_golden(pointwise: bool, zero_clamp: bool, stabilize: bool) -> None:
    values = golden("correlation")
    key = f"pointwise{pointwise:d}_clamp{zero_clamp:d}_stabilize{stabilize:d}"
    codes = values["c1"].clone().requires_grad_()
    loss = correspondence_loss(
        correspondence(flat(values["f1"]), flat(values["f2"])),
        correspondence(flat(codes), flat(values["c2"])),
        values["shift"],
        pointwise=pointwise,
        zero_clamp=zero_clamp,
        stabilize=stabilize,
    )
    by_location = loss.reshape(4, 11, 11, 11, 11)
    assert_close(by_location[:1, :2], values[f"loss_{key}"])
    assert loss.double().mean().item() == pytest.approx(values[f"loss_{key}_mean"], abs=1e-6)
    (gradient,) = torch.autograd.grad(loss.mean(), codes)
    # Gradients of a mean over 58 564 pairs are tiny, so the tolerance is relative to the largest.
    expected = values[f"grad1_{key}"]
    assert (gradient - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_correspondence_is_golden_and_plain() -> None:
    values = golden("correlation")
    result = correspondence(flat(values["c1"]), flat(values["c2"]))
    assert_close(result.reshape(4, 11, 11, 11, 11)[:1, :2], values["code_correlation"])
    first, second = torch.randn(2, 3, 5), torch.randn(2, 4, 5)
    assert_close(correspondence(first, second), plain_correspondence(first, second))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**16), batch=st.integers(1, 3), locations=st.integers(1, 6))
def test_centring_keeps_the_mean_and_evens_out_locations(
    seed: int, batch: int, locations: int
) -> None:
    correlation = torch.randn(
        batch, locations, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.double
    )
    centred = centre_pointwise(correlation)
    torch.testing.assert_close(centred.mean(), correlation.mean())
    row_means = centred.mean(dim=2)
    torch.testing.assert_close(row_means, row_means.mean().expand_as(row_means))


def test_clamps() -> None:
    values = torch.tensor([-0.5, 0.3, 0.9])
    assert clamp_code_correlation(values).tolist() == pytest.approx([0, 0.3, 0.9])
    assert clamp_code_correlation(values, stabilize=True).tolist() == pytest.approx([0, 0.3, 0.8])
    assert clamp_code_correlation(values, zero_clamp=False).tolist() == pytest.approx(
        [-0.5, 0.3, 0.9]
    )


@settings(max_examples=30, deadline=None)
@given(quantile=st.floats(0, 1), count=st.integers(1, 200))
def test_quantile_shift_leaves_the_share_below(quantile: float, count: int) -> None:
    values = torch.randperm(count).double()
    shift = quantile_shift(values, quantile)
    share = (values <= shift).double().mean().item()
    assert abs(share - quantile) <= 1 / count + 1e-9


def test_vectors_shorter_than_the_released_limit_stay_short() -> None:
    vectors = torch.tensor([[[1e-11, 0.0], [0.0, 3e-10], [0.0, 0.0]]])
    expected = torch.tensor([[[0.1, 0.0], [0.0, 1.0], [0.0, 0.0]]])
    torch.testing.assert_close(unit_vectors(vectors), expected)

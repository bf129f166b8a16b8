"""Local hidden positives, against golden values and plain forms."""

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.helpers import golden

from segdistill.objective import local_hidden_positives
from segdistill.objective.local_hidden_positives import (
    attention_weights,
    near_weights,
    released_attention_weights,
    released_near_weights,
)
from segdistill.objective.scene_geometry import released_unprojection


def projected(codes: torch.Tensor, values: dict[str, Any]) -> torch.Tensor:
    """The released program's second head, as (batch, channels, 8, 8)."""
    hidden = F.linear(codes, values["w/0.weight"][:, :, 0, 0], values["w/0.bias"]).relu()
    result = F.linear(hidden, values["w/2.weight"][:, :, 0, 0], values["w/2.bias"])
    return result.mT.reshape(*result.mT.shape[:2], 8, 8)


def test_the_released_forms_are_golden() -> None:
    values = golden("local_hidden_positives")
    codes = values["code"].flatten(2).mT  # (batch, channels, 8, 8) -> (batch, locations, channels)
    by_attention = released_attention_weights(values["attention"][:, :, 1:, 1:])  # no class token
    points = released_unprojection(F.adaptive_avg_pool2d(values["depth"][:, 0], (8, 8)))
    for weights, expected in (
        (by_attention, values["out_attention"]),
        (released_near_weights(points), values["out_depth"]),
    ):
        result = projected(weights @ codes, values)
        torch.testing.assert_close(result, expected, atol=1e-5, rtol=0)


def test_released_nearness_counts_locations_in_one_spot_alike() -> None:
    points = torch.tensor([[[0.0, 0, 1], [0, 0, 1], [0, 0, 2]]])
    expected = torch.tensor([[[1.0, 1, 0], [1, 1, 0], [0, 0, 1]]]) / 3
    torch.testing.assert_close(released_near_weights(points), expected)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**16), locations=st.integers(2, 8), reach=st.floats(0.05, 3))
def test_near_weights_are_the_plain_form(seed: int, locations: int, reach: float) -> None:
    points = torch.randn(2, locations, 3, generator=torch.Generator().manual_seed(seed))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local_hidden_positives, "REACH", reach)
        weights = near_weights(points)
    for image in range(2):
        apart = [[math.dist(p, q) for q in points[image].tolist()] for p in points[image].tolist()]
        pairs = sorted(apart[p][q] for p in range(locations) for q in range(p))
        scale = reach * pairs[(len(pairs) - 1) // 2]
        kernel = torch.tensor([[math.exp(-((d / scale) ** 2) / 2) for d in row] for row in apart])
        expected = kernel / kernel.sum(dim=1, keepdim=True)
        torch.testing.assert_close(weights[image], expected, atol=1e-4, rtol=1e-3)


def test_units_and_camera_do_not_matter() -> None:
    points = torch.randn(1, 9, 3, generator=torch.Generator().manual_seed(0))
    moved = 100 * points.flip(dims=(2,)) - 7
    torch.testing.assert_close(near_weights(moved), near_weights(points), atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("locations", [1, 4])
def test_locations_of_unknown_position_count_for_themselves(locations: int) -> None:
    weights = near_weights(torch.full((1, locations, 3), math.nan))
    assert weights.equal(torch.eye(locations)[None])


def test_a_location_of_unknown_position_leaves_the_others_alone() -> None:
    points = torch.randn(1, 6, 3, generator=torch.Generator().manual_seed(0))
    points[0, 5, 2] = math.inf
    weights = near_weights(points)
    torch.testing.assert_close(weights[:, :5, :5], near_weights(points[:, :5]))
    assert weights[0, 5].tolist() == [0, 0, 0, 0, 0, 1]
    assert (weights[0, :5, 5] == 0).all()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**16), locations=st.integers(1, 8), heads=st.integers(1, 4))
def test_attention_weights_are_the_plain_form(seed: int, locations: int, heads: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    attention = torch.randn(2, heads, locations, locations, generator=generator).softmax(dim=3)
    weights = attention_weights(attention)
    torch.testing.assert_close(weights.sum(dim=2), torch.ones(2, locations))
    for image in range(2):
        for location in range(locations):
            row = [attention[image, :, location, q].mean().item() for q in range(locations)]
            mean = sum(row) / locations
            if min(abs(value - mean) for value in row) < 1e-6:
                continue  # which side of the mean is a matter of rounding
            kept = [value if value > mean else 0.0 for value in row]
            expected = [value / sum(kept) for value in kept]
            assert weights[image, location].tolist() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("weigh", [attention_weights, released_attention_weights])
def test_even_attention_is_no_trouble(weigh: Any) -> None:
    assert weigh(torch.full((1, 2, 5, 5), 0.2)).isfinite().all()

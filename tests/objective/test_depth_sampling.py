"""Sampling by depth: shares of depth, and farthest cells in space and features."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segdistill.objective import depth_sampling
from segdistill.objective.depth_sampling import (
    _main_directions,
    depth_and_feature_cells,
    depth_histogram_cells,
    farthest_points,
)

SEEDS = st.integers(0, 2**16)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, count=st.integers(1, 130), bins=st.integers(1, 12), skew=st.floats(0.2, 6))
def test_every_depth_that_occurs_has_the_same_share(
    seed: int, count: int, bins: int, skew: float
) -> None:
    depth = torch.rand(2, 12, 9, generator=seeded(seed)) ** skew
    depth[0, 0, 0] = math.nan
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(depth_sampling, "BINS", bins)
        cells = depth_histogram_cells(depth, count, generator=seeded(seed))
    for image in range(2):
        flat = depth[image].flatten()
        known = flat[flat.isfinite()]
        scaled = (flat - known.min()) / (known.max() - known.min())
        of_cell = (scaled * bins).floor().clamp(max=bins - 1)
        number = of_cell[of_cell.isfinite()].long().bincount(minlength=bins)
        drawn = of_cell[cells[image]]
        assert drawn.isfinite().all()
        share = count / (number > 0).sum().item()
        for bin_, size in enumerate(number.tolist()):
            times = (drawn == bin_).sum().item()
            assert abs(times - share) < 1 + 1e-6 if size else times == 0
            each = cells[image][drawn == bin_].bincount()
            if len(each):
                assert each.max() <= math.ceil(share / size) + (share > size)


def test_cells_of_one_depth_are_drawn_once_each_in_random_order() -> None:
    cells = depth_histogram_cells(torch.ones(1, 5, 6), 30, generator=seeded(0))
    assert cells[0].sort().values.equal(torch.arange(30))
    assert not cells[0].equal(torch.arange(30))


def test_an_image_without_depth_is_drawn_from_evenly() -> None:
    depth = torch.stack([torch.full((4, 5), math.nan), torch.rand(4, 5)])
    cells = depth_histogram_cells(depth, 20, generator=seeded(1))
    assert cells[0].sort().values.equal(torch.arange(20))


def test_draws_repeat_and_differ_between_images() -> None:
    depth = torch.rand(1, 8, 8, generator=seeded(0)).expand(2, 8, 8)
    first, second = (depth_histogram_cells(depth, 20, generator=seeded(7)) for _ in range(2))
    assert first.equal(second)
    assert not first[0].equal(first[1])


def test_nothing_to_draw() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        depth_histogram_cells(torch.rand(1, 2, 2), 0)


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS, count=st.integers(1, 30))
def test_where_features_agree_cells_are_the_farthest_points(seed: int, count: int) -> None:
    points = torch.randn(2, 30, 3, generator=seeded(seed))
    drawn = depth_and_feature_cells(points, torch.ones(2, 30, 8), count, generator=seeded(seed))
    # The same but for ties within rounding: the gaps between points taken say so.
    first = drawn[:, 0]
    expected = farthest_points(points, count, first=first)
    for image in range(2):
        chosen, reference = points[image, drawn[image]], points[image, expected[image]]
        for rank in range(1, min(count, 5)):
            gaps = [torch.cdist(x[rank : rank + 1], x[:rank]).min() for x in (chosen, reference)]
            torch.testing.assert_close(*gaps, atol=1e-4, rtol=1e-4)


def test_features_alone_reach_every_kind_of_cell_first() -> None:
    kinds = torch.arange(40) % 5
    features = torch.eye(5)[kinds] * (1 + torch.rand(40, 1, generator=seeded(0)))  # lengths vary
    one_spot = torch.ones(1, 40, 3)
    cells = depth_and_feature_cells(one_spot, features[None], 5, generator=seeded(2))
    assert set(kinds[cells[0]].tolist()) == {0, 1, 2, 3, 4}


def test_both_sides_count() -> None:
    # Two walls, one of them of two materials: three kinds of cell, separated only by both.
    points = torch.tensor([[[0.0, 0, 1]] * 4 + [[0.0, 0, 1]] * 4 + [[0.0, 0, 3]] * 4])
    features = torch.tensor([[[1.0, 0]] * 4 + [[0.0, 1]] * 4 + [[1.0, 0]] * 4])
    for seed in range(10):
        cells = depth_and_feature_cells(points, features, 3, generator=seeded(seed))
        assert set((cells[0] // 4).tolist()) == {0, 1, 2}


def test_units_do_not_matter() -> None:
    points = torch.randn(2, 50, 3, generator=seeded(0))
    features = torch.randn(2, 50, 40, generator=seeded(1))
    first, second = (
        depth_and_feature_cells(points * scale, features * scale, 20, generator=seeded(3))
        for scale in (1.0, 1024.0)
    )
    assert first.equal(second)


def test_unknown_cells_are_never_taken_nor_change_the_rest() -> None:
    points = torch.randn(1, 30, 3, generator=seeded(0))
    features = torch.randn(1, 30, 6, generator=seeded(1))
    points[0, 3] = math.nan
    points[0, 10:, 1] = math.inf
    cells = depth_and_feature_cells(points, features, 9, generator=seeded(2))
    assert sorted(cells[0].tolist()) == [0, 1, 2, 4, 5, 6, 7, 8, 9]


def test_many_channels_are_reduced_without_loss_where_few_matter() -> None:
    mixing = torch.randn(6, 100, generator=seeded(0))
    features = torch.randn(2, 50, 6, generator=seeded(1)) @ mixing
    reduced = _main_directions(features, seeded(2))
    directions = torch.nn.functional.normalize(features, dim=2)
    assert reduced.shape == (2, 50, 16)
    torch.testing.assert_close(
        torch.cdist(reduced, reduced), torch.cdist(directions, directions), atol=2e-3, rtol=1e-3
    )


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS, channels=st.integers(2, 16), unknown=st.integers(0, 5))
def test_each_cell_is_the_farthest_in_space_and_features(
    seed: int, channels: int, unknown: int
) -> None:
    """Against the distance that is documented, with all pairs of known cells in a table."""
    points = torch.randn(1, 20, 3, generator=seeded(seed)).double()
    features = torch.randn(1, 20, channels, generator=seeded(seed + 1)).double() + 0.5
    points[0, :unknown] = math.nan
    drawn = depth_and_feature_cells(points, features, 8, generator=seeded(seed))[0]
    directions = features[0] / features[0].norm(dim=1, keepdim=True)
    known = points[0].isfinite().all(dim=1)

    def scaled(vectors: torch.Tensor) -> torch.Tensor:
        squares = (vectors[:, None] - vectors[None]).square().sum(dim=2)
        return squares / (2 * squares[known][:, known].mean())

    distance = scaled(points[0].nan_to_num()) + scaled(directions)
    assert known[drawn].all()
    for rank in range(1, 8):
        gaps = distance[:, drawn[:rank]].amin(dim=1).where(known, -1.0)
        assert gaps[drawn[rank]].item() == pytest.approx(gaps.max().item(), rel=1e-4)


def test_long_features_do_not_decide_what_is_kept() -> None:
    # 60 cells of length 1 in six dimensions; 20 cells a thousand times as long in others.
    few = torch.nn.functional.normalize(torch.randn(60, 6, generator=seeded(0)), dim=1)
    features = torch.zeros(1, 80, 100)
    features[0, :60, :6] = few
    features[0, 60:, 20:40] = 1000 * torch.eye(20)
    reduced = _main_directions(features, seeded(1))[0]
    torch.testing.assert_close(
        torch.cdist(reduced[:60], reduced[:60]), torch.cdist(few, few), atol=0.05, rtol=0
    )


def test_zero_features_and_a_single_cell() -> None:
    points = torch.zeros(2, 1, 3)
    cells = depth_and_feature_cells(points, torch.zeros(2, 1, 20), 3, generator=seeded(0))
    assert cells.tolist() == [[0, 0, 0]] * 2
    wall = torch.zeros(1, 6, 3)
    wall[0, 4, 2] = 1.0
    found = depth_and_feature_cells(wall, torch.zeros(1, 6, 4), 2, generator=seeded(0))
    assert 4 in found[0].tolist()


def test_images_of_a_batch_start_anywhere_by_themselves() -> None:
    # One cell near, one far, one draw: which of the two it is depends on the image's own start.
    depth = torch.tensor([[[1.0, 2.0]]]).expand(64, 1, 2)
    near = (depth_histogram_cells(depth, 1, generator=seeded(0)) == 0).sum().item()
    assert 16 < near < 48

"""Farthest point sampling, against golden values, a plain form and what it promises."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.helpers import golden
from tests.plain.farthest_points import plain_farthest_points

from segdistill.objective.depth_sampling import farthest_points

SEEDS = st.integers(0, 2**16)


def lattice(seed: int, batch: int, count: int) -> torch.Tensor:
    """Different points with small whole coordinates: distances are exact, so ties stay ties."""
    generator = torch.Generator().manual_seed(seed)
    cells = torch.stack([torch.randperm(10**3, generator=generator)[:count] for _ in range(batch)])
    return torch.stack([cells // 100, cells // 10 % 10, cells % 10], dim=2).float()


def test_order_is_golden() -> None:
    values = golden("farthest_point_sampling")
    order = farthest_points(values["points"][None], int(values["n"]), first=torch.tensor([0]))
    assert order[0].equal(values["order"])


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, batch=st.integers(1, 3), count=st.integers(1, 30), data=st.data())
def test_order_is_the_plain_form(seed: int, batch: int, count: int, data: st.DataObject) -> None:
    points = lattice(seed, batch, count)
    taken = data.draw(st.integers(1, count))
    first = torch.tensor([data.draw(st.integers(0, count - 1)) for _ in range(batch)])
    order = farthest_points(points, taken, first=first)
    for image in range(batch):
        expected = plain_farthest_points(points[image].double().numpy(), taken, int(first[image]))
        assert order[image].tolist() == expected


@pytest.mark.parametrize("dimensions", [1, 3, 19])
def test_a_whole_grid_in_any_number_of_dimensions(dimensions: int) -> None:
    generator = torch.Generator().manual_seed(dimensions)
    points = torch.randn(4, 784, dimensions, generator=generator)
    order = farthest_points(points, 121, first=torch.zeros(4, dtype=torch.long))
    for image in range(4):
        assert order[image].tolist() == plain_farthest_points(points[image].numpy(), 121, 0)


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, shift=st.tuples(*[st.integers(-40, 40)] * 3), axis=st.integers(0, 2))
def test_moving_and_turning_the_scene_changes_nothing(
    seed: int, shift: tuple[int, int, int], axis: int
) -> None:
    points = lattice(seed, 2, 25)
    first = torch.tensor([3, 7])
    expected = farthest_points(points, 25, first=first)
    # Five times a turn by the angle of the triangle of sides 3, 4 and 5: exact in whole numbers.
    turn = torch.tensor([[3.0, -4.0, 0.0], [4.0, 3.0, 0.0], [0.0, 0.0, 5.0]]).roll(
        (axis, axis), dims=(0, 1)
    )
    moved = points @ turn.mT + torch.tensor(shift, dtype=torch.float)
    assert farthest_points(moved, 25, first=first).equal(expected)


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS, count=st.integers(2, 40))
def test_points_cover_ever_more_finely(seed: int, count: int) -> None:
    points = torch.randn(1, 40, 3, generator=torch.Generator().manual_seed(seed))
    chosen = points[0, farthest_points(points, count, first=torch.tensor([0]))[0]]
    apart = torch.cdist(chosen.double(), chosen.double())
    gaps = torch.stack([apart[rank, :rank].min() for rank in range(1, count)])
    assert (gaps.diff() <= 1e-6).all()
    # No point is farther from those taken than the last of them was from the others.
    uncovered = torch.cdist(points[0].double(), chosen.double()).amin(dim=1).max()
    assert uncovered <= gaps[-1] + 1e-6


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS, usable=st.integers(1, 12), count=st.integers(1, 15))
def test_only_valid_points_are_taken_each_as_often(seed: int, usable: int, count: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    points = lattice(seed, 1, 12)
    valid = torch.zeros(1, 12, dtype=torch.bool)
    valid[0, torch.randperm(12, generator=generator)[:usable]] = True
    order = farthest_points(points, count, valid=valid, generator=generator)[0]
    assert valid[0, order].all()
    assert len(set(order[:usable].tolist())) == min(usable, count)
    assert order[usable:].equal(order[: max(count - usable, 0)])
    # As if the others weren't there.
    kept = valid[0].nonzero()[:, 0]
    first = (kept == order[0]).nonzero()[:, 0]
    alone = farthest_points(points[:, kept], min(count, usable), first=first)[0]
    assert kept[alone].equal(order[:usable])


def test_points_that_are_not_finite_are_never_taken() -> None:
    points = lattice(0, 2, 20)
    points[0, ::2, 1] = math.nan
    points[1, 5:, 0] = math.inf
    order = farthest_points(points, 20)
    assert (order[0] % 2 == 1).all()
    assert (order[1] < 5).all()


def test_points_in_one_spot_are_still_taken_once_each() -> None:
    order = farthest_points(torch.zeros(1, 6, 3), 6, first=torch.tensor([2]))
    assert sorted(order[0].tolist()) == list(range(6))


def test_first_points_are_drawn_evenly_and_repeatably() -> None:
    points = lattice(0, 1, 4).expand(800, 4, 3)
    drawn = [
        farthest_points(points, 1, generator=torch.Generator().manual_seed(5)) for _ in range(2)
    ]
    assert drawn[0].equal(drawn[1])
    assert drawn[0].flatten().bincount().min() > 150


def test_nothing_to_take() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        farthest_points(torch.zeros(1, 3, 3), 0)
    with pytest.raises(ValueError, match="at least 1"):
        farthest_points(torch.zeros(1, 0, 3), 2)

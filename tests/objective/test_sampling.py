"""Sampling locations, against golden values and the plain form."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.helpers import golden
from tests.plain.sampling import sample_map

from segdistill.objective.sampling import (
    bilinear_neighbours,
    locations_of_cells,
    locations_of_shares,
    permutation_without_fixed_points,
    random_locations,
    released_locations_of_cells,
    shares_of_locations,
)


def test_sampling_is_golden() -> None:
    values = golden("sample")
    # The released code holds locations as rows of columns and swaps them when it samples.
    sampled = sample_map(values["map"], values["coords"].permute(0, 2, 1, 3))
    torch.testing.assert_close(sampled, values["sampled"], atol=1e-5, rtol=1e-5)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**16), height=st.integers(1, 7), width=st.integers(1, 7))
def test_neighbours_give_what_sampling_the_map_gives(seed: int, height: int, width: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    maps = torch.randn(1, 3, height, width, generator=generator)
    # Somewhat beyond the borders, where the value at the border counts.
    locations = random_locations(1, 9, generator=generator) * 1.2
    cells, weights = bilinear_neighbours(locations[0], height, width)
    rows = maps[0].flatten(1).mT  # (3, h, w) -> (h * w, 3)
    read = (rows[cells] * weights[..., None]).sum(dim=1)
    expected = sample_map(maps, locations[:, None])[0, :, 0].mT
    torch.testing.assert_close(read, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(9))


def test_neighbours_in_maps_of_several_sizes_are_those_of_each_map() -> None:
    locations, sizes = random_locations(3, 9) * 1.2, torch.tensor([[2, 5], [1, 1], [4, 3]])
    together = bilinear_neighbours(locations, *sizes.mT.unsqueeze(-1))
    for image, size in enumerate(sizes.tolist()):
        alone = bilinear_neighbours(locations[image], *size)
        assert all(torch.equal(many[image], one) for many, one in zip(together, alone, strict=True))


@given(seed=st.integers(0, 2**16), count=st.integers(2, 20))
def test_partners_are_never_the_image_itself(seed: int, count: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    partners = permutation_without_fixed_points(count, generator=generator)
    assert (partners != torch.arange(count)).all()
    assert ((partners >= 0) & (partners < count)).all()


def test_one_image_has_no_partner() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        permutation_without_fixed_points(1)


def test_locations_are_drawn_evenly_and_repeatably() -> None:
    drawn = [random_locations(4, 500, generator=torch.Generator().manual_seed(3)) for _ in range(2)]
    torch.testing.assert_close(*drawn)
    assert drawn[0].min() >= -1
    assert drawn[0].max() <= 1
    assert drawn[0].mean().abs() < 0.05


@settings(max_examples=30, deadline=None)
@given(height=st.integers(1, 6), width=st.integers(1, 6))
def test_maps_read_at_locations_of_cells_give_the_cells(height: int, width: int) -> None:
    cells = torch.arange(height * width)[None]
    numbered = cells.float().view(1, 1, height, width)
    read = sample_map(numbered, locations_of_cells(cells, height, width)[:, None])
    torch.testing.assert_close(read[0, 0], cells.float(), atol=1e-4, rtol=0)


def test_the_released_locations_are_transposed_and_fall_short() -> None:
    locations = released_locations_of_cells(torch.tensor([[0, 1, 4, 15]]), 4, 4)
    assert locations.tolist() == [[[-1, -1], [-1, -0.5], [-0.5, -1], [0.5, 0.5]]]


def test_locations_are_drawn_evenly_over_each_axis() -> None:
    drawn = random_locations(3, 4000, generator=torch.Generator().manual_seed(0))
    assert drawn.shape == (3, 4000, 2)
    quarters = ((drawn + 1) * 2).floor().clamp(0, 3).long()  # -1..1 in four parts
    for axis in range(2):
        shares = quarters[..., axis].flatten().bincount(minlength=4) / 12_000
        torch.testing.assert_close(shares, torch.full((4,), 0.25), atol=0.02, rtol=0)
    assert not drawn[0].equal(drawn[1])


def test_a_partner_is_as_drawn_unless_it_is_the_image_itself() -> None:
    met = set()
    for seed in range(40):
        drawn = torch.randperm(4, generator=torch.Generator().manual_seed(seed))
        partners = permutation_without_fixed_points(
            4, generator=torch.Generator().manual_seed(seed)
        )
        for image, (given_, taken) in enumerate(
            zip(drawn.tolist(), partners.tolist(), strict=True)
        ):
            assert taken == ((image + 1) % 4 if given_ == image else given_)
            met.add((image, taken))
    assert len(met) == 12, "every image meets every other one"
    assert permutation_without_fixed_points(2).tolist() == [1, 0]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**16), height=st.integers(1, 7), width=st.integers(1, 7))
def test_shares_of_the_image_are_those_of_cell_centres(seed: int, height: int, width: int) -> None:
    locations = random_locations(2, 5, generator=torch.Generator().manual_seed(seed))
    shares = shares_of_locations(locations, height, width)
    for (x, y), (across, down) in zip(
        locations.flatten(0, 1).tolist(), shares.flatten(0, 1).tolist(), strict=True
    ):
        # The outermost centres are half a cell from the edges of the image.
        assert across == pytest.approx((0.5 + (x + 1) / 2 * (width - 1)) / width, abs=1e-6)
        assert down == pytest.approx((0.5 + (y + 1) / 2 * (height - 1)) / height, abs=1e-6)
    back = locations_of_shares(shares, height, width)
    if height > 1 and width > 1:
        torch.testing.assert_close(back, locations, atol=1e-4, rtol=0)
    assert back.isfinite().all()


def test_edges_of_the_image_are_outside_the_outermost_centres() -> None:
    edges = torch.tensor([[0.0, 0.0], [1.0, 1.0]])
    assert locations_of_shares(edges, 3, 5).tolist() == [[-1.25, -1.5], [1.25, 1.5]]
    # A single cell has one centre: half a cell to either side is half a unit of -1..1, from -1.
    assert locations_of_shares(edges, 1, 1).tolist() == [[-2.0, -2.0], [0.0, 0.0]]


def test_released_locations_of_maps_that_are_not_square() -> None:
    cells = torch.tensor([[0, 2, 3, 5]])  # of 2 rows and 3 columns
    found = released_locations_of_cells(cells, 2, 3)
    expected = [[-1, -1], [-1, 1 / 3], [0, -1], [0, 1 / 3]]
    torch.testing.assert_close(found, torch.tensor([expected]))


def test_locations_far_outside_read_the_border() -> None:
    maps = torch.arange(12.0).view(3, 4)
    outside = torch.tensor([[-9.0, -9.0], [9.0, -9.0], [-9.0, 9.0], [9.0, 9.0], [0.0, 30.0]])
    cells, weights = bilinear_neighbours(outside, 3, 4)
    assert ((cells >= 0) & (cells < 12)).all()
    assert ((weights >= 0) & (weights <= 1)).all()
    read = (maps.flatten()[cells] * weights).sum(dim=1)
    assert read.tolist() == [0.0, 3.0, 8.0, 11.0, 9.5]

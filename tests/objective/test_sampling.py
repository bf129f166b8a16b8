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
    permutation_without_fixed_points,
    random_locations,
    released_locations_of_cells,
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

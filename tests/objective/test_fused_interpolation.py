"""Interpolation between cells, against reading whole maps."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.plain.sampling import sample_map

from segdistill.objective import portions
from segdistill.objective.fused_interpolation import (
    gather_cells,
    interpolate_cells,
    interpolated_hidden_layer,
)
from segdistill.objective.sampling import bilinear_neighbours, random_locations


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.double)


def neighbours(
    batch: int, locations: int, height: int, width: int, seed: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Locations, the cells of a whole map around them, and their weights."""
    where = random_locations(
        batch, locations, generator=torch.Generator().manual_seed(seed)
    ).double()
    found = [bilinear_neighbours(each, height, width) for each in where]
    return where, torch.stack([each[0] for each in found]), torch.stack([each[1] for each in found])


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**16),
    batch=st.integers(1, 3),
    locations=st.integers(1, 12),
    height=st.integers(1, 5),
    width=st.integers(1, 5),
)
def test_interpolation_reads_the_map_and_spreads_its_gradient(
    seed: int, batch: int, locations: int, height: int, width: int
) -> None:
    where, nearest, weights = neighbours(batch, locations, height, width, seed)
    cells = drawn(batch, height * width, 3, seed=seed).requires_grad_()
    # (b, cells, c) -> (b, c, h, w)
    maps = cells.mT.reshape(batch, 3, height, width)
    expected = sample_map(maps, where[:, :, None])[..., 0].mT
    result = interpolate_cells(cells, nearest, weights)
    torch.testing.assert_close(result, expected)
    weighed = torch.einsum("bpnc,bpn->bpc", gather_cells(cells, nearest), weights)
    torch.testing.assert_close(result, weighed)
    upstream = drawn(batch, locations, 3, seed=seed + 1)
    torch.testing.assert_close(
        torch.autograd.grad(result, cells, upstream), torch.autograd.grad(expected, cells, upstream)
    )


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**16),
    batch=st.integers(1, 4),
    locations=st.integers(1, 12),
    masked=st.booleans(),
    at_once=st.sampled_from([1, 60, 1 << 20]),
    threads=st.integers(1, 3),
)
def test_the_hidden_layer_and_its_gradient_are_the_plain_ones(
    seed: int, batch: int, locations: int, masked: bool, at_once: int, threads: int
) -> None:
    _, nearest, weights = neighbours(batch, locations, 4, 5, seed)
    cells = drawn(batch, 20, 3, seed=seed)
    kept = drawn(batch, 1, 3, seed=seed + 1).exp() if masked else None
    layer = [drawn(6, 3, seed=seed + 2), drawn(6, seed=seed + 3)]
    for parameter in layer:
        parameter.requires_grad_()
    upstream = drawn(batch, locations, 6, seed=seed + 4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(portions, "VALUES_ON_CPU", at_once)
        result = interpolated_hidden_layer(
            cells, kept, layer[0], layer[1], nearest, weights, threads=threads
        )
        gradients = torch.autograd.grad(result, layer, upstream)
    hidden = F.linear(cells if kept is None else cells * kept, layer[0], layer[1]).relu()
    expected = interpolate_cells(hidden, nearest, weights)
    torch.testing.assert_close(result, expected)
    torch.testing.assert_close(gradients, torch.autograd.grad(expected, layer, upstream))


def test_the_hidden_layers_gradient_is_a_finite_difference() -> None:
    _, nearest, weights = neighbours(2, 5, 3, 4, 0)
    cells, kept = drawn(2, 12, 3, seed=1), drawn(2, 1, 3, seed=2).exp()
    layer = tuple(value.requires_grad_() for value in (drawn(4, 3, seed=3), drawn(4, seed=4)))
    assert (F.linear(cells * kept, *layer).abs() > 1e-4).all()  # clear of the bend
    assert torch.autograd.gradcheck(
        lambda weight, bias: interpolated_hidden_layer(cells, kept, weight, bias, nearest, weights),
        layer,
    )


def test_a_cell_that_no_location_needs_has_no_gradient() -> None:
    cells = drawn(1, 3, 2).requires_grad_()
    nearest, weights = torch.tensor([[[0, 1, 0, 1]]]), torch.full((1, 1, 4), 0.25).double()
    (gradient,) = torch.autograd.grad(interpolate_cells(cells, nearest, weights).sum(), cells)
    assert gradient[0].tolist() == [[0.5, 0.5], [0.5, 0.5], [0.0, 0.0]]


def test_only_signs_of_the_hidden_layer_are_kept_for_the_gradient() -> None:
    _, nearest, weights = neighbours(2, 6, 3, 4, 0)
    layer = drawn(5, 3).requires_grad_(), drawn(5)
    result = interpolated_hidden_layer(drawn(2, 12, 3), None, *layer, nearest, weights)
    kept = [
        each
        for each in result.grad_fn.saved_tensors  # type: ignore[union-attr]
        if each is not None and each.shape == (2, 12, 5)
    ]
    assert [each.dtype for each in kept] == [torch.bool]

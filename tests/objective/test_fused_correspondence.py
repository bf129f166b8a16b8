"""The loss and its gradient in one pass, against golden values and the plain functions."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.helpers import golden

from segdistill.objective import correspondence as module
from segdistill.objective.correspondence import (
    correspondence,
    correspondence_loss,
    mean_correspondence_loss,
    unit_vectors,
)

SWITCHES = st.fixed_dictionaries(
    {name: st.booleans() for name in ("pointwise", "zero_clamp", "stabilize")}
)


def drawn(*shape: int, seed: int, dtype: torch.dtype = torch.double) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@dataclass(frozen=True)
class Maps:
    """Features and codes of two batches, and how they are compared."""

    features: torch.Tensor
    other_features: torch.Tensor
    codes: torch.Tensor
    other_codes: torch.Tensor
    shift: float = 0.1
    partners: torch.Tensor | None = None
    switches: Mapping[str, Any] = field(default_factory=dict)


def plain(maps: Maps) -> torch.Tensor:
    chosen = torch.arange(len(maps.codes)) if maps.partners is None else maps.partners
    return correspondence_loss(
        correspondence(maps.features, maps.other_features[chosen]),
        correspondence(maps.codes, maps.other_codes[chosen]),
        maps.shift,
        **maps.switches,
    ).mean()


def fused(maps: Maps, threads: int = 1) -> torch.Tensor:
    return mean_correspondence_loss(
        unit_vectors(maps.features),
        unit_vectors(maps.other_features),
        unit_vectors(maps.codes),
        unit_vectors(maps.other_codes),
        maps.shift,
        partners=maps.partners,
        threads=threads,
        **maps.switches,
    )


@pytest.mark.parametrize("pointwise", [False, True])
@pytest.mark.parametrize("zero_clamp", [False, True])
@pytest.mark.parametrize("stabilize", [False, True])
def test_loss_and_gradient_are_golden(pointwise: bool, zero_clamp: bool, stabilize: bool) -> None:
    values = golden("correlation")
    # (batch, channels, rows, columns) -> (batch, locations, channels)
    maps = {name: values[name].flatten(2).mT for name in ("f1", "f2", "c1", "c2")}
    codes = maps["c1"].clone().requires_grad_()
    switches = {"pointwise": pointwise, "zero_clamp": zero_clamp, "stabilize": stabilize}
    loss = fused(
        Maps(maps["f1"], maps["f2"], codes, maps["c2"], values["shift"], switches=switches)
    )
    key = f"pointwise{pointwise:d}_clamp{zero_clamp:d}_stabilize{stabilize:d}"
    assert loss.item() == pytest.approx(values[f"loss_{key}_mean"], abs=1e-6)
    (gradient,) = torch.autograd.grad(loss, codes)
    expected = values[f"grad1_{key}"].flatten(2).mT
    assert (gradient - expected).abs().max() <= 1e-5 * expected.abs().max()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**16),
    sizes=st.tuples(*(st.integers(1, high) for high in (4, 6, 5, 4, 5))),
    partners=st.sampled_from(["own", "drawn", "one", "several draws"]),
    at_once=st.sampled_from([1, 40, 1 << 20]),
    threads=st.integers(1, 3),
    switches=SWITCHES,
)
def test_it_is_the_mean_of_the_plain_loss(
    seed: int,
    sizes: tuple[int, int, int, int, int],
    partners: str,
    at_once: int,
    threads: int,
    switches: dict[str, bool],
) -> None:
    batch, locations, others, channels, code_channels = sizes
    features = [drawn(batch, n, channels, seed=seed + n) for n in (locations, 10 * others)]
    codes = [
        drawn(batch, n, code_channels, seed=seed + 7 * n).requires_grad_()
        for n in (locations, 10 * others)
    ]
    chosen = {
        "own": None,
        "drawn": torch.randperm(batch, generator=torch.Generator().manual_seed(seed)),
        "one": torch.full((batch,), batch - 1),  # several maps have the same partner
        "several draws": torch.randint(
            batch, (3, batch), generator=torch.Generator().manual_seed(seed)
        ),
    }[partners]
    maps = Maps(features[0], features[1], codes[0], codes[1], 0.1, chosen, switches)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PAIRS_ON_CPU", at_once)
        loss = fused(maps, threads)
        gradients = torch.autograd.grad(loss * 3, codes)
    draws = [None] if chosen is None else chosen.view(-1, batch)
    expected = torch.stack([plain(replace(maps, partners=draw)) for draw in draws]).mean()
    torch.testing.assert_close(loss, expected)
    for one, other in zip(gradients, torch.autograd.grad(expected * 3, codes), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("pointwise", [False, True])
def test_gradients_are_finite_differences(pointwise: bool) -> None:
    features = [unit_vectors(drawn(3, 4, 5, seed=seed)) for seed in range(2)]
    # Positive channels make positive correlations, clear of the clamp at 0.
    codes = [drawn(3, 4, 3, seed=seed).exp().requires_grad_() for seed in range(2)]
    partners = torch.tensor([1, 2, 1])

    def loss(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        return mean_correspondence_loss(
            features[0],
            features[1],
            unit_vectors(first),
            unit_vectors(second),
            0.1,
            partners=partners,
            pointwise=pointwise,
        )

    assert torch.autograd.gradcheck(loss, codes)


def test_a_map_compared_with_itself_has_the_gradient_of_both_sides() -> None:
    features = drawn(2, 5, 4, seed=0)
    codes = drawn(2, 5, 3, seed=1).requires_grad_()
    maps = Maps(features, features, codes, codes)
    (gradient,) = torch.autograd.grad(fused(maps), codes)
    (expected,) = torch.autograd.grad(plain(maps), codes)
    torch.testing.assert_close(gradient, expected)


def test_nothing_as_large_as_the_pairs_is_kept() -> None:
    codes = drawn(2, 40, 3, seed=0).requires_grad_()
    features = drawn(2, 40, 4, seed=1)
    kept: list[int] = []

    def keep(value: torch.Tensor) -> torch.Tensor:
        kept.append(value.numel())
        return value

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
        fused(Maps(features, features, codes, codes))
    assert kept
    assert max(kept) <= codes.numel()


def test_codes_without_a_gradient_are_compared_too() -> None:
    first, second = (drawn(2, 5, 4, seed=seed) for seed in range(2))
    maps = Maps(first, second, first, second)
    loss = fused(maps)
    assert not loss.requires_grad
    torch.testing.assert_close(loss, plain(maps))


@pytest.mark.parametrize("pointwise", [False, True])
def test_double_precision_is_kept(pointwise: bool) -> None:
    features, other_features = drawn(2, 5, 6, seed=0), drawn(2, 7, 6, seed=1)
    codes, other_codes = drawn(2, 5, 3, seed=2), drawn(2, 7, 3, seed=3)
    maps = Maps(
        features, other_features, codes, other_codes, 0.1, switches={"pointwise": pointwise}
    )
    assert fused(maps).dtype == torch.double
    assert fused(maps).item() == pytest.approx(plain(maps).item(), rel=1e-12, abs=1e-14)

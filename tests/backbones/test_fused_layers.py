"""Fused layers against the same layers one after another."""

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from segdistill.backbones import fused_layers
from segdistill.backbones.fused_layers import FusedLayer, has_fused


def layers() -> list[tuple[nn.Linear | nn.Conv2d, torch.Tensor]]:
    maps = 9 * torch.randn(2, 8, 6, 10).to(memory_format=torch.channels_last)
    return [
        (nn.Linear(8, 16), maps.permute(0, 2, 3, 1)),
        (nn.Conv2d(8, 8, 5, padding=2, groups=8), maps),
        (nn.Conv2d(8, 4, 3, padding=1, stride=2), maps),
    ]


def separately(layer: nn.Module, maps: torch.Tensor, *, relu6: bool) -> torch.Tensor:
    result: torch.Tensor = layer(maps)
    return F.relu6(result) if relu6 else result


@pytest.mark.parametrize("relu6", [False, True])
@pytest.mark.parametrize("mixed", [False, True])
def test_a_fused_layer_gives_what_the_layers_give(relu6: bool, mixed: bool) -> None:
    for layer, maps in layers():
        one = FusedLayer(layer, relu6=relu6)
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            expected = separately(layer, maps, relu6=relu6)
            for _ in range(2):  # the second time with converted weights
                found = one(maps)
                assert found.dtype == expected.dtype
                # One unit in the last place of bfloat16.
                torch.testing.assert_close(found, expected, rtol=1e-2 if mixed else 1e-5, atol=1e-5)


def test_layers_are_fused_where_possible_only(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[bool] = []
    original = fused_layers.fused

    def noting(*arguments: Any, relu6: bool) -> torch.Tensor:
        calls.append(relu6)
        return original(*arguments, relu6=relu6)

    monkeypatch.setattr(fused_layers, "fused", noting)
    layer, maps = layers()[0]
    one = FusedLayer(layer.requires_grad_(requires_grad=False))
    one(maps)
    assert len(calls) == has_fused(torch.float32)
    calls.clear()
    one(maps.clone().requires_grad_()).sum().backward()
    assert FusedLayer(layers()[0][0])(maps).requires_grad  # its weights do
    one.double()(maps.double())
    monkeypatch.setattr(fused_layers, "has_fused", lambda _: False)
    one.float()(maps)
    assert not calls


def test_a_function_that_is_missing_or_wrong_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> torch.Tensor:
        raise NotImplementedError

    def wrong(maps: torch.Tensor, layer: nn.Module, *_: object, **__: object) -> torch.Tensor:
        result: torch.Tensor = layer(maps)
        return result  # without ReLU6

    for function in (missing, wrong):
        monkeypatch.setattr(fused_layers, "fused", function)
        has_fused.cache_clear()
        assert not has_fused(torch.float32)
    monkeypatch.undo()
    has_fused.cache_clear()
    assert not has_fused(torch.float64)
    state = torch.get_rng_state()
    has_fused(torch.float32)
    assert torch.equal(torch.get_rng_state(), state)


def test_weights_that_change_count_in_copies_and_in_place() -> None:
    layer, maps = layers()[0]
    one = FusedLayer(layer)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        expected = one(maps)
        again = copy.deepcopy(one)
        assert torch.equal(again(maps), expected)
        for parameter in again.parameters():
            parameter.zero_()
        assert not again(maps).any()
        assert torch.equal(one(maps), expected)
    assert set(one.state_dict()) == {"layer.weight", "layer.bias"}


def test_a_traced_layer_has_public_functions_only() -> None:
    layer, maps = layers()[0]
    program = torch.export.export(FusedLayer(layer).eval(), (maps.contiguous(),))
    assert "mkldnn" not in str(program.graph)

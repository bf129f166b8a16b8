"""Layers and the clamp behind them in one pass over memory, where oneDNN can do it.

Networks of thin layers spend as much time on reading and writing maps as on products. torch's
compiler calls the same functions of oneDNN; compiling takes longer than most folders of images.
"""

from functools import cache
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

SIX = (0.0, 6.0)
"""The limits of ReLU6."""


class FusedLayer(nn.Module):
    """A linear or convolutional layer, optionally followed by ReLU6; for inference only.

    Shapes are those of the layer. Gradients, other devices, and tracing take the separate layers,
    which give the same numbers up to the order of their sums.

    Args:
        layer: the layer, with a bias.
        relu6: whether ReLU6 follows.
    """

    def __init__(self, layer: nn.Linear | nn.Conv2d, *, relu6: bool = True) -> None:
        super().__init__()
        self.layer = layer
        self.relu6 = relu6
        self._converted: dict[torch.dtype, _Converted] = {}

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Return the layer's output."""
        dtype = _type_of_products(maps)
        differentiable = torch.is_grad_enabled() and (
            maps.requires_grad or self.layer.weight.requires_grad
        )
        if differentiable or _is_traced() or maps.device.type != "cpu" or not has_fused(dtype):
            result: torch.Tensor = self.layer(maps)
            return F.relu6(result, inplace=True) if self.relu6 else result
        return fused(maps.to(dtype), self.layer, *self._parameters_of(dtype), relu6=self.relu6)

    def __getstate__(self) -> dict[str, Any]:
        """Leave converted weights out of copies and pickles."""
        return {**self.__dict__, "_converted": {}}

    def _parameters_of(self, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the weight and bias in a type, converted again only if the weight has changed."""
        weight, bias = self.layer.weight, self.layer.get_parameter("bias")
        if weight.dtype == dtype:
            return weight, bias
        version = 0 if weight.is_inference() else weight._version  # noqa: SLF001
        of = (weight.data_ptr(), version)
        known = self._converted.get(dtype)
        if known is None or known.of != of:
            known = _Converted(of, weight.detach().to(dtype), bias.detach().to(dtype))
            self._converted[dtype] = known
        return known.weight, known.bias


class _Converted(NamedTuple):
    """Weights in another type.

    Attributes:
        of: memory and version of the weight that was converted.
    """

    of: tuple[int, int]
    weight: torch.Tensor
    bias: torch.Tensor


def fused(
    maps: torch.Tensor,
    layer: nn.Linear | nn.Conv2d,
    weight: torch.Tensor,
    bias: torch.Tensor,
    *,
    relu6: bool,
) -> torch.Tensor:
    """Apply a layer with the given weights, and ReLU6, by oneDNN; all in the type of the maps."""
    functions: Any = torch.ops.mkldnn
    then = ("hardtanh", list(SIX), "") if relu6 else ("none", [], "")
    result: torch.Tensor
    if isinstance(layer, nn.Linear):
        result = functions._linear_pointwise(maps, weight, bias, *then)  # noqa: SLF001
    else:
        steps = (layer.padding, layer.stride, layer.dilation, layer.groups)
        result = functions._convolution_pointwise(maps, weight, bias, *steps, *then)  # noqa: SLF001
    return result


@cache
def has_fused(dtype: torch.dtype) -> bool:
    """Return whether this build of torch and this processor can fuse layers, by trying it.

    The functions are not part of torch's public interface, so a result is compared, too.
    """
    if dtype not in (torch.float32, torch.bfloat16):
        return False
    maps = torch.linspace(-4, 9, 2 * 3 * 8, dtype=dtype).view(1, 2, 3, 8).permute(0, 3, 1, 2)
    with torch.inference_mode(), torch.autocast("cpu", enabled=False):
        # Without drawing weights, which would move the caller's random generator on.
        make: Any = nn.utils.skip_init
        linear = make(nn.Linear, 8, 8, dtype=dtype)
        convolution = make(nn.Conv2d, 8, 8, 3, padding=1, groups=8, dtype=dtype)
        for each in (*linear.parameters(), *convolution.parameters()):
            each.copy_(torch.linspace(-1, 1, each.numel()).view_as(each))
        for layer, given in ((linear, maps.permute(0, 2, 3, 1)), (convolution, maps)):
            try:
                found = fused(given, layer, layer.weight, layer.get_parameter("bias"), relu6=True)
            except (AttributeError, RuntimeError):  # NotImplementedError is a RuntimeError
                return False
            if not torch.allclose(found, F.relu6(layer(given)), rtol=1e-2, atol=1e-2):
                return False
    return True


def _type_of_products(maps: torch.Tensor) -> torch.dtype:
    if torch.is_autocast_enabled("cpu"):
        return torch.get_autocast_dtype("cpu")
    return maps.dtype


def _is_traced() -> bool:
    return torch.compiler.is_compiling() or torch._C._get_tracing_state() is not None  # noqa: SLF001

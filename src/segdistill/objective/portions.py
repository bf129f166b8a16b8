"""Portions of a batch: small enough for a cache, and computed side by side on a CPU."""

from collections.abc import Callable, Iterator
from typing import TypeVar

import torch

from segdistill.cpu_threads import in_parallel

Result = TypeVar("Result")

VALUES_ON_CPU = 1 << 19
"""Maximum number of values in a temporary on the CPU: 2 MiB, to stay in the cache."""

VALUES_ELSEWHERE = 1 << 24
"""The same on other devices: 64 MiB, since many small portions would leave them idle."""


def portions(
    batch: int, values: int, device: torch.device, *, on_cpu: int, at_least: int = 1
) -> Iterator[slice]:
    """Split a batch into portions whose temporaries are small enough for a device.

    Args:
        batch: number of images.
        values: number of values of each image in a temporary.
        device: where the temporary is.
        on_cpu: maximum number of values on the CPU.
        at_least: number of portions, if there are as many images.

    Example:
        >>> list(portions(3, 100, torch.device("cpu"), on_cpu=250))
        [slice(0, 2, None), slice(2, 3, None)]
    """
    most = on_cpu if device.type == "cpu" else VALUES_ELSEWHERE
    images = max(1, min(most // max(values, 1), -(-batch // at_least)))
    for start in range(0, batch, images):
        yield slice(start, min(start + images, batch))


def in_portions(
    compute: Callable[[slice], Result],
    values: torch.Tensor,
    *,
    size: int | None = None,
    on_cpu: int | None = None,
    threads: int = 1,
) -> Iterator[tuple[slice, Result]]:
    """Compute portions of a batch, without gradients, and yield each with its result, in order.

    With several threads, so many portions are computed at the same time on a CPU. That uses the
    cores better than one portion after the other, whose products are too small to be shared.

    Args:
        compute: called with the images of a portion.
        values: a tensor of the batch; its first dimension is the images.
        size: number of values of each image in a temporary; by default, as in ``values``.
        on_cpu: maximum number of values in a temporary on the CPU; by default
            :data:`VALUES_ON_CPU`.
        threads: number of threads on a CPU; other devices compute one portion at a time.

    Example:
        >>> batch = torch.arange(4.0)
        >>> for images, total in in_portions(lambda own: batch[own].sum(), batch, threads=2):
        ...     print(images, total)
        slice(0, 2, None) tensor(1.)
        slice(2, 4, None) tensor(5.)
    """
    threads = threads if values.device.type == "cpu" else 1
    size = values[:1].numel() if size is None else size
    most = VALUES_ON_CPU if on_cpu is None else on_cpu
    images = list(portions(len(values), size, values.device, on_cpu=most, at_least=threads))
    at_once = max(1, min(threads, len(images)))
    # Threads do not inherit that gradients are off.
    results = in_parallel(
        torch.no_grad()(compute), images, threads=at_once, each=threads // at_once
    )
    yield from zip(images, results, strict=True)

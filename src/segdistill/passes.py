"""Passes of a network over many batches: on a CPU, several at a time."""

from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Any, TypeVar

from numpy.typing import NDArray

from segdistill.cpu_threads import in_parallel
from segdistill.devices import PixelBudget
from segdistill.prefetch import in_batches, in_threads

Item = TypeVar("Item")
Loaded = TypeVar("Loaded")
Batch = TypeVar("Batch")
Result = TypeVar("Result")


def in_passes(
    network: Callable[[Batch], Result],
    batches: Iterable[Batch],
    budget: PixelBudget,
    *,
    count: int | None = None,
) -> Iterator[Result]:
    """Apply a network to batches, and yield the results in order.

    With a budget for several batches at once, each is computed in a thread of its own: threads
    that share one batch wait for each other after every layer. A single batch gets all threads.

    Args:
        network: computes the result of a batch.
        batches: the batches, consumed in the caller's thread.
        budget: of the network.
        count: number of batches, or an upper bound, if known.

    Example:
        >>> import torch
        >>> budget = PixelBudget(torch.device("cpu"), thread_safe=True)
        >>> list(in_passes(torch.sum, [torch.ones(2), torch.ones(3)], budget))
        [tensor(2.), tensor(3.)]
    """
    passes = budget.at_once if count is None else max(min(budget.at_once, count), 1)
    each = budget.at_once * budget.threads // passes
    return in_parallel(network, batches, threads=passes, each=each)


def image_size(image: NDArray[Any]) -> tuple[int, int]:
    """Return the height and width of an image, of shape (height, width, ...)."""
    return image.shape[0], image.shape[1]


def run_batches(
    items: Iterable[Item],
    load: Callable[[Item], tuple[Loaded, NDArray[Any] | None]],
    compute: Callable[[list[NDArray[Any]]], Iterable[Result]],
    *,
    budget: PixelBudget,
    threads: int,
    count: int | None = None,
    size: Callable[[NDArray[Any]], tuple[int, int]] = image_size,
) -> Iterator[tuple[Loaded, Result | None]]:
    """Load items in threads ahead of a network, and run it on batches of inputs of one kind.

    Args:
        load: called in the threads; returns what it makes of an item, and what goes through the
            network, an image of shape (height, width, channels), or ``None`` without one.
        compute: runs the network on inputs of one size and type, and returns a result for each;
            called in other threads, see :func:`in_passes`.
        budget: of the network.
        threads: number of threads that load; with 0, the caller's thread loads.
        count: number of items, if known.
        size: returns the height and width of an input, in pixels.

    Yields:
        What ``load`` made of each item, and the result of its input; in the order of the items.
    """

    def kind(loaded: tuple[Loaded, NDArray[Any] | None]) -> Hashable:
        return None if loaded[1] is None else (loaded[1].dtype, size(loaded[1]))

    def most(loaded: tuple[Loaded, NDArray[Any] | None]) -> int:
        return 1 if loaded[1] is None else budget.images(*size(loaded[1]))

    def run(
        batch: list[tuple[Loaded, NDArray[Any] | None]],
    ) -> list[tuple[Loaded, Result | None]]:
        inputs = [each for _, each in batch if each is not None]
        results: Iterable[Result | None] = compute(inputs) if inputs else [None]
        return [(loaded, result) for (loaded, _), result in zip(batch, results, strict=True)]

    batches = in_batches(in_threads(load, items, threads=threads, ahead=2 * threads), kind, most)
    for results in in_passes(run, batches, budget, count=count):
        yield from results

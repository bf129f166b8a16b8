"""Doing work in threads ahead of whoever needs it, in bounded memory."""

import os
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

MOST_THREADS = 8
"""Decoding and writing keep no more cores busy than this beside a network."""


def worker_threads() -> int:
    """Return how many threads to decode or write with: one a core, up to :data:`MOST_THREADS`."""
    if hasattr(os, "sched_getaffinity"):  # the cores that this process may use, in a container too
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    return min(cores, MOST_THREADS)


def in_threads(
    function: Callable[[Item], Result], items: Iterable[Item], *, threads: int, ahead: int
) -> Iterator[Result]:
    """Apply a function to items in threads, and yield the results in the order of the items.

    Items are taken in the caller's thread. Chained, two of these keep a network busy: the inner
    one decodes ahead of it, the items of the outer one are what the network gives, and the outer
    one writes while the network goes on.

    Args:
        function: called in the threads; an error it raises comes out in the result's place.
        items: what to apply it to.
        threads: number of them; with 0 everything is done in the caller's, in turn.
        ahead: results that may lie ready or be in the making while one is used; bounds memory.

    Example:
        >>> list(in_threads(abs, [-2, 1, -3], threads=2, ahead=2))
        [2, 1, 3]
    """
    if not threads:
        yield from map(function, items)
        return
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                while waiting and (len(waiting) > ahead or waiting[0].done()):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            # What was not begun when the caller stopped is not needed any more.
            for future in waiting:
                future.cancel()


def in_batches(
    items: Iterable[Item], kind: Callable[[Item], Hashable], most: Callable[[Item], int]
) -> Iterator[list[Item]]:
    """Put neighbouring items of one kind together, in their order.

    Args:
        items: taken as they are needed.
        kind: of an item; ``None`` leaves it alone.
        most: how many of its kind go together.

    Example:
        >>> list(in_batches("aaabbc", kind=str, most=lambda item: 2))
        [['a', 'a'], ['a'], ['b', 'b'], ['c']]
    """
    batch: list[Item] = []
    for item in items:
        if batch and (kind(item) != kind(batch[0]) or kind(item) is None):
            yield batch
            batch = []
        batch.append(item)
        if len(batch) >= most(item):
            yield batch
            batch = []
    if batch:
        yield batch

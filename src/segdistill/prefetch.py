"""Prefetching in threads, with bounded memory."""

import os
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

MAX_THREADS = 8
"""Maximum number of threads that decode and write while a network runs."""


def worker_threads() -> int:
    """Return the number of decoding or writing threads: one per core, at most MAX_THREADS."""
    if hasattr(os, "sched_getaffinity"):  # respects container limits
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    return min(cores, MAX_THREADS)


def in_threads(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    threads: int,
    ahead: int,
    at_start: Callable[[], object] | None = None,
) -> Iterator[Result]:
    """Apply a function to items in threads, and yield the results in the order of the items.

    Items are consumed in the caller's thread. Two chained calls keep a network busy: the inner one
    decodes inputs ahead of it, and the outer one writes its outputs in the background.

    Args:
        function: called in the threads; its exceptions are re-raised in the caller.
        threads: number of threads; with 0, everything runs in the caller's thread.
        ahead: maximum number of results pending or in progress; bounds memory.
        at_start: called in each thread when it starts.

    Example:
        >>> list(in_threads(abs, [-2, 1, -3], threads=2, ahead=2))
        [2, 1, 3]
    """
    if not threads:
        yield from map(function, items)
        return
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads, initializer=at_start) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                while waiting and (len(waiting) > ahead or waiting[0].done()):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            # If the caller stops early, drop work that has not started.
            for future in waiting:
                future.cancel()


def in_batches(
    items: Iterable[Item], key: Callable[[Item], Hashable], max_size: Callable[[Item], int]
) -> Iterator[list[Item]]:
    """Group consecutive items with the same key into batches, in order.

    Args:
        items: the items, consumed lazily.
        key: returns the key of an item; items with key ``None`` get a batch each.
        max_size: returns the maximum size of a batch that contains the item.

    Example:
        >>> list(in_batches("aaabbc", key=str, max_size=lambda item: 2))
        [['a', 'a'], ['a'], ['b', 'b'], ['c']]
    """
    batch: list[Item] = []
    for item in items:
        if batch and (key(item) != key(batch[0]) or key(item) is None):
            yield batch
            batch = []
        batch.append(item)
        if len(batch) >= max_size(item):
            yield batch
            batch = []
    if batch:
        yield batch

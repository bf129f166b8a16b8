"""Prefetching: work done ahead in threads, with bounded memory."""

import os
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

MOST_THREADS = 8
"""Upper limit of the threads that decode and write while a network runs."""


def worker_threads() -> int:
    """Return the number of threads for decoding or writing: one per core, up to MOST_THREADS."""
    if hasattr(os, "sched_getaffinity"):  # the cores available to this process, also in a container
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    return min(cores, MOST_THREADS)


def in_threads(
    function: Callable[[Item], Result], items: Iterable[Item], *, threads: int, ahead: int
) -> Iterator[Result]:
    """Apply a function to items in threads, and yield the results in the order of the items.

    Items are taken in the caller's thread. Two chained calls keep a network busy: the inner one
    decodes ahead of it, and the outer one writes its outputs while the network continues.

    Args:
        function: called in the threads; its errors are raised in place of the result.
        items: the items.
        threads: number of threads; with 0 everything runs in the caller's thread, in turn.
        ahead: number of results computed or in progress ahead of the caller; bounds memory.

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
            # Work that has not started when the caller stops is not needed.
            for future in waiting:
                future.cancel()


def in_batches(
    items: Iterable[Item], kind: Callable[[Item], Hashable], most: Callable[[Item], int]
) -> Iterator[list[Item]]:
    """Group consecutive items of the same kind into batches, in order.

    Args:
        items: the items, taken as they are needed.
        kind: returns the kind of an item; items of kind ``None`` get a batch each.
        most: returns the largest size of the batch that an item starts or joins.

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

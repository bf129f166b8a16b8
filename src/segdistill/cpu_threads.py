"""How many threads torch computes with on a CPU.

The threads of one operation wait for each other at its end. If another program keeps one of them
from running, all wait: many small operations then take a hundred times as long. Several operations
with a thread each do not have this problem, and use the cores at least as well.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

import torch

from segdistill.prefetch import in_threads

Item = TypeVar("Item")
Result = TypeVar("Result")


@contextmanager
def beside_a_reader(device: torch.device) -> Iterator[None]:
    """Compute on a CPU with one thread less inside the block, which a thread that reads needs."""
    threads = torch.get_num_threads()
    if device.type == "cpu":
        torch.set_num_threads(max(threads - 1, 1))
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with a single thread inside the block, as suits many small operations."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def in_parallel(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    threads: int | None = None,
    each: int = 1,
) -> Iterator[Result]:
    """Apply a function to several items at once, and yield the results in order.

    Meanwhile, threads that start elsewhere may take over ``each`` as their number of threads: torch
    has one number for the process, which new threads read.

    Args:
        function: called in threads of its own, or in the caller's if there is only one. The
            caller's ``no_grad``, ``inference_mode`` and autocast do not apply there.
        items: consumed in the caller's thread.
        threads: number of items at once; by default, the number of threads that torch uses.
        each: number of threads that torch uses for each of them.

    Example:
        >>> list(in_parallel(torch.sum, [torch.ones(2), torch.ones(3)], threads=2))
        [tensor(2.), tensor(3.)]
    """
    before = torch.get_num_threads()
    threads = before if threads is None else threads
    if threads < 2:
        yield from map(function, items)
        return
    try:
        # Besides the thread that calls it, this affects threads that start later.
        start = partial(torch.set_num_threads, each)
        yield from in_threads(function, items, threads=threads, ahead=2 * threads, at_start=start)
    finally:
        torch.set_num_threads(before)

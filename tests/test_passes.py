"""Passes of a network: in order, several at once where the network allows it."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from segdistill.devices import PixelBudget
from segdistill.passes import in_passes, run_batches

CPU = torch.device("cpu")
Pixels = NDArray[np.uint8]


@pytest.fixture(params=[2, 4])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


class Network:
    """Notes how many batches are computed at once, and with how many threads each."""

    def __init__(self) -> None:
        self.lock, self.running, self.most = threading.Lock(), 0, 0
        self.threads: set[int] = set()

    def __call__(self, batch: int) -> int:
        with self.lock:
            self.running += 1
            self.most = max(self.most, self.running)
        self.threads.add(torch.get_num_threads())
        time.sleep(0.02 if batch % 2 else 0.01)
        with self.lock:
            self.running -= 1
        return batch**2


def test_several_batches_are_computed_at_once_in_order(threads: int) -> None:
    network, budget = Network(), PixelBudget(CPU, thread_safe=True)
    assert list(in_passes(network, range(20), budget)) == [each**2 for each in range(20)]
    assert network.most == threads
    assert network.threads == {1}
    assert torch.get_num_threads() == threads


def test_a_network_that_is_not_thread_safe_gets_one_batch_at_a_time(threads: int) -> None:
    network = Network()
    assert len(list(in_passes(network, range(6), PixelBudget(CPU)))) == 6
    assert network.most == 1
    assert network.threads == {threads}


def test_a_network_made_with_one_thread_is_never_run_at_once() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    budgets = [PixelBudget(CPU), PixelBudget(torch.device("meta"), thread_safe=True)]
    torch.set_num_threads(4)
    try:
        for budget in budgets:
            network = Network()
            assert len(list(in_passes(network, range(6), budget))) == 6
            assert network.most == 1
    finally:
        torch.set_num_threads(before)


def test_a_single_batch_gets_all_threads(threads: int) -> None:
    network, budget = Network(), PixelBudget(CPU, thread_safe=True)
    assert list(in_passes(network, [3], budget, count=1)) == [9]
    assert network.threads == {threads}


def test_threads_are_as_before_after_an_error(threads: int) -> None:
    def fail(batch: int) -> int:
        raise ValueError(batch)

    with pytest.raises(ValueError, match="0"):
        list(in_passes(fail, range(9), PixelBudget(CPU, thread_safe=True)))
    assert torch.get_num_threads() == threads


def test_a_machine_with_many_cores_computes_a_few_batches_with_several_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 64)
    assert PixelBudget(CPU, thread_safe=True).threads == 8
    assert PixelBudget(CPU).threads == 64
    assert PixelBudget(torch.device("meta"), thread_safe=True).threads == 64


def test_items_without_an_image_keep_their_place(threads: int) -> None:
    def load(item: int) -> tuple[str, Pixels | None]:
        image = None if item % 3 == 0 else np.full((2, 2 + item % 2, 3), item, np.uint8)
        return f"item {item}", image

    def compute(images: list[Pixels]) -> Iterator[int]:
        assert len({image.shape for image in images}) == 1
        return (int(image[0, 0, 0]) for image in images)

    budget = PixelBudget(CPU, thread_safe=True)
    found = list(run_batches(range(30), load, compute, budget=budget, threads=threads, count=30))
    assert found == [(f"item {item}", item if item % 3 else None) for item in range(30)]


def test_inputs_of_different_types_are_not_in_one_batch() -> None:
    def load(item: int) -> tuple[int, NDArray[Any]]:
        return item, np.full((2, 2, 3), item, np.uint8 if item < 4 else np.float16)

    def compute(inputs: list[NDArray[Any]]) -> list[tuple[str, int]]:
        return [(str(each.dtype), len(inputs)) for each in inputs]

    def count_of(size: tuple[int, int]) -> list[tuple[str, int]]:
        budget = PixelBudget(CPU)
        budget.pixels = 12
        batches = run_batches(
            range(6), load, compute, budget=budget, threads=0, size=lambda _: size
        )
        return [found for _, found in batches if found is not None]

    assert count_of((2, 2)) == [("uint8", 3)] * 3 + [("uint8", 1)] + [("float16", 2)] * 2
    assert count_of((4, 4)) == [("uint8", 1)] * 4 + [("float16", 1)] * 2

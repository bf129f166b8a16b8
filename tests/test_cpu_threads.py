"""How many threads torch computes with: restored in every case."""

import gc
import itertools
import threading
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from segdistill.clustering.class_count import estimate_class_count
from segdistill.clustering.code_clusters import (
    cluster_prototypes,
    quantise_codes,
    refine_clusters,
)
from segdistill.cpu_threads import beside_a_reader, in_parallel, one_thread


@pytest.fixture
def three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("threads", "inside"), [(4, 3), (1, 1)])
def test_a_thread_is_left_to_the_reader(threads: int, inside: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with beside_a_reader(torch.device("cpu")):
            assert torch.get_num_threads() == inside
        assert torch.get_num_threads() == threads
        with beside_a_reader(torch.device("meta")):
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


@pytest.mark.usefixtures("three_threads")
def test_the_number_of_threads_is_restored() -> None:
    with one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 3

    @one_thread()
    def fail() -> None:
        assert torch.get_num_threads() == 1
        raise ValueError("as expected")

    with pytest.raises(ValueError, match="as expected"):
        fail()
    assert torch.get_num_threads() == 3


@pytest.mark.usefixtures("three_threads")
def test_items_are_computed_at_once_with_the_threads_given() -> None:
    all_here = threading.Barrier(3, timeout=10)

    def compute(item: int) -> tuple[int, int]:
        all_here.wait()  # no fewer than three at once
        return item, torch.get_num_threads()

    assert list(in_parallel(compute, range(6), each=2)) == [(n, 2) for n in range(6)]
    assert torch.get_num_threads() == 3
    inside = {threading.get_ident() for _ in in_parallel(compute, [], threads=1)}
    assert not inside
    assert list(in_parallel(lambda _: threading.get_ident(), [0], threads=1)) == [
        threading.get_ident()
    ]


@pytest.mark.usefixtures("three_threads")
def test_clusters_do_not_depend_on_the_number_of_threads() -> None:
    generator = torch.Generator().manual_seed(0)
    kinds = torch.randint(5, (600,), generator=generator)
    codes = 3 * torch.eye(8)[kinds] + torch.randn(600, 8, generator=generator)
    images = torch.arange(600) % 20

    def clustered() -> tuple[object, torch.Tensor]:
        quantised = quantise_codes(codes, seed=0)
        count = estimate_class_count(codes, images, quantised, seed=0)
        candidates = cluster_prototypes(quantised.prototypes, 5, seed=0)
        return count, refine_clusters(codes, candidates, seed=0)

    several, centres = clustered()
    torch.set_num_threads(1)
    single, expected = clustered()
    assert several == single
    torch.testing.assert_close(centres, expected)


def threads_here_and_in_new_threads() -> tuple[int, int]:
    """Return the numbers of threads that torch uses in this thread and in one that starts now."""
    with ThreadPoolExecutor(1) as pool:
        return torch.get_num_threads(), pool.submit(torch.get_num_threads).result()


def fail_at_two(item: int) -> int:
    if item == 2:
        raise ValueError("as expected")
    return item


@pytest.mark.usefixtures("three_threads")
@pytest.mark.parametrize("end", ["closed", "deleted", "in a cycle", "interrupted"])
def test_the_number_of_threads_is_restored_if_results_are_abandoned(end: str) -> None:
    results = in_parallel(fail_at_two, itertools.chain(range(2), itertools.repeat(0)), each=2)
    assert isinstance(results, Generator)
    assert next(results) == 0
    # Until then, threads that start have the number given, and the caller keeps its own.
    assert threads_here_and_in_new_threads() == (3, 2)
    if end == "closed":
        results.close()
    elif end == "interrupted":
        with pytest.raises(KeyboardInterrupt):
            results.throw(KeyboardInterrupt())
    elif end == "in a cycle":
        cycle: list[object] = [results]
        cycle.append(cycle)
        del cycle
    del results
    gc.collect()
    assert threads_here_and_in_new_threads() == (3, 3)


@pytest.mark.usefixtures("three_threads")
def test_the_number_of_threads_is_restored_if_a_loop_is_left() -> None:
    for result in in_parallel(fail_at_two, range(9)):
        assert result == 0
        break
    assert threads_here_and_in_new_threads() == (3, 3)


@pytest.mark.usefixtures("three_threads")
@pytest.mark.parametrize("threads", [1, None])
def test_the_number_of_threads_is_restored_after_errors(threads: int | None) -> None:
    results = in_parallel(fail_at_two, range(9), threads=threads)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="as expected"):
        next(results)
    assert threads_here_and_in_new_threads() == (3, 3)
    with pytest.raises(ValueError, match="as expected"):
        list(in_parallel(str, map(fail_at_two, range(9)), threads=threads))
    assert threads_here_and_in_new_threads() == (3, 3)


@pytest.mark.usefixtures("three_threads")
def test_results_that_nobody_asks_for_change_nothing() -> None:
    results = in_parallel(fail_at_two, range(9))
    assert threads_here_and_in_new_threads() == (3, 3)
    del results
    assert threads_here_and_in_new_threads() == (3, 3)

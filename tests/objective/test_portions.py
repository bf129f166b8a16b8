"""Portions of a batch, one after the other and side by side."""

import threading

import pytest
import torch

from segdistill.objective.portions import VALUES_ELSEWHERE, in_portions, portions


def test_portions_keep_to_the_limit_and_cover_the_batch() -> None:
    for device, limit in (("cpu", 250), ("meta", VALUES_ELSEWHERE)):
        for values in (0, 1, limit // 3, limit // 2, limit, limit + 1):
            found = list(portions(7, values, torch.device(device), on_cpu=250))
            assert [i for each in found for i in range(7)[each]] == list(range(7))
            sizes = [each.stop - each.start for each in found]
            # As large as the limit allows, but for the last; one image always fits.
            most = min(7, max(1, limit // max(values, 1)))
            assert sizes[:-1] == [most] * (len(sizes) - 1)
            assert 1 <= sizes[-1] <= most
    assert list(portions(0, 5, torch.device("cpu"), on_cpu=250)) == []


@pytest.mark.parametrize(("at_least", "sizes"), [(1, [6]), (2, [3, 3]), (4, [2, 2, 2])])
def test_there_are_as_many_portions_as_asked_for(at_least: int, sizes: list[int]) -> None:
    found = portions(6, 1, torch.device("cpu"), on_cpu=250, at_least=at_least)
    assert [each.stop - each.start for each in found] == sizes
    assert len(list(portions(2, 1, torch.device("cpu"), on_cpu=250, at_least=9))) == 2
    assert list(portions(0, 1, torch.device("cpu"), on_cpu=250, at_least=2)) == []


def test_as_many_portions_as_threads_are_computed_at_the_same_time() -> None:
    together = threading.Barrier(3, timeout=30)

    def compute(images: slice) -> int:
        together.wait()  # returns only once three portions have got here
        return int(images.start)

    assert [result for _, result in in_portions(compute, torch.ones(6, 2), threads=3)] == [0, 2, 4]


@pytest.mark.parametrize("threads", [1, 2])
def test_portions_have_no_gradients(threads: int) -> None:
    values = torch.ones(4, 2, requires_grad=True)
    results = [
        result for _, result in in_portions(lambda own: values[own] * 2, values, threads=threads)
    ]
    assert not any(result.requires_grad for result in results)
    assert torch.is_grad_enabled()
    assert torch.cat(results).shape == values.shape


def test_other_devices_compute_one_portion_after_the_other() -> None:
    values = torch.ones(4, 2, device="meta")
    threads = {
        result for _, result in in_portions(lambda _: threading.get_ident(), values, threads=2)
    }
    assert threads == {threading.get_ident()}


def test_an_exception_in_a_thread_reaches_the_caller() -> None:
    def fail(images: slice) -> None:
        raise ValueError(images)

    with pytest.raises(ValueError, match="slice"):
        list(in_portions(fail, torch.ones(4, 2), threads=2))
